"""Cut a crop out of an image: with OpenCV alone, neither torch nor albumentations."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Cut a crop: bilinear, black outside the image.

    Args:
        image: (H, W, C) uint8.
        matrix: (2, 3), image frame to crop frame.
        input_size: (height, width) of the crop.

    Returns:
        (height, width, C) uint8.
    """
    height, width = input_size
    crop = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)
