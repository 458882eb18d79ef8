"""Frames in, frames out: counted, of the same size, and damage reported."""

import errno

import cv2
import numpy as np
import pytest

from keypoint.data import video
from keypoint.data.video import VideoReader, VideoWriter
from keypoint.errors import ConfigError, DataError


def frames(number, size):
    """Each has a brightness of its own, so that order and losses are seen."""
    return [np.full((*size, 3), 20 + 15 * (i % 15), np.uint8) for i in range(number)]


def write(path, number=10, size=(48, 64), rate=25.0):
    with VideoWriter(path, rate, size) as writer:
        for frame in frames(number, size):
            writer.write(frame)
        writer.finish()
    return writer.path


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


@pytest.mark.parametrize(
    ("suffix", "claimed", "read", "is_reported"),
    [
        (".avi", 100, 99, True),
        (".MP4", 100, 99, True),
        (".webm", 100, 96, False),  # made of duration and rate
        (".webm", 100, 94, True),
        (".mkv", 0, 10, False),
        (".avi", 90, 100, False),
        (".avi", 100, 0, True),
    ],
)
def test_fewer_frames_than_claimed(tmp_path, suffix, claimed, read, is_reported):
    reader = VideoReader(write(tmp_path / "a"))
    reader.path, reader.claimed, reader.read = tmp_path / f"b{suffix}", claimed, read
    text = reader.shortfall()
    assert (text is not None) == is_reported
    assert text is None or (f"b{suffix}" in text and str(claimed) in text and str(read) in text)


def test_a_video_cut_off_is_reported_at_its_end(tmp_path):
    path = write(tmp_path / "a", number=20, size=(49, 65))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, reader = read(path)
    assert 0 < len(found) < 20
    assert "says 20 frames" in (reader.shortfall() or "")


def test_what_is_no_video_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", None)  # would fail otherwise
    for content in (b"", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\n", b"RIF"):
        (tmp_path / "v.mp4").write_bytes(content)
        with pytest.raises(DataError, match=r"v\.mp4: not a video \(\d+ bytes"):
            VideoReader(tmp_path / "v.mp4")
    with pytest.raises(DataError, match=r"w\.mp4: cannot be read \(No such file"):
        VideoReader(tmp_path / "w.mp4")


def test_a_frame_of_another_size_is_refused(tmp_path):
    class Capture:
        def read(self):
            return True, next(self.frames)

        frames = iter([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)])

    with VideoReader(write(tmp_path / "a")) as reader:
        pass
    reader._capture = Capture()
    frames = iter(reader)
    assert next(frames).shape == (4, 6, 3)
    with pytest.raises(DataError, match="frame 1 is 4 x 6, those before 6 x 4"):
        next(frames)


def test_a_writer_that_cannot_open_or_loses_frames_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"a\.avi: OpenCV cannot write a video there \(64 x 48"):
        VideoWriter(tmp_path / "nowhere" / "a", 25, (48, 64))
    writer = VideoWriter(tmp_path / "a", 25, (48, 64))
    for frame in frames(3, (48, 64)):
        writer.write(frame)
    writer.written += 1  # as if OpenCV had dropped one
    with pytest.raises(ConfigError, match=r"a\.mp4: was not written whole, 3 of 4 frames"):
        writer.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="full"), VideoWriter(tmp_path / "b", 25, (48, 64)):
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.iterdir()) == []


def test_an_odd_rate_is_replaced(tmp_path, monkeypatch):
    path, real = write(tmp_path / "a"), cv2.VideoCapture

    class Capture:  # no subclass: those of OpenCV's types end the process
        def __init__(self, *arguments):
            self.real = real(*arguments)

        def __getattr__(self, name):
            return getattr(self.real, name)

        def get(self, what):
            return float("nan") if what == cv2.CAP_PROP_FPS else self.real.get(what)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    assert VideoReader(path).rate == video.USUAL_RATE
