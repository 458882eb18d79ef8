"""Pictures: keypoints on images, heatmaps over crops, sheets of many, curves.

All pictures are RGB uint8 arrays, drawn by OpenCV. Colours tell the person's side: left, right and
middle keypoints each have one, legible on light and dark because every stroke has a dark rim.
OpenCV draws at 1/16 pixel (SHIFT), so that keypoints between pixels stay there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.skeleton import Skeleton, skeleton_from_dict

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

SHIFT = 4  # fractional bits of OpenCV's coordinates
LEFT, RIGHT, MIDDLE = (255, 150, 40), (60, 170, 255), (120, 235, 120)  # orange, blue, green
RIM = (20, 20, 20)
INK, PAPER, GRID = (40, 40, 40), (255, 255, 255), (225, 225, 225)
CURVES = [(31, 119, 180), (214, 90, 20), (44, 140, 44), (148, 80, 180)]
FONT = cv2.FONT_HERSHEY_SIMPLEX


def keypoint_colors(skeleton: Skeleton) -> list[Color]:
    """One RGB colour per keypoint: by the side that the skeleton's pairs give it."""
    left = {pair[0] for pair in skeleton.pairs}
    right = {pair[1] for pair in skeleton.pairs}
    return [
        LEFT if name in left else RIGHT if name in right else MIDDLE for name in skeleton.keypoints
    ]


def draw_keypoints(
    image: Image,
    keypoints_image: NDArray[Any],
    scores: NDArray[Any],
    skeleton: Skeleton,
    threshold: float = 0.2,
) -> Image:
    """Persons on a copy of the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints_image: (P, K, 2), the image's frame.
        scores: (P, K); from `threshold` to twice that a keypoint is faded, below it is left out.
            For ground truth give 1 where there is a label and 0 elsewhere.
        skeleton: Edges and sides.
        threshold: See `scores`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas: Image = image.copy()
    colors = keypoint_colors(skeleton)
    for points, values in zip(keypoints_image, scores, strict=True):
        shown = (values > threshold) & np.isfinite(points).all(axis=1)
        if not shown.any():
            continue
        extent = float(np.ptp(points[shown], axis=0).max())
        width = max(1, min(8, round(extent / 70)))  # px; a person 200 px tall gets 3
        strokes = [(a, b) for a, b in skeleton.edge_indices if shown[a] and shown[b]]
        for rim in (True, False):  # all rims first, so that no rim cuts a limb
            for a, b in strokes:
                color = RIM if rim else _mix(colors[a], colors[b])
                strength = _strength(min(values[a], values[b]), threshold)
                _stroke(canvas, points[[a, b]], width + 2 * rim, color, strength)
            for k in np.flatnonzero(shown):
                color = RIM if rim else colors[k]
                strength = _strength(values[k], threshold)
                _stroke(canvas, points[[k]], width * 1.2 + 1 + rim, color, strength)
    return canvas


def heatmap_overlay(crop: Image, heatmaps: NDArray[Any]) -> Image:
    """The strongest heatmap at each pixel as colour over a darkened crop.

    Args:
        crop: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w), any real values; 0 to 1 is the colour scale.
    """
    strongest = np.clip(heatmaps.max(axis=0), 0, 1)
    large = cv2.resize(
        (strongest * 255).astype(np.uint8), crop.shape[1::-1], interpolation=cv2.INTER_LINEAR
    )
    color = cv2.applyColorMap(large, cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.asarray(cv2.addWeighted(crop, 0.45, color, 0.75, 0), np.uint8)


def picture_sheet(
    images: Sequence[Image],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    cell_size: tuple[int, int] = (240, 240),
) -> Image:
    """Pictures in a grid, each shrunk or enlarged to fit its cell whole.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes.
        titles: One line under each.
        columns: Cells in a row.
        cell_size: (height, width) for the picture.

    Raises:
        ValueError: No image.
    """
    if not images:
        raise ValueError("a picture sheet needs at least one image")
    height, width = cell_size
    foot = 18 if titles else 0
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + foot + 6) + 6, columns * (width + 6) + 6, 3), 255, np.uint8)
    for i, image in enumerate(images):
        scale = min(height / image.shape[0], width / image.shape[1])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, size, interpolation=method)
        top = 6 + (i // columns) * (height + foot + 6) + (height - size[1]) // 2
        left = 6 + (i % columns) * (width + 6) + (width - size[0]) // 2
        sheet[top : top + size[1], left : left + size[0]] = small
        if titles:
            base = 6 + (i // columns) * (height + foot + 6) + height + 13
            corner = (8 + (i % columns) * (width + 6), base)
            cv2.putText(sheet, titles[i], corner, FONT, 0.4, INK, 1, cv2.LINE_AA)
    return sheet


def training_sheet(
    crops: Image,
    keypoints_crop: NDArray[Any],
    visibility: NDArray[Any],
    heatmaps: NDArray[Any],
    skeleton: Mapping[str, Any],
) -> Image:
    """For each crop of a training batch: its keypoints above, the network's heatmaps below.

    Args:
        crops: (B, H, W, 3) uint8 RGB.
        keypoints_crop: (B or more, K, 2), crop frame.
        visibility: (B or more, K).
        heatmaps: (B, K, h, w) of the network.
        skeleton: As a checkpoint holds it.
    """
    parts = skeleton_from_dict(dict(skeleton), source="checkpoint")
    above = [
        draw_keypoints(crop, points[None], (flags > 0)[None].astype(float), parts)
        for crop, points, flags in zip(crops, keypoints_crop, visibility, strict=False)
    ]
    below = [heatmap_overlay(crop, maps) for crop, maps in zip(crops, heatmaps, strict=True)]
    height, width = crops.shape[1:3]
    cell_size = (192, max(1, round(width * (192 / height))))
    return picture_sheet(above + below, columns=len(above), cell_size=cell_size)


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
        title: Above.
        x_label: Below the axis.
        size: (height, width) of the picture.
        x_within: The axis encloses these too, so that pictures side by side have the same.

    Raises:
        ValueError: No point to draw.
    """
    points = {
        name: [(x, y) for x, y in line if math.isfinite(x + y)] for name, line in curves.items()
    }
    every = [point for line in points.values() for point in line]
    if not every:
        raise ValueError(f"{title}: there is no point to draw")
    height, width = size
    left, right, top, bottom = 64, width - 16, 34, height - 44
    x_ticks = _ticks([*(x for x, _ in every), *x_within])
    y_ticks = _ticks([y for _, y in every])
    canvas = np.full((height, width, 3), 255, np.uint8)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]),
            bottom - (bottom - top) * (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]),
        )

    def text(words: str, x: float, y: float, scale: float = 0.38, color: Color = INK) -> None:
        cv2.putText(canvas, words, (int(x), int(y)), FONT, scale, color, 1, cv2.LINE_AA)

    for tick in y_ticks:
        level = round(place(x_ticks[0], tick)[1])
        cv2.line(canvas, (left, level), (right, level), GRID, 1)
        text(f"{tick:.4g}", 6, level + 4)
    for tick in x_ticks:
        column = round(place(tick, y_ticks[0])[0])
        cv2.line(canvas, (column, bottom), (column, bottom + 4), INK, 1)
        text(f"{tick:.4g}", column - 8, bottom + 17)
    cv2.line(canvas, (left, bottom), (right, bottom), INK, 1)
    text(title, left, 20, 0.5)
    text(x_label, (left + right) / 2 - 20, height - 10)
    for number, (name, line) in enumerate(points.items()):
        color = CURVES[number % len(CURVES)]
        path = np.array([place(x, y) for x, y in line])
        if len(path):
            fixed = (path * 2**SHIFT).round().astype(np.int32)
            cv2.polylines(canvas, [fixed], False, color, 2, cv2.LINE_AA, SHIFT)
            for x, y in fixed.tolist():
                cv2.circle(canvas, (x, y), 3 * 2**SHIFT, color, -1, cv2.LINE_AA, SHIFT)
        text(name, right - 60 * (len(points) - number), 20, color=color)
    return canvas


def _ticks(values: Sequence[float], about: int = 5) -> NDArray[np.floating[Any]]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose all values."""
    low, high = min(values), max(values)
    if high == low:
        high = low + (abs(low) or 1)
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return step * np.arange(math.floor(low / step), math.ceil(high / step) + 1)


def _mix(a: Color, b: Color) -> Color:
    """A limb between two sides is in the middle's colour."""
    return a if a == b else MIDDLE if MIDDLE not in (a, b) else (a if b == MIDDLE else b)


def _strength(score: float, threshold: float) -> float:
    """0.35 at the threshold, 1 from twice the threshold on."""
    return float(np.clip(0.35 + 0.65 * (score - threshold) / max(threshold, 1e-6), 0.35, 1))


def _stroke(
    canvas: Image, points: NDArray[Any], width: float, color: Color, strength: float
) -> None:
    """A line of `width` px between two points, or a disc of that radius about one point.

    It is faded by `strength`, and only its neighbourhood is touched.
    """
    if np.abs(points).max() > 2**24:  # beyond OpenCV's fixed-point range, far outside any picture
        return
    border = math.ceil(4 * width) + 8
    first = np.maximum(np.floor(points.min(axis=0)).astype(int) - border, 0)
    last = np.minimum(np.ceil(points.max(axis=0)).astype(int) + border, canvas.shape[1::-1])
    if (last <= first).any():
        return
    window = canvas[first[1] : last[1], first[0] : last[0]]
    layer = window.copy()
    fixed = [(int(x), int(y)) for x, y in ((points - first) * 2**SHIFT).round()]
    if len(fixed) == 2:
        cv2.line(layer, fixed[0], fixed[1], color, int(width), cv2.LINE_AA, SHIFT)
    else:
        cv2.circle(layer, fixed[0], int(width * 2**SHIFT), color, -1, cv2.LINE_AA, SHIFT)
    window[:] = cv2.addWeighted(layer, strength, window, 1 - strength, 0)


def training_curves(history: Sequence[Mapping[str, Any]]) -> Image:
    """Loss and AP over the epochs of a run, one panel each.

    Args:
        history: The trainer's records: `epoch`, `loss`, and `metrics` where an evaluation was due.

    Returns:
        (H, W, 3) uint8 RGB; the AP panel is there only if something was evaluated.
    """
    epochs = [r["epoch"] for r in history]
    losses = {"loss": [(r["epoch"], r["loss"]) for r in history]}
    panels = [draw_curves(losses, "training loss", "epoch", x_within=epochs)]
    scored = [r for r in history if "metrics" in r]
    if scored:
        names = ("AP", "AP50", "AR")
        lines = {name: [(r["epoch"], r["metrics"][name]) for r in scored] for name in names}
        panels.append(draw_curves(lines, "evaluation", "epoch", x_within=epochs))
    return np.concatenate(panels, axis=1)
