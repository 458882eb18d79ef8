"""Heat of a block's row and of a receptive field, with regions, squares and the query.

All pictures are RGB uint8 arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import RIM, SHIFT, Color, Image, fixed_point

WARM, COLD = (255, 110, 40), (40, 150, 255)  # of positive and negative weights
QUERY = (255, 255, 255)
# One for each scale of a pyramid, and for the squares of growing shares.
SCALES = ((255, 220, 60), (255, 90, 60), (90, 220, 255), (130, 240, 120))
SOFT = 0.5  # exponent of a field's heat; without it only the middle is visible


def draw_weights(image: Image, heat: NDArray[Any], *, signed: bool = False) -> Image:
    """Weights as color over the image in dim grey.

    Args:
        image: (H, W, 3) uint8 RGB.
        heat: (h, w) from -1 to 1, stretched over the whole image; each of them a rectangle.
        signed: Warm for positive and cold for negative ones; else a scale from 0 to 1.
    """
    height, width = image.shape[:2]
    large = cv2.resize(
        np.asarray(heat, np.float32), (width, height), interpolation=cv2.INTER_NEAREST
    )
    strength = np.clip(np.abs(large), 0, 1)[..., None]
    grey = 20 + 0.55 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    if signed:
        color = np.where(large[..., None] > 0, WARM, COLD).astype(np.float32)
        share = strength
    else:
        levels = (strength[..., 0] * 255).astype(np.uint8)
        color = cv2.applyColorMap(levels, cv2.COLORMAP_PLASMA)[..., ::-1].astype(np.float32)
        share = 0.8 * np.minimum(1, 2.5 * strength)  # the image stays visible
    return np.asarray(np.rint(grey + share * (color - grey)), np.uint8)


def draw_field(
    scores: NDArray[Any], size: tuple[int, int], squares: Sequence[tuple[float, float, float]] = ()
) -> Image:
    """A receptive field on black, by the square root of its scores.

    Args:
        scores: (H, W) from 0 to 1.
        size: (height, width) of the picture.
        squares: (x, y, side) each: middle and side in pixels of the scores.
    """
    height, width = size
    levels = (255 * np.clip(np.asarray(scores, float), 0, 1) ** SOFT).astype(np.uint8)
    large = cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST)
    picture = np.ascontiguousarray(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO)[..., ::-1])
    scale_x, scale_y = width / scores.shape[1], height / scores.shape[0]
    for number, (x, y, side) in enumerate(squares):
        corners = np.array([[x, y], [x, y]]) + [[-side / 2], [side / 2]] + 0.5
        corners = corners * [scale_x, scale_y] - 0.5
        draw_box(picture, corners.ravel(), SCALES[number % len(SCALES)])
    return picture


def draw_regions(
    image: Image, boxes: Sequence[Sequence[float]], color: Color, *, width: int = 1
) -> None:
    """Frame regions, in place.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: x1, y1, x2, y2 each, as shares of the image's width and height.
        color: Of the lines.
        width: Of the lines, px.
    """
    extent = np.array([image.shape[1], image.shape[0]] * 2)
    for box in boxes:
        draw_box(image, np.asarray(box) * extent + [0, 0, -1, -1], color, width)


def draw_box(image: Image, corners: NDArray[Any], color: Color, width: int = 1) -> None:
    """A frame with a dark rim, in place; x1, y1, x2, y2 in pixels."""
    first, last = np.rint(corners).astype(int).reshape(2, 2).tolist()
    for across, shade in ((width + 2, RIM), (width, color)):
        cv2.rectangle(image, first, last, shade, across)


def draw_query(image: Image, x: float, y: float) -> None:
    """Mark a point by a ring with a dot, in place; as shares of the image's width and height."""
    place = np.array([x * image.shape[1], y * image.shape[0]]) - 0.5
    middle = fixed_point(place[None])[0].tolist()
    ring, dot = (round(r * 2**SHIFT) for r in (6.0, 1.5))
    for radius, across, shade in ((ring, 4, RIM), (ring, 2, QUERY), (dot, -1, QUERY)):
        cv2.circle(image, middle, radius, shade, across, cv2.LINE_AA, SHIFT)
