"""A word next to each keypoint: near it, outward, clear of all points and of other words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import RIM, Color, Image, draw_line
from keypoint.drawing.text import draw_text, text_size

DIRECTIONS = np.exp(2j * np.pi * np.arange(16) / 16).view(float).reshape(-1, 2)
STEPS = 8  # distances at which a place for a word is tried


def label_points(
    canvas: Image,
    points: NDArray[np.floating[Any]],
    words: Sequence[str],
    colors: Sequence[Color],
    *,
    height: float,
    radii: NDArray[np.floating[Any]],
    outward: NDArray[np.floating[Any]],
) -> None:
    """Write a word next to each point, in place; a thin line joins the two if they are apart.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        points: (N, 2), image frame.
        words: (N,) of them.
        colors: (N,) of the points; their words are paler.
        height: Of a capital, px.
        radii: (N,) of the points' discs, px.
        outward: (N, 2) from the middle of the point's person, px.
    """
    extents = np.array([text_size(word, height) for word in words]).reshape(-1, 2)
    corners = place_words(points, extents, canvas.shape[:2], radii, outward)
    pale = [((r + 255) // 2, (g + 255) // 2, (b + 255) // 2) for r, g, b in colors]
    for n, (point, corner) in enumerate(zip(points, corners, strict=True)):
        near = np.clip(point, corner, corner + extents[n, ::-1])
        distance = float(np.linalg.norm(near - point))
        if distance > radii[n] + height:
            start = point + (near - point) * (radii[n] / distance)
            draw_line(canvas, start, near, pale[n])
    for word, corner, color in zip(words, corners, pale, strict=True):
        draw_text(canvas, word, corner, height, color, RIM)


def place_words(
    points: NDArray[np.floating[Any]],
    extents: NDArray[np.integer[Any]],
    image_size: tuple[int, ...],
    radii: NDArray[np.floating[Any]],
    outward: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Place a word next to each point: clear of all points and of other words, in the image.

    Near places come first, and of those the outward ones. If nothing is free, the word covers as
    little as possible.

    Args:
        points: (N, 2), image frame.
        extents: (N, 2) height and width of the words, px.
        image_size: (height, width).
        radii: (N,) of the points' discs, px.
        outward: (N, 2) from the middle of the point's person, px.

    Returns:
        (N, 2) top left corners, x and y.
    """
    corners = np.zeros((len(points), 2))
    reach = radii[:, None]
    taken = np.concatenate([points - reach, points + reach], axis=1)  # x1 y1 x2 y2
    for n in np.argsort(-np.linalg.norm(outward, axis=1), kind="stable"):
        extent = extents[n, ::-1]
        steps = radii[n] + 2 + np.arange(STEPS) * 0.7 * extents[n, 0]
        # The word touches the circle of that radius with a corner, or with the middle of a side.
        aside = np.clip(DIRECTIONS * 2**0.5, -1, 1) * extent / 2
        middles = points[n] + DIRECTIONS * steps[:, None, None] + aside  # STEPS 16 2
        tried = (middles - extent / 2).reshape(-1, 2)
        room = np.array(image_size[1::-1]) - extent
        outside = np.maximum(np.maximum(-tried, tried - room), 0).max(axis=1)
        boxes = np.concatenate([tried, tried + extent], axis=1)
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        others = taken[((taken[:, :2] < high) & (taken[:, 2:] > low)).all(axis=1)]
        last = np.minimum(boxes[:, None, 2:], others[:, 2:])
        covered = np.clip(last - np.maximum(boxes[:, None, :2], others[:, :2]), 0, None)
        away = outward[n] / max(1.0, float(np.linalg.norm(outward[n])))
        against = (1 - np.tile(DIRECTIONS @ away, STEPS)) * extents[n, 0] / 2
        far = np.repeat(steps, len(DIRECTIONS))
        best = (1000 * (outside + covered.prod(axis=2).sum(axis=1)) + far + against).argmin()
        corners[n] = tried[best]
        taken = np.concatenate([taken, boxes[best][None]])
    return corners
