"""Times and sizes that files state, written here by OpenCV and changed byte by byte.

Counts and times agree with what FFmpeg reads, also for parts cut out at any place.
"""

import struct

import cv2
import numpy as np
import pytest

from keypoint.data.containers import listed_times, missing_bytes
from keypoint.data.video import VideoReader
from keypoint.data.video_writer import VideoWriter

SIZE = 48, 64


def frames(number, size):
    """Each has a brightness of its own, so that order and losses are seen."""
    return [np.full((*size, 3), 20 + 15 * (i % 15), np.uint8) for i in range(number)]


def write(path, number=10, rate=25.0, size=SIZE):
    """An MP4, or an AVI if a side is odd."""
    with VideoWriter(path, rate, size) as writer:
        for frame in frames(number, size):
            writer.write(frame)
        writer.finish()
    return writer.path


def write_other(path, codec, number=20, rate=25.0):
    """Another container, by its suffix; noise, so that the frames are most of it."""
    code = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, SIZE[::-1])
    assert writer.isOpened()
    for image in np.random.default_rng(0).integers(0, 255, (number, *SIZE, 3), dtype=np.uint8):
        writer.write(image)
    writer.release()
    return path


def table(path, kind, rows):
    """Replace the rows of a table of an MP4 whose tables are at its end."""
    data = bytearray(path.read_bytes())
    place = data.index(kind)
    more = len(rows) - (struct.unpack_from(">I", data, place - 4)[0] - 16)
    data[place + 12 : place + 12 + len(rows) - more] = rows
    holders = {b"stts": (b"stts", b"stbl", b"minf", b"mdia"), b"elst": (b"elst", b"edts")}[kind]
    for holder in (*holders, b"trak", b"moov"):
        at = data.index(holder) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + more)
    width = {b"stts": 8, b"elst": 12}[kind]
    struct.pack_into(">I", data, place + 8, len(rows) // width)
    path.write_bytes(data)


def scales(path):
    """Ticks a second of the film and of its track."""
    data = path.read_bytes()
    return tuple(struct.unpack_from(">I", data, data.index(k) + 16)[0] for k in (b"mvhd", b"mdhd"))


def edit(path, *parts):
    """Show only parts of an MP4, each with its begin (None: a pause) and duration in seconds."""
    film, track = scales(path)
    rows = [
        struct.pack(
            ">Iii", round(length * film), -1 if begin is None else round(begin * track), 1 << 16
        )
        for begin, length in parts
    ]
    table(path, b"elst", b"".join(rows))
    return path


def retime(path, steps):
    """Give each frame of an MP4 its own duration in seconds."""
    ticks = [round(step * scales(path)[1]) for step in steps]
    table(path, b"stts", b"".join(struct.pack(">II", 1, step) for step in ticks))
    return edit(path, (0, sum(steps)))


def read(path):
    with VideoReader(path) as reader:
        frames = list(reader.timed())
    return [seconds for seconds, _ in frames], reader


@pytest.mark.parametrize("rate", [0.05, 23.976, 25.0, 2400.0])
def test_times_of_a_constant_rate(tmp_path, rate):
    path = write(tmp_path / "a", 7, rate)
    np.testing.assert_allclose(listed_times(path), np.arange(7) / rate, rtol=1e-4)
    np.testing.assert_allclose(read(path)[0], listed_times(path), atol=1e-9)


def test_each_frame_may_have_its_own_time(tmp_path):
    steps = [0.04, 0.2, 3.5, 0.12, 0.04]
    path = retime(write(tmp_path / "a", 5), steps)
    np.testing.assert_allclose(listed_times(path), [0, 0.04, 0.24, 3.74, 3.86], atol=1e-9)
    np.testing.assert_allclose(read(path)[0], listed_times(path), atol=1e-9)


@pytest.mark.parametrize("begin", [0.0, 0.04, 0.05, 0.31, 0.36])
@pytest.mark.parametrize("length", [0.04, 0.1, 0.36, 5.0])
def test_the_part_that_is_shown(tmp_path, begin, length):
    """What is left out before and after it does not count; FFmpeg reads as many."""
    path = edit(write(tmp_path / "a", 10), (begin, length))
    expected = [i for i in range(10) if begin - 1e-9 <= i / 25 < begin + length - 1e-9]
    seconds, reader = read(path)
    assert len(listed_times(path)) == len(seconds) == len(expected)
    assert (reader.claimed, reader.lost, reader.shortfall()) == (len(expected), 0, None)


def test_frames_are_shown_later_than_they_are_decoded(tmp_path):
    """As in videos with B-frames: the edit list takes the delay away, here of two frames."""
    path = write(tmp_path / "a", 10)
    delay = struct.pack(">I4sIIII", 24, b"ctts", 0, 1, 10, 2 * scales(path)[1] // 25)
    data = bytearray(path.read_bytes())
    place = data.index(b"stsz") - 4
    data[place:place] = delay
    for holder in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.index(holder) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(delay))
    path.write_bytes(data)
    edit(path, (0.08, 0.4))
    np.testing.assert_allclose(listed_times(path), np.arange(10) / 25, atol=1e-9)
    assert len(read(path)[0]) == 10


def test_a_pause_and_several_parts(tmp_path):
    path = edit(write(tmp_path / "a", 10), (None, 1.0), (0.08, 0.12), (0.2, 0.08))
    times = listed_times(path)
    assert len(times) == len(read(path)[0]) == 5
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, 0.16], atol=1e-3)


def test_what_is_no_list(tmp_path):
    path = write(tmp_path / "a", 4)
    whole = path.read_bytes()
    for old, new in (
        (b"mdhd", b"mdhx"),
        (b"vide", b"soun"),
        (b"stts", b"sttx"),
        (b"moov", b"moox"),
    ):
        path.write_bytes(whole.replace(old, new))
        assert listed_times(path) is None
    for place in range(whole.index(b"moov") - 4, len(whole), 13):  # no error, wherever it is broken
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1"):
            path.write_bytes(whole[:place] + value + whole[place + 4 :])
            listed_times(path)
    assert listed_times(write_other(tmp_path / "b.mkv", "mp4v")) is None
    assert listed_times(tmp_path / "nowhere.mp4") is None


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.wmv", "WMV2"), ("a.avi", "MJPG")]
)
def test_bytes_that_are_missing(tmp_path, name, codec):
    whole = write_other(tmp_path / name, codec)
    data = whole.read_bytes()
    assert missing_bytes(whole) == 0
    whole.write_bytes(data + b"more")
    assert missing_bytes(whole) == 0
    whole.write_bytes(data[:-100])
    assert abs(missing_bytes(whole) - 100) <= 8


def test_bytes_that_are_missing_in_fragments(tmp_path):
    def box(kind, content, length=None):
        return struct.pack(">I4s", length or 8 + len(content), kind) + content

    path = tmp_path / "a.mp4"
    begin = box(b"ftyp", b"isom") + box(b"moov", box(b"mvex", b"1")) + box(b"moof", b"2" * 20)
    for end, missing in (
        (box(b"mdat", b"3" * 50), 0),
        (box(b"mdat", b"3" * 50, 60), 2),
        (box(b"mdat", b"3" * 50, 1000), 942),
        (struct.pack(">I4sQ", 1, b"mdat", 2**33) + b"3" * 50, 2**33 - 66),
        (box(b"mdat", b"3" * 50) + b"\x7fjpg of a phone's photo", 0),
    ):
        path.write_bytes(begin + end)
        assert listed_times(path) is None
        assert missing_bytes(path) == missing


def test_files_that_do_not_say_their_size(tmp_path):
    for name, content in (
        ("live.webm", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"x" * 20),
        ("short.webm", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + b"x" * 20),
        ("none.webm", b"\x1a\x45\xdf\xa3\x80"),
        ("piped.avi", b"RIFF\xff\xff\xff\xffAVI LIST"),
        ("crashed.avi", b"RIFF\0\0\0\0AVI LIST"),
        ("none.wmv", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
        ("a.ts", b"\x47" * 400),
    ):
        (tmp_path / name).write_bytes(content)
        assert missing_bytes(tmp_path / name) == 0
    (tmp_path / "cut.webm").write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x40\xff" + b"x" * 55)
    assert missing_bytes(tmp_path / "cut.webm") == 200
