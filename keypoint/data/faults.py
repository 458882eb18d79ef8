"""What is wrong with the entries of a JSON file: checks of single values, all told at once.

One entry's fault is a short text beginning with the key; the caller puts the entry's id before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError

Wrong = tuple[str, str]  # what is wrong, in a word or two that can be counted, and the text


@dataclass(frozen=True)
class Fault:
    """What is wrong with one entry of a file, with one image, or with a file as a whole.

    Attributes:
        name: What it is called in a message: `annotation id 5`; empty for a file as a whole.
        text: What was given, what is allowed, what to do.
        reason: The part that is wrong, for counts: "keypoints", "bbox", "image file".
        id: The entry's id, where it has one that is a whole number.
        file: The image's file, where the fault is of an image.
    """

    name: str
    text: str
    reason: str
    id: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.name else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        known = {"id": self.id, "file": self.file}
        given = {key: value for key, value in known.items() if value is not None}
        return {"name": self.name, **given, "reason": self.reason, "text": self.text}


def raise_faults(source: str, faults: Sequence[Fault | str]) -> None:
    """Tell all faults of a file in one error, so that they are mended in one go; nothing if none.

    Raises:
        DataError: The first of them and the number of all, which its `faults` are.
    """
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError.of_many(f"{source}: {count}; mend or remove these entries", faults)


def is_whole_number(value: Any) -> TypeGuard[int]:
    """Whether a value can be an id: an int that fits 64 bits, and no bool, string or 1.0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return False
    return -(2**63) <= int(value) < 2**63


def as_numbers(values: Any) -> NDArray[Any] | None:
    """A flat list of numbers as an array, nan and inf included; None for anything else.

    One conversion tells, which is several times faster than asking each entry for its type.
    """
    if not isinstance(values, (list, tuple, np.ndarray)):
        return None
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        return None
    if array.size == 0:
        return np.zeros(0)
    return array if array.ndim == 1 and array.dtype.kind in "iuf" else None


def as_number(value: Any) -> float | None:
    """One number, nan and inf included; None for anything else, lists and strings among it."""
    if type(value) in (int, float) and abs(value) < 2**63:
        return float(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return None
    numbers = as_numbers([value])
    return None if numbers is None else float(numbers[0])


def describe_numbers(
    key: str, given: Any, numbers: NDArray[Any] | None, length: int, meaning: str
) -> str:
    """The fault of a list that is not `length` numbers; `numbers` is what `as_numbers` gave."""
    shown = short(given) if numbers is None else f"has {len(numbers)} numbers"
    return f"{key} {shown}; give {length} numbers ({meaning})"
