"""The basis of all pictures: RGB uint8 arrays, their common colors, and lines at 1/16 pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

INK, PAPER, RIM = (40, 40, 40), (240, 240, 240), (20, 20, 20)
SHIFT = 4  # fractional bits of OpenCV's coordinates
FAR = 2**24  # px; beyond OpenCV's fixed-point range, far outside any picture


def fixed_point(points: NDArray[Any]) -> NDArray[np.int32]:
    """Convert coordinates to those of OpenCV's drawing functions with `SHIFT`."""
    fixed: NDArray[np.int32] = np.rint(points * 2**SHIFT).astype(np.int32)
    return fixed


def draw_line(canvas: Image, start: NDArray[Any], end: NDArray[Any], color: Color) -> None:
    """Draw a thin line with a dark rim, in place."""
    tail, head = fixed_point(np.stack([start, end])).tolist()
    for width, shade in ((3, RIM), (1, color)):
        cv2.line(canvas, tail, head, shade, width, cv2.LINE_AA, SHIFT)


def ink_on(ground: Color) -> Color:
    """Return black or white, whichever has the higher contrast with a background.

    By the relative luminance of WCAG 2.1; black and white are equally far from 0.179.
    """
    share = np.asarray(ground, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return (0, 0, 0) if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else (255, 255, 255)
