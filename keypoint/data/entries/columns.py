"""One key of many entries at once, as an array."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = frozenset((int, float))  # not bool
Entries = Sequence[dict[str, Any]]


def types_of(entries: Entries, key: str) -> set[type]:
    """The types of a key's values; a missing one is None."""
    return {type(entry.get(key)) for entry in entries}


def whole_column(entries: Entries, key: str) -> NDArray[np.int64] | None:
    """(N,) the values, or None if one is not an int of 64 bits."""
    if types_of(entries, key) - {int}:
        return None
    try:
        return np.array([entry[key] for entry in entries], dtype=np.int64)
    except OverflowError:
        return None


def number_column(entries: Entries, key: str, missing: float) -> NDArray[np.float64]:
    """(N,) the values; `missing` for an entry without the key, nan for any other type."""
    values = [entry.get(key, missing) for entry in entries]
    if {type(value) for value in values} <= NUMBERS:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            pass
    return np.array([as_float(value) for value in values])


def as_float(value: Any) -> float:
    """An int or float as float, nan for anything else."""
    try:
        return float(value) if type(value) in NUMBERS else np.nan
    except OverflowError:
        return np.nan


def number_lists(entries: Entries, key: str, length: int) -> NDArray[np.float64]:
    """(N, length) the values; a row of nan for anything but a list of `length` ints and floats."""
    pack, other = struct.Struct(f"{length}d").pack, np.full(length, np.nan).tobytes()

    def row(values: Any) -> bytes:
        if type(values) is list and NUMBERS.issuperset(map(type, values)):
            try:
                return pack(*values)
            except struct.error:  # another length, or an int larger than any float
                pass
        return other

    packed = b"".join([row(entry.get(key)) for entry in entries])
    return np.frombuffer(packed).reshape(len(entries), length)
