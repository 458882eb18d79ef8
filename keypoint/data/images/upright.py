"""Read photos turned upright by their EXIF orientation, with a limit on their size.

Only for images without annotations: annotations refer to the stored pixel order, which
`read_image` keeps.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.header import ImageHeader, read_header
from keypoint.data.images.read import check_header, decode_image, read_file, require_moderate
from keypoint.errors import DataError

MAX_BYTES = 2**30  # of the file

# EXIF 2.3 section 4.6.4.A, orientation to OpenCV's code of the flip that comes first (1: left and
# right, 0: top and bottom, -1: both); from 5 on, rows and columns are then swapped.
FLIPS = {2: 1, 3: -1, 4: 0, 6: 0, 7: -1, 8: 1}


def moderate_header(path: Path) -> ImageHeader:
    """Read the header of an image that fits in memory; nothing is decoded.

    Raises:
        DataError: `check_header` refuses it, or it has more than 179 million pixels or 1 GiB.
    """
    length = path.stat().st_size if path.is_file() else 0
    if length > MAX_BYTES:
        raise DataError(
            f"{path}: too large, a file of {length} bytes; up to {MAX_BYTES} are read: make it "
            "smaller"
        )
    header = check_header(path)
    require_moderate(path, header.image_size or (0, 0))
    return header


def read_upright(path: Path) -> tuple[NDArray[np.uint8], int]:
    """Decode an image and turn it upright.

    Returns:
        (H, W, 3) uint8 RGB, and the EXIF orientation that was applied: 1 for none.

    Raises:
        DataError: `read_image` or `moderate_header` refuses it.
    """
    moderate_header(path)
    content = read_file(path)
    image = decode_image(path, content)
    header = read_header(content)
    orientation = header.orientation if header else 1
    turned = cv2.flip(image, FLIPS[orientation]) if orientation in FLIPS else image
    upright = cv2.transpose(turned) if orientation >= 5 else turned
    return np.asarray(upright, np.uint8), orientation
