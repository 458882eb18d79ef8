"""Horizontal bars of shares, one group per row, with the row's name on the left.

All pictures are RGB uint8 arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import INK, Image
from keypoint.drawing.curves import CURVES, GRID
from keypoint.drawing.text import draw_text, shorten_text, text_size

LETTER = 8  # px, height of a capital
BAR, GAP = 13, 9  # px, height of a bar and between groups
NAMES = 260  # px at most, for the rows' names
NUMBER = 52  # px, for a number after a bar
EDGE, HEAD, FOOT = 12, 34, 24  # px


def draw_bars(
    rows: Mapping[str, Sequence[float]],
    series: Sequence[str],
    title: str,
    width: int = 720,
    highlight: str | None = None,
) -> Image:
    """Draw shares from 0 to 1 as bars, in the order given.

    Args:
        rows: By name, a share for each of the series; nan draws none.
        series: Names of the bars of a row, for the legend; one name needs no legend.
        title: Text above.
        width: Of the picture, px.
        highlight: Name of a row that is written in the second color, such as the right class.

    Returns:
        (H, width, 3) uint8 RGB; the height follows from the number of bars.

    Raises:
        ValueError: No row, or one with another number of shares than there are series.
    """
    for name, shares in rows.items():
        if len(shares) != len(series):
            raise ValueError(f"{name}: {len(shares)} shares; give {len(series)}, one for {series}")
    if not rows:
        raise ValueError(f"{title}: nothing to draw; give at least one row")
    legend = len(series) > 1
    group = BAR * len(series) + GAP
    top = HEAD + (20 if legend else 0)
    canvas = np.full((top + group * len(rows) + FOOT, width, 3), 255, np.uint8)
    widest = max(text_size(name, LETTER)[1] for name in rows)
    left = EDGE + min(widest, NAMES, width // 3) + 8
    right = width - EDGE - NUMBER
    draw_text(canvas, shorten_text(title, width - 2 * EDGE, 11), (EDGE, 8), 11)
    if legend:
        _legend(canvas, series, HEAD)
    bottom = canvas.shape[0] - FOOT
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = round(left + (right - left) * share)
        cv2.line(canvas, (x, top - 2), (x, bottom), INK if share == 0 else GRID, 1)
        text = f"{share:g}"
        draw_text(canvas, text, (x - text_size(text, LETTER)[1] / 2, bottom + 5), LETTER)
    for number, (name, shares) in enumerate(rows.items()):
        y = top + number * group + GAP // 2
        middle = y + BAR * len(series) / 2 - LETTER / 2 - 2
        color = CURVES[1] if name == highlight else INK
        shown = shorten_text(name, left - EDGE - 8, LETTER)
        draw_text(canvas, shown, (left - 8 - text_size(shown, LETTER)[1], middle), LETTER, color)
        for place, share in enumerate(shares):
            if np.isfinite(share):
                _bar(canvas, (left, right), y + BAR * place, float(share), place)
    return canvas


def _bar(
    canvas: NDArray[np.uint8], span: tuple[int, int], y: int, share: float, place: int
) -> None:
    """One bar and its number."""
    left, right = span
    end = left + round((right - left) * min(1.0, max(0.0, share)))
    canvas[y + 1 : y + BAR - 1, left + 1 : end + 1] = CURVES[place % len(CURVES)]
    draw_text(canvas, f"{share:.3f}", (end + 6, y), LETTER)


def _legend(canvas: NDArray[np.uint8], series: Sequence[str], y: int) -> None:
    """Name the colors from the left; a name without enough room is shortened."""
    x = EDGE
    for place, name in enumerate(series):
        room = (canvas.shape[1] - EDGE - x) // (len(series) - place) - 28
        shown = shorten_text(name, max(0, room), LETTER)
        canvas[y + 2 : y + 12, x : x + 10] = CURVES[place % len(CURVES)]
        draw_text(canvas, shown, (x + 15, y), LETTER)
        x += 15 + text_size(shown, LETTER)[1] + 14
