"""Values of groups as dots with their mean, and differences with their intervals. RGB uint8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from keypoint.drawing.canvas import INK, SHIFT, Color, Image, fixed_point
from keypoint.drawing.curves import CURVES, GRID, ticks
from keypoint.drawing.text import draw_text, shorten_text, text_size

LETTER = 8  # px, height of a capital
ROW, NAMES = 26, 260  # px, height of a row; at most, for the rows' names
EDGE, HEAD, FOOT = 12, 34, 30  # px
Apart = tuple[float, float | None, float | None]


def draw_spread(
    values: Mapping[str, Sequence[float]],
    apart: Mapping[str, Apart],
    metric: str,
    base: str,
    width: int = 720,
) -> Image:
    """Draw a panel of values, a row a group, and below it one of differences.

    Args:
        values: Of each group, one at least; a dot each, and a line at their mean.
        apart: Difference to the base of each other group, with the ends of its interval or None.
        metric: Name of the number.
        base: Name of the group that the differences are to.
        width: Of the picture, px.

    Returns:
        (H, width, 3) uint8 RGB; without the second panel if there is no difference.
    """
    widest = max(text_size(name, LETTER)[1] for name in values)
    left = EDGE + min(widest, NAMES, width // 3) + 8
    every = [value for row in values.values() for value in row]
    panel, place = _panel(list(values), f"{metric}: runs as dots, mean as line", left, width, every)
    for number, row in enumerate(values.values()):
        color = CURVES[number % len(CURVES)]
        y = _middle(number)
        x = place(float(np.mean(row)))
        _line(panel, (x, y - 9), (x, y + 9), color, 2)
        for value in row:
            _dot(panel, (place(value), y), color)
    if not apart:
        return panel
    ends = [0.0, *(end for row in apart.values() for end in row if end is not None)]
    title = f"difference in {metric} from {base}, 95 % interval"
    second, place = _panel(list(apart), title, left, width, ends)
    _line(second, (place(0), HEAD), (place(0), HEAD + ROW * len(apart)), INK, 1)
    for number, (mean, low, high) in enumerate(apart.values()):
        color = CURVES[(number + 1) % len(CURVES)]  # the base has the first
        y = _middle(number)
        if low is not None and high is not None:
            _line(second, (place(low), y), (place(high), y), color, 2)
            for end in (low, high):
                _line(second, (place(end), y - 5), (place(end), y + 5), color, 2)
        _dot(second, (place(mean), y), color)
    return np.concatenate([panel, second])


def _panel(
    names: Sequence[str], title: str, left: int, width: int, values: Sequence[float]
) -> tuple[Image, Callable[[float], float]]:
    """An empty panel with names and ticks, and the function that gives a value's column."""
    canvas = np.full((HEAD + ROW * len(names) + FOOT, width, 3), 255, np.uint8)
    right, bottom = width - 2 * EDGE - 8, HEAD + ROW * len(names)
    marks = ticks(values)
    low, high = float(marks[0]), float(marks[-1])

    def place(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    draw_text(canvas, shorten_text(title, width - 2 * EDGE, 11), (EDGE, 8), 11)
    for mark in marks:
        x = round(place(float(mark)))
        cv2.line(canvas, (x, HEAD - 2), (x, bottom), GRID, 1)
        text = f"{mark:.4g}"
        draw_text(canvas, text, (x - text_size(text, LETTER)[1] / 2, bottom + 6), LETTER)
    for number, name in enumerate(names):
        shown = shorten_text(name, left - EDGE - 8, LETTER)
        corner = (left - 8 - text_size(shown, LETTER)[1], _middle(number) - LETTER / 2 - 2)
        draw_text(canvas, shown, corner, LETTER)
    return canvas, place


def _middle(number: int) -> float:
    return HEAD + ROW * (number + 0.5)


def _line(
    canvas: Image, start: tuple[float, float], end: tuple[float, float], color: Color, wide: int
) -> None:
    tail, head = fixed_point(np.array([start, end])).tolist()
    cv2.line(canvas, tail, head, color, wide, cv2.LINE_AA, SHIFT)


def _dot(canvas: Image, center: tuple[float, float], color: Color) -> None:
    (point,) = fixed_point(np.array([center])).tolist()
    cv2.circle(canvas, point, 4 * 2**SHIFT, color, -1, cv2.LINE_AA, SHIFT)
