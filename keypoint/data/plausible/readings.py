"""Other meanings of four numbers that should be x, y, width, height in pixels of the image.

Letters: N boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

CORNERS = "x1, y1, x2, y2"
NORMALISED = "normalised coordinates"
FAR = 0.1  # of the image: truncated objects may be annotated beyond the border, and rounded


def from_sides(boxes: Floats) -> Floats:
    """(N, 4) corners of boxes x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _from_center(boxes: Floats) -> Floats:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


ROWS_FIRST = [1, 0, 3, 2]
FORMS: dict[str, Callable[[Floats], Floats]] = {
    "x, y, width, height": from_sides,
    CORNERS: lambda boxes: boxes,
    "centre x, centre y, width, height": _from_center,
    "y, x, height, width": lambda boxes: from_sides(boxes[:, ROWS_FIRST]),
    "y1, x1, y2, x2": lambda boxes: boxes[:, ROWS_FIRST],
}
SCALES = (0.25, 1 / 3, 0.5, 2 / 3, 1.5, 2.0, 3.0, 4.0)
RANGES = (1, 100, 1000)  # YOLO, percent in Label Studio, language models


def other_readings(boxes: Floats, sides: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield all readings except the right one: the name, and the resulting corners (N, 4).

    Args:
        boxes: (N, 4) as given. Normalised readings are left out if the numbers are too large.
        sides: (N, 2) width and height of their images.
    """
    for name, form in FORMS.items():
        if form is not from_sides:
            yield name, form(boxes)
    for top in RANGES:
        if len(boxes) and np.abs(boxes).max() <= 3 * top:
            for form in FORMS.values():
                yield f"{NORMALISED} (0 to {top})", form(boxes) * np.tile(sides / top, 2)
    for scale in SCALES:
        yield f"pixels of the image at scale {scale:.3g}", from_sides(boxes / scale)


def is_box(corners: Floats) -> Flags:
    """(N,) whether these are the first and the last corner of a box."""
    return np.asarray((corners[:, 2:] > corners[:, :2]).all(axis=1))


def is_inside(corners: Floats, sides: Floats, share: float = 0.01) -> Flags:
    """(N,) whether boxes are within their images, tolerating `share` of the sides and a pixel.

    Args:
        corners: (N, 4).
        sides: (N, 2) width and height of their images.
        share: Part of the sides that a box may be outside.
    """
    slack = share * sides + 1
    first, last = corners[:, :2] >= -slack, corners[:, 2:] <= sides + slack
    return np.asarray((first & last).all(axis=1))


def within_one(numbers: Floats) -> bool:
    """Return whether all numbers are from 0 to 1, and some between, as normalised ones are."""
    return bool(((numbers >= 0) & (numbers <= 1)).all() and ((numbers > 0) & (numbers < 1)).any())
