"""Read one image from disk as RGB, in its annotations' frame. The only place that decodes images.

OpenCV decodes: torchvision's PNG decoder ends the process on damaged files, and Pillow is slower.
OpenCV returns grey pixels for a JPEG that breaks off, without an error, so the end marker is
looked for here; and it decodes whatever size a header claims, so the size is looked at before.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.image_header import TAIL, ImageHeader, image_form, read_header, truncation
from keypoint.errors import DataError

HEAD = 64 * 1024  # bytes that nearly always hold the size; EXIF and colour profiles come before it
# Of an image whose size no annotation states, half a GiB decoded: Pillow's limit.
MOST_PIXELS = 2**31 // 12
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
        DataError: Missing, another format, truncated, undecodable, or of another size than stated;
            without a stated size, more than 179 million pixels.
    """
    return decode_image(path, read_file(path), image_size)


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def decode_image(
    path: Path, content: bytes, image_size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """`read_image` of bytes that are read already; `path` is for messages."""
    header = _whole_header(path, content, content[-TAIL:], len(content))
    if header.image_size is None:
        raise DataError(
            f"{path}: damaged {header.form} image, its header tells no size; use another copy"
        )
    if image_size is not None:
        _require_size(path, header, image_size)
    elif math.prod(header.image_size) > MOST_PIXELS:
        height, width = header.image_size
        raise DataError(
            f"{path}: too large, {width} x {height} pixels (width x height) where {MOST_PIXELS} in "
            "all are allowed; scale or cut it"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS)
    except cv2.error as error:
        reason = error.err or str(error)
        raise DataError(
            f"{path}: OpenCV refuses this {header.form} image ({reason}); use another copy"
        ) from None
    if image is None:
        raise DataError(f"{path}: damaged {header.form} image, cannot be decoded; use another copy")
    if image_size is not None:
        found = ImageHeader(header.form, (image.shape[0], image.shape[1]), header.orientation)
        _require_size(path, found, image_size)
    return np.asarray(image, np.uint8)


def check_header(path: Path, image_size: tuple[int, int] | None = None) -> ImageHeader:
    """Look at a file's first and last bytes only: 0.15 ms, where `read_image` takes several.

    Finds what is missing, of another format, cut off or of another size; not damaged pixel data.

    Raises:
        DataError: As `read_image`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            length = file.seek(0, 2)
            file.seek(max(0, length - TAIL))
            tail = file.read()
            header = read_header(head)
            if header is not None and header.image_size is None and length > len(head):
                file.seek(0)
                head = file.read()
    except OSError as error:
        raise _unreadable(path, error) from None
    header = _whole_header(path, head, tail, length)
    if image_size is not None and header.image_size is not None:
        _require_size(path, header, image_size)
    return header


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
    return DataError(
        f"{path}: cannot be read ({reason}); check the path, or data.root and the image folder"
    )


def _whole_header(path: Path, head: bytes, tail: bytes, length: int) -> ImageHeader:
    form, header = image_form(head), read_header(head)
    if form is None or header is None:
        is_pointer = head.startswith(b"version https://git-lfs")
        remedy = "fetch it with git lfs pull" if is_pointer else "use another copy"
        raise DataError(f"{path}: not a JPEG, PNG, BMP or WebP image ({length} bytes); {remedy}")
    cut = truncation(form, length, head, tail)
    if cut:
        raise DataError(f"{path}: truncated {form} ({length} bytes, {cut}); use another copy")
    return header


def _require_size(path: Path, header: ImageHeader, image_size: tuple[int, int]) -> None:
    if header.image_size is None or header.image_size == tuple(image_size):
        return
    height, width = header.image_size
    turned = header.orientation >= 5 and header.image_size == tuple(image_size)[::-1]
    exif = (
        f" as its EXIF orientation {header.orientation} shows it, which annotations do not follow"
        if turned
        else ""
    )
    raise DataError(
        f"{path}: image is {width} x {height} pixels (width x height), "
        f"its annotations say {image_size[1]} x {image_size[0]}{exif}; "
        "keypoints would be off: use the original image"
    )
