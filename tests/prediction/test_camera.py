"""A made-up camera: what OpenCV's capture gives is made here, at its pace."""

import threading
import time

import cv2
import numpy as np
import pytest

from keypoint.errors import DataError
from keypoint.prediction.inputs import camera
from keypoint.prediction.inputs.camera import CameraReader


class Capture:
    """Delivers `frames` frames whose pixels say their number, then none."""

    def __init__(self, frames, period=0.0, damaged=(), gate=None):
        self.frames, self.period, self.damaged, self.gate = frames, period, damaged, gate
        self.count = 0
        self.is_released = False

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return True

    def get(self, what):
        return {cv2.CAP_PROP_FPS: 20.0}.get(what, 0.0)

    def read(self):
        if self.gate:
            self.gate.wait(5)
        time.sleep(self.period)
        self.count += 1
        if self.count > self.frames or self.count in self.damaged:
            return False, None
        image = np.zeros((40, 60, 3), np.uint8)
        image[..., 0] = self.count  # blue
        return True, image

    def release(self):
        self.is_released = True


@pytest.fixture
def capture(monkeypatch):
    made = []

    def use(*arguments, **options):
        made.append(Capture(*arguments, **options))
        monkeypatch.setattr(cv2, "VideoCapture", lambda number: made[-1])
        return made[-1]

    return use


def number_of(image):
    assert image.shape == (40, 60, 3)
    assert not image[..., :2].any()  # RGB: blue is last
    return int(image[0, 0, 2])


def test_the_newest_frame_and_those_passed_over(capture):
    gate = threading.Event()
    source = capture(10, gate=gate)
    with CameraReader(0) as reader:
        assert reader.rate == 20
        gate.set()
        while reader.delivered < 10:
            time.sleep(0.005)
        _, image = reader.next_frame()
        assert number_of(image) == 10
        assert reader.delivered == 10
    assert source.is_released


def test_every_frame_once_in_order_and_later(capture):
    capture(60, period=0.01)
    with CameraReader(1) as reader:
        found = [reader.next_frame() for _ in range(12)]
    numbers = [number_of(image) for _, image in found]
    moments = [moment for moment, _ in found]
    assert numbers == sorted(set(numbers))
    assert moments == sorted(set(moments))


def test_a_damaged_frame_is_passed_and_an_unplugged_camera_reported(capture):
    capture(10, period=0.02, damaged=(2, 3, 5, 6, 8, 9))  # six, but never five in a row
    with CameraReader(2) as reader:
        assert [number_of(reader.next_frame()[1]) for _ in range(4)] == [1, 4, 7, 10]
        with pytest.raises(DataError, match=r"camera:2 was disconnected after 4 frames"):
            reader.next_frame()


def test_a_camera_that_delivers_nothing(capture, monkeypatch):
    monkeypatch.setattr(camera, "WAIT_S", 0.1)
    gate = threading.Event()
    capture(5, gate=gate)
    with CameraReader(0) as reader:
        with pytest.raises(DataError, match=r"delivered no frame for 0\.1 s after 0 frames"):
            reader.next_frame()
        gate.set()


def test_no_one_waits_for_a_camera_that_hangs(capture):
    """Ctrl-C while it delivers nothing ends the wait at once, and is no fault of the camera."""
    gate = threading.Event()
    capture(5, gate=gate)
    begin = time.monotonic()
    with CameraReader(0) as reader:
        assert reader.next_frame(lambda: time.monotonic() - begin > 0.2) is None
    assert time.monotonic() - begin < 0.2 + camera.LEAVE_S + 1
    gate.set()


def test_another_size_and_an_error_of_opencv_are_reported(capture):
    source = capture(100, period=0.01)
    with CameraReader(0) as reader:
        reader.next_frame()
        read = source.read
        source.read = lambda: (True, np.zeros((30, 60, 3), np.uint8))
        time.sleep(0.1)  # until no frame of the old size waits
        with pytest.raises(
            DataError, match=r"camera:0: the frame size changed from 60 x 40 to 60 x 30"
        ):
            reader.next_frame()
        source.read = read

    def fail():
        raise cv2.error("driver")

    capture(3).read = fail
    with (
        CameraReader(1) as reader,
        pytest.raises(DataError, match="camera:1 was disconnected after 0"),
    ):
        reader.next_frame()


def test_no_camera():
    """By OpenCV itself: number 97 is not there, whatever machine this is."""
    with pytest.raises(DataError, match=r"camera:97 cannot be opened.*/dev/video97"):
        CameraReader(97)
