"""Words on pictures: measured, cut to a width, and legible on any ground by a dark rim.

OpenCV's built-in letters, which are ASCII alone: what they lack is shown as a question mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
DIRECTIONS = np.exp(2j * np.pi * np.arange(16) / 16).view(float).reshape(-1, 2)
SHIFT = 4  # fractional bits of OpenCV's coordinates
STEPS = 8  # distances at which a place for a word is looked for
CAPITAL = 22.0  # px, height of a capital letter at OpenCV's scale 1
INK, PAPER, RIM = (40, 40, 40), (240, 240, 240), (20, 20, 20)


def words_size(words: str, height: float) -> tuple[int, int]:
    """(height, width) in pixels of a line whose capitals are `height` px tall, tails included."""
    (width, _), _ = cv2.getTextSize(_ascii(words), FONT, height / CAPITAL, _weight(height))
    return round(1.4 * height) + 1, int(width) + 1


def write_words(
    canvas: Image,
    words: str,
    corner: Sequence[float],
    height: float,
    color: Color = INK,
    rim: Color | None = None,
) -> None:
    """Write one line, in place.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        words: What is not ASCII becomes a question mark.
        corner: (x, y) of the top left of the box that `words_size` measures.
        height: Of a capital, px.
        color: Of the letters.
        rim: About each letter; None where the ground is plain.
    """
    place = (round(corner[0]), round(corner[1] + 1.1 * height))
    scale, weight = height / CAPITAL, _weight(height)
    if rim is not None:
        (_, width), tail = words_size(words, height), 3 * weight + 2
        first = max(0, place[0] - tail), max(0, round(corner[1]) - tail)
        last = place[0] + width + tail, round(corner[1] + 1.5 * height) + tail
        window = canvas[first[1] : max(0, last[1]), first[0] : max(0, last[0])]
        if window.size == 0:
            return
        letters = np.zeros(window.shape[:2], np.uint8)
        at = (place[0] - first[0], place[1] - first[1])
        cv2.putText(letters, _ascii(words), at, FONT, scale, 255, weight, cv2.LINE_AA)
        wide = cv2.dilate(letters, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        wide = cv2.GaussianBlur(wide, (3, 3), 0)
        for mask, shade in ((np.minimum(2.0 * wide, 255), rim), (letters, color)):
            share = mask[..., None] / 255.0
            window[:] = np.rint(window + share * (np.array(shade) - window))
        return
    cv2.putText(canvas, _ascii(words), place, FONT, scale, color, weight, cv2.LINE_AA)


def cut_words(words: str, width: float, height: float) -> str:
    """Words cut from the end, two dots in the place of what is missing, to fit `width` px."""
    words = _ascii(words)
    if words_size(words, height)[1] <= width:
        return words
    while words and words_size(words + "..", height)[1] > width:
        words = words[:-1]
    return words + ".." if words else ""


def ink_on(ground: Color) -> Color:
    """Black or white, whichever has the higher contrast with a ground."""
    return (0, 0, 0) if luminance(ground) > 0.179 else (255, 255, 255)


def luminance(color: Sequence[float]) -> float:
    """Relative luminance of sRGB 0 to 255, from 0 to 1 (WCAG 2.1)."""
    share = np.asarray(color, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


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
    """Write a word beside each point, in place; a thin line leads to one that is not near.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        points: (N, 2), image frame.
        words: N.
        colors: N, of the points; their words are paler.
        height: Of a capital, px.
        radii: As `place_words` takes them.
        outward: The same.
    """
    extents = np.array([words_size(word, height) for word in words]).reshape(-1, 2)
    corners = place_words(points, extents, canvas.shape[:2], radii, outward)
    pale = [((r + 255) // 2, (g + 255) // 2, (b + 255) // 2) for r, g, b in colors]
    for n, (point, corner) in enumerate(zip(points, corners, strict=True)):
        near = np.clip(point, corner, corner + extents[n, ::-1])
        distance = float(np.linalg.norm(near - point))
        if distance > radii[n] + height:
            start = point + (near - point) * (radii[n] / distance)
            tail, head = np.rint(np.stack([start, near]) * 2**SHIFT).astype(int).tolist()
            for across, color in ((3, RIM), (1, pale[n])):
                cv2.line(canvas, tail, head, color, across, cv2.LINE_AA, SHIFT)
    for word, corner, color in zip(words, corners, pale, strict=True):
        write_words(canvas, word, corner, height, color, RIM)


def place_words(
    points: NDArray[np.floating[Any]],
    extents: NDArray[np.integer[Any]],
    image_size: tuple[int, ...],
    radii: NDArray[np.floating[Any]],
    outward: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Where to write a word beside each point: clear of all points, of other words, in the image.

    Near places come first, and of those the outward ones. Where nothing is free, the word covers
    as little as can be.

    Args:
        points: (N, 2), image frame.
        extents: (N, 2) height and width of the words, px.
        image_size: (height, width).
        radii: (N,) of the discs about the points, px.
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


def _ascii(words: str) -> str:
    return words.encode("ascii", "replace").decode()


def _weight(height: float) -> int:
    """Thickness of a letter's lines in px, where the letters are drawn as lines (OpenCV 4)."""
    return max(1, round(height / 12))
