"""Read one image from disk as RGB, in its annotations' frame, and cut crops out of it.

The only module that decodes images. OpenCV decodes: torchvision's PNG decoder ends the process on
damaged files, and Pillow is slower. OpenCV returns grey pixels for a JPEG that breaks off, without
an error, so the end marker is looked for here; and it decodes whatever size a header claims (1.2 GB
of a 400 kB PNG of 20,000 x 20,000), so the size is read first: from the first and last bytes, in a
tenth of a millisecond. cv2 alone: neither torch nor albumentations.

Source: ITU T.81 annex B (JPEG markers), EXIF 2.3 section 4.6.2 (TIFF directory), PNG section 11.2.2
(IHDR), RFC 9649 (WebP), and Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"RIFF": "WebP"}
JPEG_END, PNG_END = b"\xff\xd9", b"IEND"
TAIL = 4096  # bytes searched for the end marker: some cameras append a little after it
# Start of frame, baseline to lossless; C4, C8 and CC between them are tables.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ORIENTATION_TAG = 0x0112
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
            f"{path}: damaged {header.form} image, its header has no size; use another copy"
        )
    if image_size is not None:
        _require_size(path, header, image_size)
    else:
        require_moderate(path, header.image_size)
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
    """Look at a file's first and last bytes only: 0.15 ms instead of several.

    Finds what is missing, of another format, cut off or of another size; not damaged pixel data.

    Raises:
        DataError: The errors of `read_image`, but for damaged pixel data.
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


def _whole_header(path: Path, head: bytes, tail: bytes, length: int) -> ImageHeader:
    header = read_header(head)
    if header is None:
        is_pointer = head.startswith(b"version https://git-lfs")
        remedy = "fetch it with git lfs pull" if is_pointer else "use another copy"
        raise DataError(f"{path}: not a JPEG, PNG, BMP or WebP image ({length} bytes); {remedy}")
    cut = _truncation(header.form, length, head, tail)
    if cut:
        raise DataError(
            f"{path}: truncated {header.form} ({length} bytes, {cut}); use another copy"
        )
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


@dataclass(frozen=True)
class ImageHeader:
    """The head of an image file.

    Attributes:
        form: "JPEG", "PNG", "BMP" or "WebP".
        image_size: (height, width) as stored; None if the head does not have it.
        orientation: EXIF orientation of a JPEG, 1 to 8; 1 if there is none. 5 to 8 are turned
            by 90 degrees.
    """

    form: str
    image_size: tuple[int, int] | None
    orientation: int = 1


def read_header(content: bytes) -> ImageHeader | None:
    """Read the head of a file; its form is known by content, not by name.

    Args:
        content: The whole file, or enough of its beginning (a size behind it is not found).

    Returns:
        None if it is not a JPEG, PNG, BMP or WebP file.
    """
    form = next((name for start, name in SIGNATURES.items() if content.startswith(start)), None)
    if form is None:
        return None
    try:
        if form == "JPEG":
            return _jpeg(content)
        if form == "PNG":
            width, height = struct.unpack_from(">II", content, 16)
        elif form == "BMP":
            width, height = struct.unpack_from("<ii", content, 18)
            height = abs(height)  # negative: the rows go from top to bottom
        else:
            width, height = _webp(content)
    except struct.error:  # the file ends before
        return ImageHeader(form, None)
    return ImageHeader(form, (height, width) if width > 0 and height > 0 else None)


def _truncation(form: str, length: int, head: bytes, tail: bytes) -> str | None:
    """The sign that a file of `length` bytes is not whole, or None; `tail` is its last 4,096."""
    if form == "JPEG" and JPEG_END not in tail:
        return "no end marker"
    if form == "PNG" and PNG_END not in tail:
        return "no IEND chunk"
    stated = 0
    if form == "WebP" and len(head) >= 8:
        stated = struct.unpack_from("<I", head, 4)[0] + 8
    if form == "BMP" and len(head) >= 6:
        stated = struct.unpack_from("<I", head, 2)[0]
    return f"it says {stated}" if length < stated else None


def _jpeg(content: bytes) -> ImageHeader:
    place, orientation = 2, 1
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        length = struct.unpack_from(">H", content, place + 2)[0]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            size = (height, width) if height and width else None
            return ImageHeader("JPEG", size, orientation)
        if marker == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0":
            orientation = _orientation(content[place + 10 : place + 2 + length])
        place += 2 + length
    return ImageHeader("JPEG", None, orientation)


def _orientation(tiff: bytes) -> int:
    """Of an EXIF block; 1 if it is junk, as viewers take it."""
    order = {b"MM": ">", b"II": "<"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        first = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", tiff, first)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * entry)
            if tag == ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _webp(content: bytes) -> tuple[int, int]:
    """(width, height) of the three kinds of first chunk; (0, 0) for another RIFF file."""
    kind = content[8:16]
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"WEBPVP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8X":
        low = struct.unpack_from("<HBHB", content, 24)
        return low[0] + (low[1] << 16) + 1, low[2] + (low[3] << 16) + 1
    return 0, 0
