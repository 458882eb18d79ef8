"""Frames by their numbers, in one pass: exact in every container, by the number painted in."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.data.video import VideoEndError, VideoReader
from keypoint.errors import DataError
from tests.calling import REPOSITORY
from tests.data.test_containers import write, write_other
from tests.data.test_video import CLIPS

VIDEOS = Path(__file__).parents[1] / "fixtures/videos"
SHOWN = {
    "b_frames.mp4": range(100),
    "cut.mp4": range(38, 100),
    "vfr.mp4": [n for n in range(100) if n % 7 == 0 or n < 40 or n > 60],
    "stream.ts": range(60),
    "vp9.webm": range(100),
    "xvid.avi": range(100),
}


def painted(frame):
    """The number that is painted into a frame of tests/fixtures/videos."""
    bits = frame[8::16, 8::16].mean(axis=2).ravel() > 127
    return int((bits * 2 ** np.arange(12)).sum())


def frames_at(path, numbers):
    with VideoReader(path) as reader:
        return dict(reader.frames_at(numbers)), reader


@pytest.mark.parametrize("name", SHOWN)
def test_frames_are_exact_in_every_container(name):
    shown = list(SHOWN[name])
    wanted = [len(shown) - 1, 3, 50, 17, 3, 31, 30]
    found, reader = frames_at(VIDEOS / name, wanted)
    assert {n: painted(frame) for n, frame in found.items()} == {n: shown[n] for n in wanted}
    assert list(found) == sorted(set(wanted))
    assert reader.read == reader.claimed == len(shown)


def test_reading_stops_after_the_last_wanted_and_unwanted_frames_are_only_grabbed(monkeypatch):
    """Seeking is wrong in a transport stream, and never used."""
    calls = []

    class Capture:
        def __init__(self, *arguments):
            self.real = real(*arguments)

        def __getattr__(self, name):
            calls.append(name)
            return getattr(self.real, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    found, reader = frames_at(VIDEOS / "stream.ts", [12, 4, 12])
    assert [painted(frame) for frame in found.values()] == [4, 12]
    assert (calls.count("grab"), calls.count("read"), calls.count("set")) == (4 + 7, 2, 0)
    assert reader.read == 13


def test_a_video_that_ends_early_says_how_many_frames_it_has():
    with VideoReader(VIDEOS / "cut.mp4") as reader:
        frames = reader.frames_at([60, 61, 62, 70])
        assert [painted(next(frames)[1]) for _ in range(2)] == [98, 99]
        text = r"cut.mp4: frame 62 was requested, but the video has 62 frames that can be read; .* 0 to 61"
        with pytest.raises(VideoEndError, match=text) as raised:
            next(frames)
    assert raised.value.frames == 62
    with pytest.raises(VideoEndError, match="frame 1000000000000 was"):
        frames_at(VIDEOS / "cut.mp4", [10**12])


def test_a_reader_goes_forward_only():
    with VideoReader(VIDEOS / "b_frames.mp4") as reader:
        assert [painted(frame) for _, frame in reader.frames_at([5])] == [5]
        assert [painted(frame) for _, frame in reader.frames_at([9, 6])] == [6, 9]
        with pytest.raises(ValueError, match=r"mp4: frame 9 is requested after 10 frames"):
            list(reader.frames_at([9]))
        assert list(reader.frames_at([])) == []
    with pytest.raises(ValueError, match="frame -1 is requested"):
        frames_at(VIDEOS / "b_frames.mp4", [-1])


def test_single_frames_are_those_of_reading_all(tmp_path):
    for path in (write(tmp_path / "a", number=20), write_other(tmp_path / "a.wmv", "WMV2")):
        with VideoReader(path) as reader:
            everything = list(reader)
        found, _ = frames_at(path, range(1, 20, 3))
        assert all(np.array_equal(frame, everything[n]) for n, frame in found.items())


def test_frames_of_another_size_and_those_that_opencv_refuses_are_named(tmp_path):
    class Capture:
        def grab(self):
            return True

        def read(self):
            return True, next(self.frames)

        def get(self, _):
            return 0.0

        frames = iter([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)])

    with VideoReader(write(tmp_path / "a")) as reader:
        pass
    reader._capture = Capture()
    with pytest.raises(DataError, match="frame 3 is 4 x 6, earlier ones 6 x 4"):
        list(reader.frames_at([1, 3]))


def test_times_are_known_before_reading():
    for name in SHOWN:
        with VideoReader(VIDEOS / name) as reader:
            known = reader.times(reader.claimed)
            read = [seconds for seconds, _ in reader.timed()]
        np.testing.assert_allclose(known, read, atol=0.021 if name == "stream.ts" else 2e-3)
    with VideoReader(VIDEOS / "vfr.mp4") as reader:
        np.testing.assert_allclose(reader.times(200), np.arange(200) / reader.rate)


@pytest.mark.parametrize(
    ("name", "share", "lacks"),
    [
        ("cut.mp4", 1, False),
        ("stream.ts", 0.75, False),  # which a stream does not show
        ("vp9.webm", 0.75, True),
        ("xvid.avi", 0.75, True),
        ("xvid.avi", 1, False),
    ],
)
def test_the_rest_is_skipped_to_know_what_is_missing(tmp_path, name, share, lacks):
    data = (VIDEOS / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    with VideoReader(path) as whole:
        list(whole)
    for numbers in ([], [3, 9]):
        with VideoReader(path) as reader:
            list(reader.frames_at(numbers))
            reader.skip_rest()
        assert (reader.read, reader.lost) == (whole.read, whole.lost)
        assert reader.shortfall() == whole.shortfall()
    assert (whole.shortfall() is not None) is lacks


@pytest.mark.skipif(not CLIPS.exists(), reason="the clips are not in the repository")
def test_the_decoder_is_silenced_on_request():
    code = "from keypoint.data.video import *; import sys\n"
    code += "if sys.argv[2:]: silence_decoder()\n"
    code += "with VideoReader(sys.argv[1]) as video: print(len(list(video)))"
    for word, is_silent in (("", False), ("silent", True)):
        words = [sys.executable, "-c", code, str(CLIPS / "corrupted.mp4"), *word.split()]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert done.stdout == "28\n"
        assert ("Invalid NAL" not in done.stderr) is is_silent


@pytest.mark.skipif(not CLIPS.exists(), reason="the clips are not in the repository")
@pytest.mark.parametrize(
    ("name", "count"), [("corrupted.mp4", 28), ("flipping_a_pancake.mkv", 310), ("part_0.mp4", 32)]
)
def test_real_clips(name, count):
    with VideoReader(CLIPS / name) as reader:
        everything = [frame for n, frame in enumerate(reader) if n in (7, count - 1)]
    found, _ = frames_at(CLIPS / name, [count - 1, 7])
    assert all(map(np.array_equal, found.values(), everything))
    with pytest.raises(VideoEndError, match=f"has {count} frames that can be read"):
        frames_at(CLIPS / name, [count])
