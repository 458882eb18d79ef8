"""Read one image from disk as RGB, in its annotations' frame. The only place that decodes images.

OpenCV decodes: torchvision's PNG decoder ends the process on damaged files, and Pillow is slower.
OpenCV returns grey pixels for a JPEG that breaks off, without an error, so the end marker is
looked for here.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"RIFF": "WebP"}
JPEG_END = b"\xff\xd9"
JPEG_TAIL = 4096  # bytes searched for the end marker: some cameras append a little after it
# As stored: COCO's annotations do not know the EXIF orientation, by which cv2.imread would turn.
FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(path: Path, image_size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP or WebP file.

    Args:
        path: The file.
        image_size: (height, width) that the annotation file states; None to take what comes.

    Returns:
        (H, W, 3) uint8, RGB, EXIF orientation ignored.

    Raises:
        DataError: Missing, another format, truncated, undecodable, or of another size than stated.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check data.root and the image folder"
        ) from None
    forms = [name for signature, name in SIGNATURES.items() if content.startswith(signature)]
    form = forms[0] if forms else None
    if form is None:
        raise DataError(
            f"{path}: not a JPEG, PNG, BMP or WebP image ({len(content)} bytes); use another copy"
        )
    if form == "JPEG" and JPEG_END not in content[-JPEG_TAIL:]:
        raise DataError(
            f"{path}: truncated JPEG ({len(content)} bytes, no end marker); use another copy"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS)
    except cv2.error as error:
        raise DataError(f"{path}: OpenCV refuses this {form} image: {error.err or error}") from None
    if image is None:
        raise DataError(f"{path}: damaged {form} image, cannot be decoded; use another copy")
    if image_size is not None and image.shape[:2] != tuple(image_size):
        raise DataError(
            f"{path}: image is {image.shape[1]} x {image.shape[0]} (width x height), "
            f"its annotations say {image_size[1]} x {image_size[0]}; "
            "keypoints would be off: use the original image"
        )
    return np.asarray(image, np.uint8)
