"""Read one image from disk as RGB, in its annotations' frame, and cut crops out of it.

The only module that decodes images. It uses OpenCV, because torchvision's PNG decoder ends the
process on damaged files, and Pillow is slower. OpenCV returns grey pixels for a truncated JPEG
without an error, so the end marker is checked (header.py); and it decodes any size that a header
states (1.2 GB for a 400 kB PNG of 20,000 x 20,000), so the size is read first. Imports neither
torch nor albumentations.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.header import ImageHeader, read_header, shows_end, truncation
from keypoint.data.images.other_forms import other_form
from keypoint.data.images.top_rows import with_top_rows
from keypoint.errors import DataError

HEAD = 64 * 1024  # bytes that nearly always contain the size, after EXIF and colour profiles
TAIL = 4096  # bytes that nearly always show the end
# Of an image whose size no annotation states, half a GiB decoded: Pillow's limit.
MOST_PIXELS = 2**31 // 12
DARK = 64  # of 256; no sample of 14-bit data in 16 bits reaches it
# As stored: COCO's annotations ignore the EXIF orientation, which cv2.imread would apply.
FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(
    path: Path, image_size: tuple[int, int] | None = None, rows: int | None = None
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP or WebP file.

    Args:
        path: The file.
        image_size: (height, width) in the annotation file; None to accept any size.
        rows: Rows from the top that will be used; None for all.

    Returns:
        (H, W, 3) uint8, RGB, EXIF orientation ignored. With `rows`, H is at least that number or
        the image's height, and pixels below these rows may be wrong.

    Raises:
        DataError: Missing, another format, truncated, undecodable, or of another size than stated;
            without a stated size, more than 179 million pixels.
    """
    return decode_image(path, read_file(path), image_size, rows)


def read_file(path: Path) -> bytes:
    """Read the bytes of an image file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def decode_image(
    path: Path,
    content: bytes,
    image_size: tuple[int, int] | None = None,
    rows: int | None = None,
) -> NDArray[np.uint8]:
    """Decode as `read_image` does, from bytes; `path` is for messages."""
    header = _whole_header(path, content, image_size)
    height, width = header.image_size or (0, 0)
    if image_size is None:
        require_moderate(path, (height, width))
    short = None
    if rows is not None and header.form == "JPEG":
        short = with_top_rows(content, rows, height)
    try:
        if short is not None:
            top = cv2.imdecode(short, FLAGS)
            if top is not None:
                return np.asarray(top, np.uint8)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS)
    except cv2.error as error:
        reason = error.err or str(error)
        raise DataError(
            f"{path}: OpenCV refuses this {header.form} image ({reason}); use another copy"
        ) from None
    if image is None:
        raise DataError(f"{path}: damaged {header.form} image, cannot be decoded; use another copy")
    if image_size is not None:
        decoded = replace(header, image_size=(image.shape[0], image.shape[1]))
        _require_size(path, decoded, image_size)
    return np.asarray(image, np.uint8)


def check_header(path: Path, image_size: tuple[int, int] | None = None) -> ImageHeader:
    """Check a file by its first and last bytes, in 0.15 ms instead of several.

    If these do not prove that the file is valid, all bytes are read, but not decoded. Finds missing
    and truncated files, other formats and other sizes, but not damaged pixel data.

    Returns:
        The header, with a size; its orientation may be missing if it is after the pixels.

    Raises:
        DataError: The errors of `read_image`, except for damaged pixel data.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            length = file.seek(0, 2)
            file.seek(max(0, length - TAIL))
            tail = file.read()
    except OSError as error:
        raise _unreadable(path, error) from None
    header = read_header(head)
    if header is None:
        raise _not_an_image(path, head, length)
    is_size = header.image_size is not None and image_size in (None, header.image_size)
    if is_size and shows_end(header.form, head, tail, length):
        return header
    return _whole_header(path, head if length <= HEAD else read_file(path), image_size)


def is_nearly_black(header: ImageHeader, image: NDArray[np.uint8]) -> bool:
    """Return whether a 16-bit image uses at most a quarter of its range, as 10 to 14-bit data do.

    Samples are always divided by 256: a factor measured on each image would change the look from
    image to image, and an image may really be dark.

    Args:
        header: Of the file.
        image: (H, W, 3) as decoded.
    """
    return header.bits == 16 and int(image.max(initial=0)) < DARK


def require_moderate(path: Path, image_size: tuple[int, int]) -> None:
    """Refuse an image of more than 179 million pixels (height, width), which would fill memory.

    Raises:
        DataError: It has more.
    """
    height, width = image_size
    if height * width > MOST_PIXELS:
        raise DataError(
            f"{path}: too large, {width} x {height} pixels (width x height), more than "
            f"{MOST_PIXELS} in all; scale or cut it"
        )


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
    return DataError(
        f"{path}: cannot be read ({reason}); check the path, or data.root and the image folder"
    )


def _whole_header(
    path: Path, content: bytes, image_size: tuple[int, int] | None = None
) -> ImageHeader:
    """Read the header of a complete file, and check its completeness and size."""
    header = read_header(content)
    if header is None:
        raise _not_an_image(path, content, len(content))
    is_whole = shows_end(header.form, content[:HEAD], content[-TAIL:], len(content))
    if not is_whole and (cut := truncation(header.form, content)):
        raise DataError(
            f"{path}: truncated {header.form} ({len(content)} bytes, {cut}); use another copy"
        )
    if header.image_size is None:
        raise DataError(
            f"{path}: damaged {header.form} image, its header has no size; use another copy"
        )
    if image_size is not None:
        _require_size(path, header, image_size)
    return header


def _not_an_image(path: Path, content: bytes, length: int) -> DataError:
    form, remedy = other_form(content, path)
    form = f" but {form}" if form else ""
    return DataError(f"{path}: not a JPEG, PNG, BMP or WebP image{form} ({length} bytes); {remedy}")


def _require_size(path: Path, header: ImageHeader, image_size: tuple[int, int]) -> None:
    if header.image_size is None or header.image_size == tuple(image_size):
        return
    height, width = header.image_size
    turned = header.orientation >= 5 and header.image_size == tuple(image_size)[::-1]
    exif = (
        f" as its EXIF orientation {header.orientation} shows it; annotations must not follow it"
        if turned
        else ""
    )
    raise DataError(
        f"{path}: image is {width} x {height} pixels (width x height), "
        f"its annotations state {image_size[1]} x {image_size[0]}{exif}; "
        "keypoints would be misplaced: use the original image"
    )


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
