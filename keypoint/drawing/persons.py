"""Pictures: persons on images, heatmaps over crops, sheets of many.

All pictures are RGB uint8 arrays. A person's limbs and keypoints have the color of their side,
left orange, right blue, middle green; the box and the caption have the person's own color.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import FAR, PAPER, RIM, Color, Image, ink_on
from keypoint.drawing.labels import label_points
from keypoint.drawing.strokes import (
    disc_width,
    draw_strokes,
    keypoint_colors,
    stroke_width,
    strokes_of,
)
from keypoint.drawing.text import draw_text, shorten_text, text_size
from keypoint.pose.skeleton import Skeleton

UNNAMED = (255, 255, 255)  # boxes and captions of persons without an id
LABELLED = 0.2  # of the image, that names of keypoints may cover
FAINTEST = 0.5  # opacity of a keypoint at the threshold
GAP, FOOT, TITLE = 6, 18, 9  # px: between the cells of a sheet, for a title, of its capitals
BLOCKS = 3  # enlarged more than this, pixels stay squares; less, they are smoothed


def person_color(number: int) -> Color:
    """Return the RGB color of a person's box and caption by id; consecutive ids differ clearly."""
    hue = np.uint8((number * 0.618034 % 1) * 180)  # golden ratio: no two near each other for long
    bright = np.array([[[hue, 150, 255]]], np.uint8)
    r, g, b = cv2.cvtColor(bright, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return r, g, b


def draw_keypoints(
    image: Image,
    keypoints_image: NDArray[Any],
    scores: NDArray[Any],
    skeleton: Skeleton,
    threshold: float = 0.2,
    *,
    hollow: NDArray[np.bool_] | None = None,
    labels: Sequence[str] | None = None,
    boxes: NDArray[Any] | None = None,
    captions: Sequence[str] | None = None,
    ids: Sequence[int] | None = None,
    own_colors: Sequence[Color] | None = None,
) -> Image:
    """Draw persons on a copy of the image, small ones over large ones, so that both are visible.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints_image: (P, K, 2), the image's frame.
        scores: (P, K); from `threshold` to twice that a keypoint is faded, below it is left out.
            For ground truth give 1 for a labelled keypoint and 0 for others.
        skeleton: Edges and sides.
        threshold: Score from which a keypoint is drawn.
        hollow: (P, K) keypoints to draw as rings: annotated, but hidden.
        labels: K words, one next to each keypoint: the skeleton's names or numbers. The largest
            persons get them, as long as words cover no more than a fifth of the image.
        boxes: (P, 4) xywh, image frame; drawn, and the strokes' width follows them.
        captions: One per person, above the box, or above the keypoints if there are no boxes.
        ids: One per person; they determine the color of box and caption, white without ids.
        own_colors: K colors of labels and disc middles; without, labels have their side's color.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas: Image = image.copy()
    visible = (scores > threshold) & (np.abs(np.nan_to_num(keypoints_image, nan=FAR)) < FAR).all(-1)
    strength = np.clip((scores - threshold) / max(threshold, 1e-6), 0, 1)
    strength = FAINTEST + (1 - FAINTEST) * strength
    frames = _frames(keypoints_image, visible, boxes, image.shape[:2])
    floor = max(40.0, max(image.shape) / 40)  # px; so that a single keypoint is visible
    sizes = np.fmax((frames[:, 2:] - frames[:, :2]).max(axis=1, initial=0), floor)
    colors = keypoint_colors(skeleton)
    owners = [UNNAMED] * len(frames) if ids is None else [person_color(number) for number in ids]
    order = np.argsort(-sizes, kind="stable")
    framed = [p for p in order if np.isfinite(frames[p]).all()]
    for p in framed if boxes is not None else ():
        _draw_box(canvas, frames[p], owners[p])
    for p in order:
        strokes = strokes_of(strength[p], visible[p], skeleton, colors)
        rings = set() if hollow is None else set(np.flatnonzero(hollow[p]).tolist())
        width = stroke_width(sizes[p])
        draw_strokes(canvas, keypoints_image[p], strokes, width, rings, own_colors)
    if labels is not None:
        _draw_labels(canvas, keypoints_image, visible, labels, own_colors or colors, sizes)
    if captions is not None:
        for p in framed:
            _draw_caption(canvas, captions[p], frames[p], owners[p])
    return canvas


def letter_height(image_size: Sequence[int]) -> float:
    """Height of a capital in px, legible when an image of that (height, width) is shown whole."""
    return max(8.0, max(image_size[:2]) / 120)


def _frames(
    points: NDArray[Any],
    visible: NDArray[np.bool_],
    boxes: NDArray[Any] | None,
    image_size: tuple[int, ...],
) -> NDArray[np.float64]:
    """(P, 4) x1 y1 x2 y2 of the boxes, or around the visible points; nan for a person without.

    Clipped to the image, so that a point far outside does not make the box huge.
    """
    frames = np.full((len(points), 4), np.nan)
    limit = np.array(image_size[::-1]) - 1
    for p, shown in enumerate(visible):
        corners = points[p, shown] if boxes is None else boxes[p, :2] + [[0, 0], boxes[p, 2:]]
        if len(corners):
            inside = np.clip(corners, 0, limit)
            frames[p] = [*inside.min(axis=0), *inside.max(axis=0)]
    return frames


def _draw_box(canvas: Image, corners: NDArray[np.float64], color: Color) -> None:
    """A thin frame with a dark rim, in place."""
    width = max(1, round(letter_height(canvas.shape) / 8))
    first, last = corners.round().astype(int).reshape(2, 2).tolist()
    cv2.rectangle(canvas, first, last, RIM, width + 2)
    cv2.rectangle(canvas, first, last, color, width)


def _draw_labels(
    canvas: Image,
    points: NDArray[Any],
    visible: NDArray[np.bool_],
    labels: Sequence[str],
    colors: Sequence[Color],
    sizes: NDArray[np.float64],
) -> None:
    """Write words next to the points of the largest persons, in place, while there is room."""
    inside = visible & ((points >= 0) & (points < canvas.shape[1::-1])).all(axis=-1)
    height = letter_height(canvas.shape)
    areas = np.array([np.prod(text_size(word, height)) for word in labels])  # K
    order = np.argsort(-sizes, kind="stable")
    taken = (inside[order] * areas).sum(axis=1).cumsum()
    crowded = order[1:][taken[1:] > LABELLED * canvas.shape[0] * canvas.shape[1]]
    inside[crowded] = False
    persons, which = np.nonzero(inside)
    if len(persons) == 0:
        return
    middles = np.stack([points[p, inside[p]].mean(axis=0) for p in persons])
    label_points(
        canvas,
        points[inside],
        [labels[int(k)] for k in which],
        [colors[int(k)] for k in which],
        height=height,
        radii=np.array([disc_width(stroke_width(sizes[p])) / 2 + 1 for p in persons]),
        outward=points[inside] - middles,
    )


def _draw_caption(canvas: Image, words: str, frame: NDArray[np.float64], color: Color) -> None:
    """Write words on a plate above the frame, or inside if there is no room above; in place."""
    if not words:
        return
    height = letter_height(canvas.shape)
    size = np.array(text_size(words, height)[::-1]) + round(0.8 * height)  # width, height
    corner = np.array([frame[0], frame[1] - size[1]])
    corner = np.clip(corner, 0, np.maximum(canvas.shape[1::-1] - size, 0)).round().astype(int)
    last = corner + size - 1
    cv2.rectangle(canvas, corner.tolist(), last.tolist(), color, -1)
    cv2.rectangle(canvas, corner.tolist(), last.tolist(), RIM, 1)
    draw_text(canvas, words, corner + 0.4 * height, height, ink_on(color))


def heatmap_overlay(crop: Image, heatmaps: NDArray[Any], *, udp: bool = False) -> Image:
    """The strongest heatmap at each pixel as color over the crop in dim grey.

    Args:
        crop: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w), any real values; 0 to 1 is the color scale. Their pixel (x, y) is
            the crop's (x W / w, y H / h), as in the targets.
        udp: The codec is `udp`, which has W - 1 and w - 1 there.
    """
    height, width = crop.shape[:2]
    strongest = np.clip(np.asarray(heatmaps, np.float32).max(axis=0), 0, 1)
    rows, columns = strongest.shape
    x, y = (width - udp) / (columns - udp), (height - udp) / (rows - udp)
    scale = np.array([[x, 0, 0], [0, y, 0]])
    large = cv2.warpAffine(
        strongest, scale, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    large = np.clip(large, 0, 1)
    color = cv2.applyColorMap((large * 255).astype(np.uint8), cv2.COLORMAP_PLASMA)[..., ::-1]
    grey = 20 + 0.55 * cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    share = np.minimum(1, 2.5 * large)[..., None]  # heat below 0.4 lets the crop through
    return np.asarray(np.rint(grey + share * (color - grey)), np.uint8)


def heatmap_sheet(
    crop: Image, heatmaps: NDArray[Any], skeleton: Skeleton, *, udp: bool = False
) -> Image:
    """All heatmaps over the crop, then each of them with its keypoint's name and peak.

    Args:
        crop: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w), any real values; 0 to 1 is the color scale.
        skeleton: Names of the K keypoints.
        udp: The heatmaps are of the codec `udp`.
    """
    times = max(1, round(224 / crop.shape[0]))
    cell_size = (crop.shape[0] * times, crop.shape[1] * times)
    named = zip(skeleton.keypoints, heatmaps, strict=True)
    titles = [f"all {len(heatmaps)}", *(f"{single.max():.2f} {name}" for name, single in named)]
    pictures = [heatmap_overlay(crop, heatmaps, udp=udp)]
    pictures += [heatmap_overlay(crop, single[None], udp=udp) for single in heatmaps]
    return picture_sheet(pictures, titles, columns=6, cell_size=cell_size)


def picture_sheet(
    images: Sequence[Image],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    cell_size: tuple[int, int] = (240, 240),
) -> Image:
    """Pictures in a grid on light grey, each shrunk or enlarged to fit its cell whole.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes.
        titles: One line under each, cut to the cell's width.
        columns: Cells in a row.
        cell_size: (height, width) for the picture.

    Raises:
        ValueError: No image.
    """
    if not images:
        raise ValueError("a picture sheet needs at least one image")
    height, width = cell_size
    foot = FOOT if titles else 0
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    size = (rows * (height + foot + GAP) + GAP, columns * (width + GAP) + GAP)
    sheet = np.full((*size, 3), PAPER, np.uint8)
    for i, image in enumerate(images):
        picture, _ = fit_picture(image, cell_size)
        y, x = GAP + (i // columns) * (height + foot + GAP), GAP + (i % columns) * (width + GAP)
        top, left = y + (height - picture.shape[0]) // 2, x + (width - picture.shape[1]) // 2
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        if titles:
            words = shorten_text(titles[i], width - 2, TITLE)
            draw_text(sheet, words, (x + 2, y + height + 3), TITLE)
    return sheet


def fit_picture(image: Image, cell_size: tuple[int, int]) -> tuple[Image, float]:
    """A picture shrunk or enlarged to fit (height, width) whole, and the factor.

    If it is enlarged a lot, its pixels become squares, because smoothing would invent detail.
    """
    factor = min(cell_size[0] / image.shape[0], cell_size[1] / image.shape[1])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    if factor > BLOCKS:
        times = math.ceil(factor)
        image = image.repeat(times, axis=0).repeat(times, axis=1)
    method = cv2.INTER_CUBIC if 1 < factor <= BLOCKS else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8), factor


def fit_points(points: NDArray[Any], factor: float | NDArray[Any]) -> NDArray[Any]:
    """Points of an image in the frame of `fit_picture`, which scales about a pixel's corner."""
    return (points + 0.5) * factor - 0.5


def training_sheet(
    crops: Image,
    keypoints_crop: NDArray[Any],
    visibility: NDArray[Any],
    heatmaps: NDArray[Any],
    skeleton: Skeleton,
    *,
    udp: bool = False,
) -> Image:
    """The crops of a training batch with keypoints, and below each the network's heatmaps.

    Args:
        crops: (B, H, W, 3) uint8 RGB.
        keypoints_crop: (B or more, K, 2), crop frame.
        visibility: (B or more, K).
        heatmaps: (B, K, h, w) of the network.
        skeleton: Edges and sides.
        udp: The heatmaps are of the codec `udp`.
    """
    height, width = crops.shape[1:3]
    cell_size = (192, max(1, round(width * (192 / height))))
    above = []
    for crop, points, flags in zip(crops, keypoints_crop, visibility, strict=False):
        picture, factor = fit_picture(crop, cell_size)
        shown = (flags > 0)[None].astype(float)
        above.append(draw_keypoints(picture, fit_points(points, factor)[None], shown, skeleton))
    pairs = zip(crops, heatmaps, strict=True)
    below = [heatmap_overlay(crop, maps, udp=udp) for crop, maps in pairs]
    return picture_sheet(above + below, columns=len(above), cell_size=cell_size)
