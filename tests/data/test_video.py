"""Frames in, frames out: counted, of the same size, and damage reported."""

import errno
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.data import video
from keypoint.data.video import VideoReader
from keypoint.data.video_writer import VideoWriter
from keypoint.errors import ConfigError, DataError
from tests.data.test_containers import frames, retime, write, write_other

CLIPS = Path(__file__).parents[3] / "shared/clips"


def read(path):
    with VideoReader(path) as reader:
        return list(reader), reader


@pytest.mark.parametrize(
    ("size", "suffix"), [((48, 64), ".mp4"), ((49, 64), ".avi"), ((48, 63), ".avi"), ((1, 1), ".avi")]
)  # fmt: skip
@pytest.mark.parametrize("rate", [25.0, 29.97, 7.5])
def test_count_and_size_out_are_those_in(tmp_path, size, suffix, rate):
    path = write(tmp_path / "50%d out", size=size, rate=rate)
    assert path.name == f"50%d out{suffix}"
    found, reader = read(path)
    assert [frame.shape for frame in found] == [(*size, 3)] * 10
    assert [abs(frame.mean() - 20 - 15 * i) < 6 for i, frame in enumerate(found)] == [True] * 10
    assert (reader.claimed, reader.read, reader.shortfall()) == (10, 10, None)
    assert reader.rate == pytest.approx(rate if suffix == ".mp4" else round(rate), rel=1e-3)
    assert list(tmp_path.iterdir()) == [path]


def test_colours_are_rgb(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    with VideoWriter(tmp_path / "red", 25, (48, 64)) as writer:
        writer.write(red)
        writer.finish()
    assert np.abs(read(writer.path)[0][0].astype(int) - red).max() < 20


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.wmv", "WMV2"), ("a.avi", "MJPG")]
)
def test_a_file_without_its_end_is_named(tmp_path, name, codec, share):
    found, reader = read(cut(write_other(tmp_path / name, codec), share))
    assert 0 < len(found) < 20
    assert 0 <= reader.lost <= 20 - len(found)
    text = reader.shortfall()
    assert re.search(rf"{name}: .*{len(found)} .*could be read; cut off, \d+ bytes are", text)
    assert reader.notes() == []


def test_an_mp4_without_its_end_is_named(tmp_path):
    """The tables come first, as in files for the web."""
    path = write(tmp_path / "a", number=20)
    data = path.read_bytes()
    mdat, moov = data.index(b"mdat") - 4, data.index(b"moov") - 4
    tables = bytearray(data[moov:])
    place = tables.index(b"stco") + 12  # of the only chunk
    tables[place : place + 4] = struct.pack(">I", mdat + 8 + len(tables))
    path.write_bytes(data[:mdat] + tables + data[mdat:moov])
    found, reader = read(path)
    assert (len(found), reader.lost, reader.shortfall()) == (20, 0, None)
    found, reader = read(cut(path, 0.8))
    assert 0 < len(found) < 20
    assert reader.lost == 20 - len(found)
    assert f"a.mp4: states 20 frames, but {len(found)} could be read; damaged" in reader.shortfall()


def test_frames_before_the_first_that_can_be_read_are_no_loss(tmp_path):
    """After a cut they may depend on frames that are not there any more."""
    with VideoReader(write(tmp_path / "a")) as reader:
        assert reader._capture.grab()
        assert reader._capture.grab()
        assert len(list(reader)) == 8
        assert (reader.lost, reader.shortfall()) == (0, None)


def test_frames_that_are_damaged_in_an_avi_are_named(tmp_path):
    path = write_other(tmp_path / "a.avi", "MJPG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    found, reader = read(path)
    assert 0 < len(found) < 20
    assert f"a.avi: states 20 frames, but {len(found)} could be read; damaged" in reader.shortfall()


@pytest.mark.parametrize("codec", ["mp4v", "VP80"])
def test_a_duration_longer_than_the_frames_is_a_note(tmp_path, codec):
    """As of a longer sound; the number of frames is computed from it."""
    path = write_other(tmp_path / "a.mkv", codec)
    data = path.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3
    assert struct.unpack_from(">d", data, place) == (800.0,)
    path.write_bytes(data[:place] + struct.pack(">d", 3000.0) + data[place + 8 :])
    found, reader = read(path)
    assert (len(found), reader.claimed, reader.lost, reader.shortfall()) == (20, 75, 0, None)
    assert reader.notes() == [
        f"{path}: its frames end 2.2 s before the 3.0 s that it states; its sound may be longer, or "
        "the rest is damaged"
    ]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mov", "mp4v"), ("a.ts", "MPG2"), ("a.mpg", "MPG2"), ("a.wmv", "WMV2"), ("a.webm", "VP80")],
)
def test_other_containers_are_read_whole_without_a_word(tmp_path, name, codec):
    path = write_other(tmp_path / name, codec)
    with VideoReader(path) as reader:
        times = [seconds for seconds, _ in reader.timed()]
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=0.021)  # MPEG: not all have a stamp
    assert (reader.rate, reader.lost, reader.shortfall(), reader.notes()) == (25, 0, None, [])


@pytest.mark.parametrize("rate", [0.05, 1000.0, 2400.0])
def test_slow_and_fast_rates_are_kept(tmp_path, rate):
    with VideoReader(write(tmp_path / "a", number=5, rate=rate)) as reader:
        times = [seconds for seconds, _ in reader.timed()]
    assert reader.rate == rate
    np.testing.assert_allclose(times, np.arange(5) / rate, rtol=1e-6)


def test_rates_that_no_file_has_become_the_nearest(tmp_path):
    for rate, size, written in (
        (1 / 3600, (48, 64), 0.01),
        (1e6, (48, 64), 6e4),
        (959.0409, (48, 64), 959.0),
        (0.2, (49, 64), 1.0),
        (1e6, (49, 64), 1000.0),
    ):
        with VideoReader(write(tmp_path / "a", size=size, rate=rate)) as reader:
            assert reader.rate == pytest.approx(written, rel=1e-6)


def test_the_rate_is_that_of_the_fastest_parts(tmp_path):
    for name, steps in (("a", [1 / 30] * 10 + [0.2] * 10), ("b", [0.2] * 10 + [1 / 30] * 10)):
        path = retime(write(tmp_path / name, number=20, rate=30), steps)
        assert VideoReader(path).rate == pytest.approx(30, rel=1e-3)


def test_a_video_cut_off_is_reported_at_its_end(tmp_path):
    found, reader = read(cut(write(tmp_path / "a", number=20, size=(49, 65)), 0.5))
    assert 0 < len(found) < 20
    assert "states 20 frames" in (reader.shortfall() or "")


def test_what_is_no_video_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", None)  # would fail otherwise
    for content in (b"", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\n", b"RIF"):
        (tmp_path / "v.mp4").write_bytes(content)
        with pytest.raises(DataError, match=r"v\.mp4: not a video \(\d+ bytes"):
            VideoReader(tmp_path / "v.mp4")
    with pytest.raises(DataError, match=r"w\.mp4: cannot be read \(No such file"):
        VideoReader(tmp_path / "w.mp4")


@pytest.mark.parametrize("head", [b"FLV\x01", b"OggS", b"\0\0\1\0G@"])  # the last is .m2ts
def test_other_containers_are_given_to_the_decoder(tmp_path, head):
    file = tmp_path / "v.mp4"
    file.write_bytes(head + bytes(200))
    with pytest.raises(DataError, match="damaged or cut off video, cannot be opened"):
        VideoReader(file)


def test_a_frame_of_another_size_is_refused(tmp_path):
    class Capture:
        def read(self):
            return True, next(self.frames)

        def get(self, what):
            return 0.0

        frames = iter([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)])

    with VideoReader(write(tmp_path / "a")) as reader:
        pass
    reader._capture = Capture()
    frames = iter(reader)
    assert next(frames).shape == (4, 6, 3)
    with pytest.raises(DataError, match="frame 1 is 4 x 6, earlier ones 6 x 4"):
        next(frames)


def test_a_writer_that_cannot_open_or_loses_frames_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"a\.avi: OpenCV cannot write a video there \(64 x 48"):
        VideoWriter(tmp_path / "nowhere" / "a", 25, (48, 64))
    writer = VideoWriter(tmp_path / "a", 25, (48, 64))
    for frame in frames(3, (48, 64)):
        writer.write(frame)
    writer.written += 1  # as if OpenCV had dropped one
    with pytest.raises(ConfigError, match=r"a\.mp4: not written completely: 3 of 4 frames"):
        writer.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="full"), VideoWriter(tmp_path / "b", 25, (48, 64)):
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stated(monkeypatch):
    """Changes what OpenCV says of a video: functions of the number of the frame, by property."""
    real = cv2.VideoCapture

    def use(**properties):
        changed = {getattr(cv2, f"CAP_PROP_{name}"): made for name, made in properties.items()}

        class Capture:  # no subclass: those of OpenCV's types end the process
            def __init__(self, *arguments):
                self.real = real(*arguments)
                self.count = -1

            def __getattr__(self, name):
                return getattr(self.real, name)

            def read(self):
                self.count += 1
                return self.real.read()

            def grab(self):
                self.count += 1
                return self.real.grab()

            def get(self, what):
                return changed[what](self.count) if what in changed else self.real.get(what)

        monkeypatch.setattr(cv2, "VideoCapture", Capture)

    return use


def timed(path):
    with VideoReader(path) as reader:
        return [seconds for seconds, _ in reader.timed()], reader


def test_frames_without_time_stamps_are_placed_by_the_rate(tmp_path, stated):
    path = write_other(tmp_path / "a.ts", "MPG2", number=6)
    for stamp in (
        lambda i: 0.0,
        lambda i: float("nan"),
        lambda i: -50 * i,
        lambda i: float("inf") * i,
    ):
        stated(POS_MSEC=stamp)
        times, reader = timed(path)
        np.testing.assert_allclose(times, np.arange(6) / 25)
        assert reader.notes() == [
            f"{path}: 5 of 6 frames have no time stamp after the frame before; each is placed at "
            "most 1/25 s after it"
        ]
    stated(POS_MSEC=lambda i: 0.0, FPS=lambda i: float("nan"))
    times, reader = timed(path)
    assert reader.rate == video.USUAL_RATE
    np.testing.assert_allclose(times, np.arange(6) / 25)
    assert reader.notes()[0].endswith("after it (assumed, the file states no rate)")


def test_times_are_since_the_first_frame_and_go_on_after_a_leap_back(tmp_path, stated):
    path = write_other(tmp_path / "a.ts", "MPG2", number=6)
    stated(POS_MSEC=lambda i: [5000, 5040, 5080, 100, 140, 6000][i])
    times, _ = timed(path)
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, 0.16, 1.0])


def test_times_catch_up_with_stamps_that_are_a_little_early(tmp_path, stated):
    path = write_other(tmp_path / "a.ts", "MPG2", number=7)
    stated(POS_MSEC=lambda i: [0, 40, 80, 70, 110, 150, 190][i])
    times, reader = timed(path)
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.1, 0.11, 0.15, 0.19])
    assert reader.notes() == []


@pytest.mark.parametrize("said", [1000.0, float("nan"), 0.0, 90000.0])
def test_a_rate_that_is_none_is_measured(tmp_path, stated, said):
    """Recordings of browsers say 1000, the resolution of their time stamps."""
    path = write_other(tmp_path / "a.webm", "VP80")
    stated(FPS=lambda i: said)
    times, reader = timed(path)
    assert reader.rate == pytest.approx(25)
    np.testing.assert_allclose(times, np.arange(20) / 25)


def test_a_video_without_a_frame_that_can_be_read(tmp_path, monkeypatch):
    with VideoReader(write(tmp_path / "a")) as reader:
        monkeypatch.setattr(reader, "timed", lambda: iter(()))
        assert list(reader) == []
    assert reader.lost == 10
    assert "a.mp4: has no frame that can be read (it states 10, codec FMP4)" in reader.shortfall()


@pytest.mark.skipif(not CLIPS.exists(), reason="the clips are not in the repository")
@pytest.mark.parametrize(
    ("name", "number", "lost"),
    [
        ("corrupted.mp4", 28, 22),
        ("demo.mp4", 280, 0),
        ("flipping_a_pancake.mkv", 310, 0),
        ("part_0.mp4", 32, 0),
        ("unordered.mov", 4, 0),
        ("video_90.mov", 3, 0),
    ],
)
def test_real_clips(name, number, lost):
    times, reader = timed(CLIPS / name)
    noted = ["are the same picture" in note for note in reader.notes()]
    assert (len(times), reader.lost, noted) == (number, lost, [True] * (name == "unordered.mov"))
    assert (reader.shortfall() is None) == (lost == 0)
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("grey", [0, 120])
def test_a_video_of_one_picture_is_noted(tmp_path, grey):
    """OpenCV 4.13 to 5.0 reads interlaced video as what its memory holds, often black."""
    with VideoWriter(tmp_path / "a", 25, (48, 64)) as writer:
        for _ in range(3):
            writer.write(np.full((48, 64, 3), grey, np.uint8))
        writer.finish()
    _, reader = read(writer.path)
    (note,) = reader.notes()
    assert "a.mp4: all 3 frames are the same picture; if players show more, it is inter" in note


def test_a_dark_video_is_not_noted(tmp_path):
    with VideoWriter(tmp_path / "a", 25, (48, 64)) as writer:
        for frame in range(3):
            image = np.zeros((48, 64, 3), np.uint8)
            image[8:24, 16 * frame : 16 * frame + 16] = 60  # a lamp that moves at night
            writer.write(image)
        writer.finish()
    _, reader = read(writer.path)
    assert reader.notes() == []
