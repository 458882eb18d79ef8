"""The strokes of one person: limbs and keypoints in the colors of their side, on a dark rim.

They are drawn on a layer of their own, which is blended over the image once: faded strokes that
cross do not add up, and no rim cuts a limb. OpenCV draws at 1/16 pixel (SHIFT), so that keypoints
between pixels stay there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import RIM, SHIFT, Color, Image, fixed_point
from keypoint.pose.skeleton import Skeleton

LEFT, RIGHT, MIDDLE = (255, 150, 40), (60, 170, 255), (120, 235, 120)  # orange, blue, green
TONES = ((255, 255), (100, 255), (255, 170), (120, 190))  # saturation and value
SMOOTHING = 1.4  # px by which OpenCV's anti-aliasing widens a polygon, as measured
CORE = 0.7  # of a disc, its middle in the keypoint's own color
THIN = 1.7  # px; below, its line of thickness 1 is closer: 1.4 px wide
HALF_TURN = np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, 9)).view(float).reshape(-1, 2)

Stroke = tuple[float, int, Color, tuple[int, ...]]  # strength, ends, color, keypoints


def keypoint_colors(skeleton: Skeleton) -> list[Color]:
    """One RGB color per keypoint: by the side that the skeleton's pairs give it."""
    left = {pair[0] for pair in skeleton.pairs}
    right = {pair[1] for pair in skeleton.pairs}
    return [
        LEFT if name in left else RIGHT if name in right else MIDDLE for name in skeleton.keypoints
    ]


@lru_cache
def distinct_colors(number: int) -> list[Color]:
    """Return RGB colors, each as different as possible from the previous ones; 256 at most."""
    hues, tones = np.arange(0, 180, 180 / 64), np.array(TONES)
    hsv = [np.repeat(hues, len(tones)), *np.tile(tones, (len(hues), 1)).T]
    bright = np.stack(hsv, axis=-1).astype(np.uint8)[None]
    choice = cv2.cvtColor(bright, cv2.COLOR_HSV2RGB)[0].astype(int)  # 256 3
    distance = np.full(len(choice), np.inf)
    colors: list[Color] = []
    for _ in range(min(number, len(choice))):
        r, g, b = choice[int(distance.argmax())].tolist()
        colors.append((r, g, b))
        distance = np.minimum(distance, np.linalg.norm(choice - colors[-1], axis=1))
    return [colors[n % len(colors)] for n in range(number)]


def stroke_width(size: float) -> float:
    """Width of a limb in px for a person of that size in px: 3.4 for 200, 7.9 for 600."""
    return 1.2 + size / 90


def disc_width(width: float) -> float:
    """Diameter in px of a keypoint's disc if limbs are `width` px wide."""
    return 1.4 + 1.8 * width


def strokes_of(
    strength: NDArray[Any], shown: NDArray[np.bool_], skeleton: Skeleton, colors: Sequence[Color]
) -> list[Stroke]:
    """Limbs and points in drawing order, those of a higher score last.

    A limb has the lower score of its two ends and is drawn first; ties are sorted by color,
    so that the order of the skeleton's edges makes no difference.
    """
    strokes: list[Stroke] = [
        (float(min(strength[a], strength[b])), 2, _mix(colors[a], colors[b]), (a, b))
        for a, b in skeleton.edge_indices
        if shown[a] and shown[b]
    ]
    strokes += [(float(strength[k]), 1, colors[k], (k,)) for k in np.flatnonzero(shown).tolist()]
    return sorted(strokes, key=lambda stroke: (stroke[0], -stroke[1], stroke[2]))


def _mix(a: Color, b: Color) -> Color:
    """A limb between two sides has the middle's color."""
    return a if a == b else MIDDLE if MIDDLE not in (a, b) else (a if b == MIDDLE else b)


def draw_strokes(
    canvas: Image,
    points: NDArray[Any],
    strokes: Sequence[Stroke],
    width: float,
    rings: AbstractSet[int] = frozenset(),
    cores: Sequence[Color] | None = None,
) -> None:
    """Blend a person's strokes over the image, in place; only the pixels around them change.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        points: (K, 2), image frame.
        strokes: Of `strokes_of`.
        width: Of a limb, px.
        rings: Keypoints whose disc has a dark hole.
        cores: K colors in the middle of the other discs, if any.
    """
    if not strokes:
        return
    rim = 0.7 + 0.1 * width
    disc = disc_width(width)
    reach = disc + rim + 2
    used = points[[k for stroke in strokes for k in stroke[3]]]
    first = np.clip(np.floor(used.min(axis=0) - reach), 0, canvas.shape[1::-1]).astype(int)
    last = np.clip(np.ceil(used.max(axis=0) + reach), 0, canvas.shape[1::-1]).astype(int)
    window = canvas[first[1] : last[1], first[0] : last[0]]
    if window.size == 0:
        return
    layer = np.full(window.shape, RIM[0], np.uint8)  # a grey
    opacity = np.zeros(window.shape[:2], np.uint8)
    for strength, ends, color, which in strokes:
        path = points[list(which)] - first
        ring = ends == 1 and which[0] in rings
        across = width if ends == 2 else disc * (1.3 if ring else 1)
        _stroke(layer, path, across, color)
        _stroke(opacity, path, across + 2 * rim, (round(255 * strength),))
        if ring:
            _stroke(layer, path, max(THIN, 0.6 * across), RIM)
        elif ends == 1 and cores is not None:
            _stroke(layer, path, max(THIN, CORE * across), cores[which[0]])
    share = cv2.merge([opacity] * 3)
    cv2.multiply(layer, share, dst=layer, scale=1 / 255)
    cv2.bitwise_not(share, dst=share)
    cv2.add(layer, cv2.multiply(window, share, dst=share, scale=1 / 255), dst=window)


def _stroke(canvas: Image, path: NDArray[Any], width: float, color: tuple[int, ...]) -> None:
    """A line of `width` px with round ends between two points, or a disc around one.

    Drawn as a polygon: OpenCV's lines have only every other width, its small discs have corners.
    """
    start, end = fixed_point(path[[0, -1]]).tolist()
    if width < THIN:
        cv2.line(canvas, start, end, color, 1, cv2.LINE_AA, SHIFT)
        return
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y)
    x, y = (x / length, y / length) if length else (1.0, 0.0)
    turned = HALF_TURN @ np.array([[x, y], [-y, x]]) * ((width - SMOOTHING) / 2 * 2**SHIFT)
    outline = np.concatenate([end + turned, start - turned])
    cv2.fillConvexPoly(canvas, np.rint(outline).astype(np.int32), color, cv2.LINE_AA, SHIFT)
