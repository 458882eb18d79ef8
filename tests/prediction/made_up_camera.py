"""A camera made up here, and a user who presses Ctrl-C."""

import os
import signal
import time

import cv2

from keypoint.prediction.inputs.camera import CameraReader


def install(monkeypatch, images, frames, rate=20.0, number=signal.SIGINT):
    """In the place of all cameras; Ctrl-C is pressed when that many frames were taken from it.

    Args:
        images: (H, W, 3) uint8 BGR, shown in turn.
        number: Of another signal.

    Returns:
        What is taken: seconds and image of each frame.
    """

    class Capture:
        count = 0

        def isOpened(self):  # noqa: N802 (OpenCV's name)
            return True

        def get(self, what):
            return rate if what == cv2.CAP_PROP_FPS else 0.0

        def read(self):
            time.sleep(1 / rate)
            self.count += 1
            return True, images[self.count % len(images)]

        def release(self):
            pass

    taken, next_frame, capture = [], CameraReader.next_frame, cv2.VideoCapture

    def take(self, is_over):
        newest = next_frame(self, is_over)
        if newest is not None:
            taken.append(newest)
            if len(taken) == frames:
                os.kill(os.getpid(), number)
        return newest

    def choose(what, *more):  # a camera has a number, a video a name and a backend
        return Capture() if isinstance(what, int) else capture(what, *more)

    monkeypatch.setattr(CameraReader, "next_frame", take)
    monkeypatch.setattr(cv2, "VideoCapture", choose)
    return taken
