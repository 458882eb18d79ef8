"""Read form, size, EXIF orientation and end of an image file from its bytes, without decoding.

A file may continue after its end marker: phones append a video to a photo, cameras a second picture
or zeros. So the end marker is searched after the pixels, not at the end of the file. A thumbnail
in the EXIF block has its own end marker, which does not count.

Source: ITU T.81 annex B (JPEG markers), EXIF 2.32 sections 4.5.2 and 4.6.4 (TIFF directory), PNG 3
sections 5.3 and 11 (chunks, IHDR, eXIf), RFC 9649 (WebP), and Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"RIFF": "WebP"}
JPEG_END, PNG_END = b"\xff\xd9", b"IEND"
# Start of frame, baseline to lossless; C4, C8 and CC between them are tables.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN = 0xDA
# After a scan: tables, another scan, numbers of lines, restart intervals, application data, text.
BEHIND_SCAN = {0xC4, 0xCC, *range(0xDA, 0xDE), *range(0xE0, 0xF0), 0xFE}
# In pixels FF is followed by 00 or the number of a restart, D0 to D7; elsewhere FF may be repeated.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4
EXIF_FLAG = 0x08  # of a WebP file
TEXTS, EXIF_TEXT = (b"tEXt", b"zTXt", b"iTXt"), b"Raw profile type exif"  # as ImageMagick writes it
MOST_TEXT = 2**20  # bytes of it that are unpacked


@dataclass(frozen=True)
class ImageHeader:
    """The head of an image file.

    Attributes:
        form: "JPEG", "PNG", "BMP" or "WebP".
        image_size: (height, width) as stored; None if the head does not have it.
        orientation: EXIF orientation, 1 to 8; 1 if there is none. 5 to 8 are turned by 90 degrees.
        bits: Bits of a color sample; 16 in some PNG files, which are read as 8.
    """

    form: str
    image_size: tuple[int, int] | None
    orientation: int = 1
    bits: int = 8


def read_header(content: bytes) -> ImageHeader | None:
    """Read the head of a file; its form is known by content, not by name.

    Args:
        content: The whole file, or its beginning. A size after that is not found, nor an
            orientation, which may be at the end of a PNG or WebP file.

    Returns:
        None if it is not a JPEG, PNG, BMP or WebP file.
    """
    form = next((name for start, name in SIGNATURES.items() if content.startswith(start)), None)
    if form is None or (form == "WebP" and content[8:12] not in (b"", b"WEBP")):
        return None
    orientation, bits = 1, 8
    try:
        if form == "JPEG":
            width, height, orientation = _jpeg(content)
        elif form == "PNG":
            width, height, bits = struct.unpack_from(">IIB", content, 16)
            orientation = _png_orientation(content)
        elif form == "BMP":
            width, height = struct.unpack_from("<ii", content, 18)
            height = abs(height)  # negative: the rows go from top to bottom
        else:
            width, height = _webp(content)
            orientation = _webp_orientation(content)
    except struct.error:  # the file ends before
        return ImageHeader(form, None)
    size = (height, width) if width > 0 and height > 0 else None
    return ImageHeader(form, size, orientation, bits)


def truncation(form: str, content: bytes) -> str | None:
    """Return the sign that a file is incomplete, or None."""
    if form == "JPEG":
        return None if _jpeg_ends(content) else "no end marker"
    if form == "PNG":
        kinds = (kind for kind, *_ in _png_chunks(content))
        return None if PNG_END in kinds else "no IEND chunk"
    stated = _stated_length(form, content)
    return f"its header states {stated}" if len(content) < stated else None


def shows_end(form: str, head: bytes, tail: bytes, length: int) -> bool:
    """Return whether the first and last bytes of a file prove that it has all `length` bytes.

    If not, it may still be complete: `truncation` of all its bytes decides.
    """
    if form == "JPEG":
        scans = any(marker == JPEG_SCAN for marker, *_ in jpeg_segments(head))
        return scans and tail.rstrip(b"\0").endswith(JPEG_END)
    if form == "PNG":
        return PNG_END in tail
    return length >= _stated_length(form, head)


def _stated_length(form: str, content: bytes) -> int:
    """Bytes of the file by its own head, of WebP and BMP; 0 if the head is cut."""
    place, more = (4, 8) if form == "WebP" else (2, 0)
    if len(content) < place + 4:
        return 0
    return int(struct.unpack_from("<I", content, place)[0]) + more


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the content of each segment, up to the first scan.

    Ends early at junk: decoders skip it, but a size after it cannot be trusted.
    """
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        end = place + 2 + struct.unpack_from(">H", content, place + 2)[0]
        yield marker, place + 4, end
        if marker == JPEG_SCAN:
            return
        place = end


def _jpeg(content: bytes) -> tuple[int, int, int]:
    """Width, height and orientation; 0 and 0 without a frame."""
    orientation = 1
    for marker, start, end in jpeg_segments(content):
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, start + 1)
            return width, height, orientation
        if marker == 0xE1 and content.startswith(b"Exif\0\0", start):
            orientation = _orientation(content[start:end])
    return 0, 0, orientation


def _jpeg_ends(content: bytes) -> bool:
    """Whether the end marker follows the last scan. A progressive file has several scans."""
    place, is_scanned = 2, False
    while found := MARKER.search(content, place):
        marker, place = content[found.end() - 1], found.end()
        if marker == JPEG_END[1]:
            return is_scanned
        if is_scanned and marker not in BEHIND_SCAN:  # data after the end, such as a video
            return False
        if marker != 0x01 and place + 2 <= len(content):  # 01 has no length
            place += struct.unpack_from(">H", content, place)[0]
        is_scanned |= marker == JPEG_SCAN
    return False


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of each complete chunk."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content) and kind != PNG_END:
            return
        yield kind, place + 8, end
        if kind == PNG_END:
            return
        place = end + 4


def _png_orientation(content: bytes) -> int:
    of_text = 1
    for kind, start, end in _png_chunks(content):
        if kind == b"eXIf":
            return _orientation(content[start:end])
        if kind in TEXTS and content.startswith(EXIF_TEXT + b"\0", start):
            of_text = _text_orientation(kind, content[start + len(EXIF_TEXT) + 1 : end])
    return of_text


def _text_orientation(kind: bytes, text: bytes) -> int:
    """Read the orientation of an EXIF block as text: name, length, bytes in hexadecimal."""
    try:
        if kind == b"iTXt":  # compressed or not, method, language, translated keyword
            packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[2]
        else:
            packed, text = kind == b"zTXt", text[kind == b"zTXt" :]
        if packed:
            text = zlib.decompressobj().decompress(text, MOST_TEXT)
        return _orientation(bytes.fromhex(b"".join(text.split()[2:]).decode("ascii")))
    except (ValueError, IndexError, zlib.error):
        return 1


def _webp(content: bytes) -> tuple[int, int]:
    """Read (width, height) of the three kinds of first chunk; (0, 0) for any other."""
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


def _webp_orientation(content: bytes) -> int:
    """Read the orientation of the EXIF chunk, which only extended files with its flag have."""
    if content[12:16] != b"VP8X" or not content[20] & EXIF_FLAG:
        return 1
    place, last = 12, min(len(content), _stated_length("WebP", content))
    while place + 8 <= last:
        kind, length = struct.unpack_from("<4sI", content, place)
        if kind == b"EXIF":
            return _orientation(content[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    return 1


def _orientation(block: bytes) -> int:
    """Read the orientation of an EXIF block; 1 if it is junk, as viewers assume."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"MM": ">", b"II": "<"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        first = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", tiff, first)[0]):
            place = first + 2 + 12 * entry
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == ORIENTATION_TAG and kind in (SHORT, LONG):
                letter = "H" if kind == SHORT else "I"
                value = struct.unpack_from(f"{order}{letter}", tiff, place + 8)[0]
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
