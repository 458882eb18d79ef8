"""Curves over the epochs of a run, with round ticks and a legend.

All pictures are RGB uint8 arrays, drawn by OpenCV at 1/16 pixel (SHIFT).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import INK, SHIFT, Image, fixed_point
from keypoint.drawing.text import draw_text, text_size

GRID = (225, 225, 225)
LETTER = 8  # px, height of a capital
CURVES = [(31, 119, 180), (214, 90, 20), (44, 140, 44), (148, 80, 180)]


def training_curves(
    history: Sequence[Mapping[str, Any]], names: Sequence[str] = ("AP", "AP50", "AR")
) -> Image:
    """Loss and numbers of the evaluation over the epochs of a run, one panel each.

    Args:
        history: The trainer's records: `epoch`, `loss`, and after an evaluation `metrics`.
        names: The metrics to draw, which every evaluation has.

    Returns:
        (H, W, 3) uint8 RGB; without the second panel if nothing was evaluated.
    """
    epochs = [r["epoch"] for r in history]
    losses = {"loss": [(r["epoch"], r["loss"]) for r in history]}
    panels = [draw_curves(losses, "training loss", "epoch", x_within=epochs)]
    scored = [r for r in history if "metrics" in r]
    if scored:
        measured = [name for name in names if all(name in r["metrics"] for r in scored)]
        lines = {name: [(r["epoch"], r["metrics"][name]) for r in scored] for name in measured}
        panels.append(draw_curves(lines, "evaluation", "epoch", x_within=epochs))
    return np.concatenate(panels, axis=1)


def draw_curves(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    x_label: str,
    size: tuple[int, int] = (320, 480),
    x_within: Sequence[float] = (),
) -> Image:
    """Lines over a common x axis, with round ticks and a legend.

    Args:
        curves: By name, (x, y) pairs in order of x; points that are not finite are left out.
        title: Text above the panel.
        x_label: Text below the axis.
        size: (height, width) of the picture.
        x_within: The x axis also includes these, so that adjacent panels have the same axis.

    Raises:
        ValueError: No point to draw.
    """
    points = {
        name: [(x, y) for x, y in line if math.isfinite(x + y)] for name, line in curves.items()
    }
    every = [point for line in points.values() for point in line]
    if not every:
        raise ValueError(f"{title}: nothing to draw; give at least one finite point")
    height, width = size
    left, right, top, bottom = 64, width - 16, 34, height - 44
    x_ticks = ticks([*(x for x, _ in every), *x_within])
    y_ticks = ticks([y for _, y in every])
    canvas = np.full((height, width, 3), 255, np.uint8)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]),
            bottom - (bottom - top) * (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]),
        )

    for tick in y_ticks:
        level = round(place(x_ticks[0], tick)[1])
        cv2.line(canvas, (left, level), (right, level), GRID, 1)
        draw_text(canvas, f"{tick:.4g}", (6, level - 5), LETTER)
    for tick in x_ticks:
        column = round(place(tick, y_ticks[0])[0])
        cv2.line(canvas, (column, bottom), (column, bottom + 4), INK, 1)
        _centered(canvas, f"{tick:.4g}", column, bottom + 8)
    cv2.line(canvas, (left, bottom), (right, bottom), INK, 1)
    draw_text(canvas, title, (left, 8), 11)
    _centered(canvas, x_label, (left + right) / 2, height - 18)
    for number, (name, line) in enumerate(points.items()):
        color = CURVES[number % len(CURVES)]
        path = np.array([place(x, y) for x, y in line])
        if len(path):
            fixed = fixed_point(path)
            cv2.polylines(canvas, [fixed], False, color, 2, cv2.LINE_AA, SHIFT)
            for x, y in fixed.tolist():
                cv2.circle(canvas, (x, y), 3 * 2**SHIFT, color, -1, cv2.LINE_AA, SHIFT)
        draw_text(canvas, name, (right - 60 * (len(points) - number), 11), LETTER, color)
    return canvas


def _centered(canvas: Image, text: str, x: float, y: float) -> None:
    draw_text(canvas, text, (x - text_size(text, LETTER)[1] / 2, y), LETTER)


def ticks(values: Sequence[float]) -> NDArray[np.floating[Any]]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose all values."""
    low, high = min(values), max(values)
    if high == low:
        high = low + (abs(low) or 1)
    raw = (high - low) / 5  # about five of them
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return step * np.arange(math.floor(low / step), math.ceil(high / step) + 1)
