"""JSON files read strictly and written whole: annotations, person boxes, results, metrics.

Python's own reader keeps the last of two equal keys without a word, and what it says of an empty
or half-copied file names neither the file nor a remedy. Numbers are not looked at here: `NaN` is
read, because only the reader of the content can say whose number it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError, NumericsError

FINGERPRINT_LETTERS = 16  # 64 bits: made to notice a mistake, not to withstand an enemy


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        what: What it should hold, for the messages: "annotations", "person boxes", "results".

    Raises:
        DataError: No such file, unreadable, empty, not JSON, cut off, nested too deep, or an object
            has a key twice.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of {what}; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what}: {error.strerror}; give a file") from None
    again = f"download or copy the file of {what} again"
    if not raw.strip():
        raise DataError(f"{path}: empty ({len(raw)} bytes), not JSON; {again}")
    if raw.startswith(b"version https://git-lfs"):
        raise DataError(f"{path}: a Git LFS pointer and not JSON; fetch the file with git lfs pull")
    if raw.lstrip().startswith(b"<"):
        raise DataError(f"{path}: a web page and not JSON (a saved error page?); {again}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot decode byte {error.start} as UTF-8; save the {what} as JSON in UTF-8"
        ) from None
    try:
        return json.loads(text, object_pairs_hook=_object_of_unique_keys)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise DataError(f"{path}: JSON cut off after {len(raw)} bytes; {again}") from None
        place = f"line {error.lineno} column {error.colno}"
        raise DataError(f"{path}: not JSON, at {place}: {error.msg}; {again}") from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deep to be {what}; {again}") from None
    except ValueError as error:  # a duplicate key, or a number of thousands of digits
        raise DataError(f"{path}: {error}; fix the file of {what}") from None


def write_json(path: Path, content: Any) -> None:
    """Write plain Python values: a list one entry per line, anything else indented.

    The file is either the old or the new one, never a part: a temporary file next to it is synced
    and renamed.

    Raises:
        NumericsError: A number is not finite; standard JSON has no word for it.
    """
    try:
        if isinstance(content, list) and content:
            lines = [json.dumps(entry, allow_nan=False) for entry in content]
            text = "[\n" + ",\n".join(lines) + "\n]\n"
        else:
            text = json.dumps(content, allow_nan=False, indent=2) + "\n"
    except ValueError:
        place = _first_not_finite(content, "")
        if place is None:  # nan as a key: no place to name
            raise
        raise NumericsError(
            f"{path}: not written, {place} is not finite; JSON holds finite numbers only"
        ) from None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Called once per JSON object; COCO files are mostly arrays, so this adds about a sixth."""
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f"duplicate key {twice!r} in one JSON object; keys are unique")


def _first_not_finite(content: Any, place: str) -> str | None:
    """The place and value of the first such number, as `[3]['score'] = nan`."""
    if isinstance(content, float):
        return None if math.isfinite(content) else f"{place} = {content}"
    if isinstance(content, dict):
        entries: list[tuple[Any, Any]] = list(content.items())
    elif isinstance(content, (list, tuple)):
        entries = list(enumerate(content))
    else:
        return None
    found = (_first_not_finite(value, f"{place}[{key!r}]") for key, value in entries)
    return next((text for text in found if text is not None), None)


class Parts(NamedTuple):
    """An array that is made part by part, because it would not fit the memory.

    Attributes:
        dtype: Of the array.
        shape: Of the whole.
        parts: The rows in their order.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


def fingerprint(*arrays: NDArray[np.generic] | Parts) -> str:
    """The beginning of the SHA-256 of all types, shapes and bytes.

    Args:
        arrays: Of any type but object.
    """
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(f"{array.dtype.str}{array.shape}".encode())
        for part in array.parts if isinstance(array, Parts) else [array]:
            hashed.update(np.ascontiguousarray(part).data)
    return hashed.hexdigest()[:FINGERPRINT_LETTERS]
