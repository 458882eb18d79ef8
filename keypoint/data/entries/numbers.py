"""Read the numbers in files: integers, single numbers and flat lists."""

from __future__ import annotations

import re
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

FLOAT_IS_EXACT = 2**53  # a larger float may stand for several whole numbers


def is_whole_number(value: Any) -> TypeGuard[int]:
    """Return whether a value is an int that fits 64 bits, not a bool, a string or 1.0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return False
    return -(2**63) <= int(value) < 2**63


def whole_number(value: Any) -> int | None:
    """Return the 64-bit integer that a value such as 1, 1.0 or "1" means, or None."""
    if is_whole_number(value):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= FLOAT_IS_EXACT else None
    if isinstance(value, str):
        digits = re.fullmatch(r"(-?)0*([0-9]{1,19})(\.0+)?", value, re.ASCII)
        number = int(digits[1] + digits[2]) if digits else None
        return number if is_whole_number(number) else None
    return None


def describe_no_whole_number(value: Any) -> str:
    """Return the fault of an id that is not a 64-bit integer, to follow "its id "."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{short(value)} is beyond 64 bits (-2^63 to 2^63 - 1); give smaller whole numbers"
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{19,}", value, re.ASCII):
        return f"{short(value)} is beyond 64 bits (-2^63 to 2^63 - 1); give smaller whole numbers"
    remedy = "number them 1, 2, 3 .., and change the references to them"
    return f"must be an integer, not {short(value)}; {remedy}"


def as_numbers(values: Any) -> NDArray[Any] | None:
    """Return a flat list of numbers as an array, including nan and inf; None for anything else.

    One conversion of the whole list is several times faster than a check of each entry's type.
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
    """Return one number, including nan and inf; None for anything else, such as a list."""
    if type(value) in (int, float) and abs(value) < 2**63:
        return float(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return None
    numbers = as_numbers([value])
    return None if numbers is None else float(numbers[0])


def describe_numbers(
    key: str, given: Any, numbers: NDArray[Any] | None, length: int, meaning: str
) -> str:
    """Return the fault of a list that is not `length` numbers; `numbers` is `as_numbers(given)`."""
    shown = short(given) if numbers is None else f"has {len(numbers)} numbers"
    return f"{key} {shown}; give {length} numbers ({meaning})"
