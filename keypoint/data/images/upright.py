"""Photos turned upright by their EXIF orientation, and limited in size.

Only for images without annotations: annotations refer to the stored pixel order, which
`read_image` keeps.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.read import ImageHeader, check_header, read_image, require_moderate
from keypoint.errors import DataError

MAX_BYTES = 2**30  # of the file

# EXIF 2.3 section 4.6.4.A, orientation to OpenCV's code of the flip that comes first (1: left and
# right, 0: top and bottom, -1: both); from 5 on rows and columns then change places.
FLIPS = {2: 1, 3: -1, 4: 0, 6: 0, 7: -1, 8: 1}


def moderate_header(path: Path) -> ImageHeader:
    """Read the header of an image that fits in memory; nothing is decoded.

    Raises:
        DataError: `check_header` refuses it, or it has more than 179 million pixels or 1 GiB.
    """
    header = check_header(path)
    if header.image_size is not None:
        require_moderate(path, header.image_size)
    length = path.stat().st_size
    if length > MAX_BYTES:
        raise DataError(
            f"{path}: too large, a file of {length} bytes; up to {MAX_BYTES} are read: make it "
            "smaller"
        )
    return header


def read_upright(path: Path) -> tuple[NDArray[np.uint8], int]:
    """Decode an image and turn it upright.

    Returns:
        (H, W, 3) uint8 RGB, and the EXIF orientation by which it was turned: 1 for none (of a
        JPEG; other forms are taken as stored).

    Raises:
        DataError: `read_image` or `moderate_header` refuses it.
    """
    orientation = moderate_header(path).orientation
    image = read_image(path)
    turned = cv2.flip(image, FLIPS[orientation]) if orientation in FLIPS else image
    upright = cv2.transpose(turned) if orientation >= 5 else turned
    return np.asarray(upright, np.uint8), orientation
