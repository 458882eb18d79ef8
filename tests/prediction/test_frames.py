"""Frames in order, errors at their place, and bounded memory."""

import threading
import time
from contextlib import closing

import cv2
import numpy as np
import pytest

from keypoint.data.video_writer import VideoWriter
from keypoint.prediction.inputs.find import Input, find_inputs
from keypoint.prediction.inputs.frames import Frame, Unread, VideoEnd, ahead, read_inputs
from tests.data.test_containers import edit, retime, write, write_other
from tests.data.test_video import cut

IMAGE = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)


def test_frames_of_images_and_videos_are_numbered_through(tmp_path):
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), IMAGE)
    (tmp_path / "b.jpg").write_bytes(b"broken")
    write(tmp_path / "clip", number=3)
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    inputs = find_inputs([str(tmp_path)], tmp_path / "out")
    events = list(read_inputs(inputs.found, threads=2))
    named = [(e.path.name, e.number, e.image_id) for e in events if isinstance(e, Frame)]
    assert named == [
        ("a.png", None, 1), ("c.png", None, 3), ("clip.mp4", 0, 4), ("clip.mp4", 1, 5),
        ("clip.mp4", 2, 6), ("d.png", None, 7),
    ]  # fmt: skip
    (broken,) = (e for e in events if isinstance(e, Unread))
    assert "b.jpg: not a JPEG, PNG, BMP or WebP image" in broken.fault.text
    (end,) = (e for e in events if isinstance(e, VideoEnd))
    assert (end.claimed, end.read, end.fault) == (3, 3, None)
    assert events.index(end) == 6


def events_of(path):
    return list(read_inputs([Input(path, path.name, True)], threads=1))


def test_frames_of_a_video_have_their_own_times(tmp_path):
    steps = [1 / 30] * 6 + [0.2] * 3
    *frames, end = events_of(retime(write(tmp_path / "a", number=9, rate=30), steps))
    expected = np.cumsum([0, *steps[:-1]])
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=1e-4)
    assert frames[0].rate == pytest.approx(30, rel=1e-3)
    assert (end.claimed, end.read, end.lost, end.fault) == (9, 9, 0, None)


def test_only_frames_that_are_proven_to_be_missing_are_lost(tmp_path, caplog):
    path = edit(write(tmp_path / "trimmed", number=20), (0.2, 0.4))
    end = events_of(path)[-1]
    assert (end.claimed, end.read, end.lost, end.fault) == (10, 10, 0, None)
    end = events_of(cut(write_other(tmp_path / "cut.webm", "VP80"), 0.5))[-1]
    assert 0 < end.lost == 20 - end.read
    assert "cut.webm: states 20 frames" in end.fault.text
    assert caplog.messages == []


def test_notes_on_a_video_are_logged(tmp_path, caplog):
    path = tmp_path / "still"
    with VideoWriter(path, 25, (48, 64)) as writer:
        for _ in range(2):
            writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.finish()
    assert events_of(writer.path)[-1].fault is None
    assert "still.mp4: all 2 frames are the same picture" in caplog.text


def test_a_file_that_goes_while_others_are_read(tmp_path):
    for i in range(40):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), IMAGE)
    inputs = find_inputs([str(tmp_path)], tmp_path / "out")
    names = []
    for event in read_inputs(inputs.found, threads=2):
        if not names:
            (tmp_path / "39.png").unlink()
        names.append(event.path.name)
    assert names == [f"{i:02d}.png" for i in range(40)]
    assert isinstance(event, Unread)
    assert "39.png: cannot be read (no such file)" in event.fault.text


def test_an_annotation_does_not_make_a_huge_image_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr("keypoint.data.images.read.MOST_PIXELS", 100)
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    one = Input(tmp_path / "a.png", "a.png", False, image_id=7, image_size=IMAGE.shape[:2])
    (event,) = read_inputs([one], threads=1)
    assert "a.png: too large" in event.fault.text
    assert event.fault.id == 7


def test_in_order_whatever_finishes_first():
    def call(i):
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i

    calls = ((1, lambda i=i: call(i)) for i in range(20))
    assert list(ahead(calls, threads=4, most=8, most_bytes=100)) == list(range(20))
    assert list(ahead([], threads=4, most=8, most_bytes=100)) == []


@pytest.mark.parametrize(("size", "most", "allowed"), [(40, 8, 2), (500, 8, 1), (0, 3, 3)])
def test_what_waits_is_bounded_by_bytes_and_number(size, most, allowed):
    lock, there, largest = threading.Lock(), [0], [0]

    def call():
        with lock:
            there[0] += 1
            largest[0] = max(largest[0], there[0])
        return size

    for _ in ahead(((size, call) for _ in range(30)), threads=4, most=most, most_bytes=100):
        time.sleep(0.005)  # the threads have time to go too far
        with lock:
            there[0] -= 1
    assert allowed <= largest[0] <= allowed + 1  # and the one that is out


def test_an_error_comes_at_its_place_and_the_threads_end():
    before = threading.active_count()
    calls = [(1, lambda: 0), (1, lambda: 1 / 0), (1, lambda: 2)]
    results = ahead(calls, threads=2, most=8, most_bytes=100)
    assert next(results) == 0
    with pytest.raises(ZeroDivisionError):
        next(results)
    with closing(ahead(((1, time.time) for _ in range(100)), 2, 8, 100)) as more:
        next(more)
    assert threading.active_count() == before
