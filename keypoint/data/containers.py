"""Read metadata of a video file that OpenCV does not provide.

MP4 and MOV list every sample with its time (ISO/IEC 14496-12: stts, ctts) and the part of them that
is shown (elst: a video trimmed without re-encoding keeps all samples). This proves that a frame is
missing. Other containers only state a duration, often that of the sound; but AVI, Matroska, WMV and
fragmented MP4 state their size, so a truncated file is recognised by its size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MOST_SAMPLES = 2**24  # six days at 30 frames a second; more is a broken table
MOST_EDITS = 1000
MOST_BYTES = 2**28  # of the tables
UNKNOWN = 2**32 - 1  # size of a RIFF file that was written to a pipe
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

Times = NDArray[np.float64]


def listed_times(path: Path) -> Times | None:
    """Return the time of each frame that an MP4 or MOV file lists and shows.

    Returns:
        Seconds since the first of them, ascending; None if there is no such list: another
        container, a fragmented file, changed speed, several video tracks, or a table that cannot be
        read.
    """
    try:
        with path.open("rb") as file:
            for kind, begin, end in _boxes_of_file(file):
                if kind == b"moov" and end - begin <= MOST_BYTES:
                    file.seek(begin)
                    return _times(file.read(end - begin), file.seek(0, 2))
    except (OSError, struct.error, ValueError, IndexError, ZeroDivisionError):
        pass
    return None


def missing_bytes(path: Path) -> int:
    """Return the number of bytes missing at the end of the file; 0 if it states no size."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return max(0, _stated_size(file, size) - size)
    except (OSError, struct.error, ValueError, IndexError):
        return 0


def _stated_size(file: BinaryIO, size: int) -> int:
    head = file.read(2**16)
    if head.startswith(b"RIFF"):
        stated = _little(head, 4, 4)
        return 0 if stated == UNKNOWN else stated  # and 8 more, but some programs count these too
    if head.startswith(EBML):
        place = head.index(SEGMENT) + len(SEGMENT)
        length = 9 - head[place].bit_length()  # leading zeros count the further bytes
        stated = int.from_bytes(head[place : place + length], "big") - (1 << 7 * length)
        return 0 if stated == (1 << 7 * length) - 1 else place + length + stated
    if head.startswith(ASF):
        place = head.index(ASF_PROPERTIES)
        is_broadcast = _little(head, place + 88, 4) & 1
        return 0 if is_broadcast else _little(head, place + 40, 8)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"wide", b"free", b"skip", b"mdat"):
        ends = (end for kind, _, end in _boxes_of_file(file) if kind in (b"moof", b"mdat"))
        return max(ends, default=0)
    return 0


def _little(data: bytes, place: int, length: int) -> int:
    return int.from_bytes(data[place : place + length], "little")


def _boxes_of_file(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of each box of a file; the last may be cut off."""
    size, place = file.seek(0, 2), 0
    while place + 8 <= size:
        file.seek(place)
        kind, header, length = _header(file.read(16), size - place)
        yield kind, place + header, place + length
        place += length


def _header(data: bytes, rest: int) -> tuple[bytes, int, int]:
    """Kind of a box, and the lengths of its header and of the whole."""
    length, kind = struct.unpack(">I4s", data[:8])
    header = 8
    if length == 1:
        header, length = 16, struct.unpack(">Q", data[8:16])[0]
    elif length == 0:
        length = rest
    if length < header:
        raise ValueError(f"a box of {length} bytes")
    return kind, header, length


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box in the content of another."""
    place = 0
    while place + 8 <= len(data):
        kind, header, length = _header(data[place : place + 16], len(data) - place)
        yield kind, data[place + header : place + length]
        place += length


def _inside(data: bytes, *kinds: bytes) -> bytes:
    """Content of the first box of a kind, of the first of the next kind in it, and so on."""
    for kind in kinds:
        data = next((content for found, content in _boxes(data) if found == kind), b"")
    return data


def _times(moov: bytes, most: int) -> Times | None:
    """Times that the only video track lists, at most `most`; None if they are not all here."""
    if _inside(moov, b"mvex"):
        return None
    tracks = [content for kind, content in _boxes(moov) if kind == b"trak"]
    (track,) = (t for t in tracks if _inside(t, b"mdia", b"hdlr")[8:12] == b"vide")
    scale = _time_scale(_inside(track, b"mdia", b"mdhd"))
    tables = _inside(track, b"mdia", b"minf", b"stbl")
    steps = _repeated(_inside(tables, b"stts"), most)
    ticks = np.cumsum(steps) - steps  # of decoding
    if later := _inside(tables, b"ctts"):
        ticks = ticks + _repeated(later, most)
    ticks = np.sort(ticks)
    shown, offset = [], 0
    for duration, begin, speed in _edits(_inside(track, b"edts", b"elst")) or [(0, 0, 1 << 16)]:
        if speed != 1 << 16:
            return None
        length = round(duration * scale / _time_scale(_inside(moov, b"mvhd")))
        if begin >= 0:  # -1 is a pause
            end = begin + length if duration else ticks[-1] + 1
            first = begin if duration else ticks[0]
            shown.append(offset + ticks[(ticks >= first) & (ticks < end)] - first)
        offset += length
    times = np.concatenate(shown) / scale
    return np.asarray(times - times[0], np.float64) if len(times) else None


def _time_scale(header: bytes) -> int:
    """Ticks a second, of mvhd or mdhd, whose version 1 has times of 8 bytes before it."""
    return int(struct.unpack_from(">I", header, 20 if header[0] else 12)[0])


def _repeated(table: bytes, most: int) -> NDArray[np.int64]:
    """Values of a table of counts and values, one for each sample."""
    (rows,) = struct.unpack_from(">I", table, 4)
    pairs = np.frombuffer(table, ">i4", 2 * rows, 8).reshape(-1, 2).astype(np.int64)
    if pairs[:, 0].min(initial=0) < 0 or pairs[:, 0].sum() > min(most, MOST_SAMPLES):
        raise ValueError("a broken table")  # each sample has at least a byte
    return np.repeat(pairs[:, 1], pairs[:, 0])


def _edits(table: bytes) -> list[tuple[int, int, int]]:
    """Duration in ticks of the film, first tick of the track, and speed in 1/65536."""
    if not table:
        return []
    form = ">Qqi" if table[0] else ">Iii"
    (rows,) = struct.unpack_from(">I", table, 4)
    if rows > MOST_EDITS:
        raise ValueError(f"{rows} edits")
    return [struct.unpack_from(form, table, 8 + i * struct.calcsize(form)) for i in range(rows)]
