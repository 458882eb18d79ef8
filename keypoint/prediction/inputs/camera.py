"""The newest frame of a camera: a slow reader skips frames instead of falling behind.

A thread reads every frame from the camera and keeps the last one. Skipped frames are counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError

USUAL_RATE = 30.0  # frames per second, if the camera does not report it
WAIT_S = 10.0  # for a frame; cameras need a second or two at the start
LOOK_S = 0.1  # between calls of `is_over`
LEAVE_S = 1.0  # for the thread to end
FAILURES = 5  # failed reads in a row after which a camera is disconnected; one is a damaged frame


class CameraReader:
    """The newest frame of a camera at any time.

    Args:
        number: Number of the camera, from 0 (on Linux: /dev/video0).

    Attributes:
        rate: Frames per second, according to the camera.
        delivered: Number of frames delivered so far.

    Raises:
        DataError: The camera does not exist, or another program uses it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            self._capture.release()
            raise DataError(
                f"camera:{number} cannot be opened; check that it is connected, that you may use "
                f"it (Linux: /dev/video{number}), and that no other program uses it"
            )
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 1 <= rate <= 1000 else USUAL_RATE  # also false for nan
        self.delivered = 0
        self._newest: tuple[float, NDArray[np.uint8]] | None = None
        self._shape: tuple[int, ...] | None = None
        self._is_gone = self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def next_frame(
        self, is_over: Callable[[], bool] = lambda: False
    ) -> tuple[float, NDArray[np.uint8]] | None:
        """Wait for a frame newer than the last one returned.

        Args:
            is_over: Whether to stop waiting.

        Returns:
            Time in seconds of a steady clock, and (H, W, 3) uint8 RGB; None if `is_over`.

        Raises:
            DataError: The camera is disconnected, delivers no frame for 10 seconds, or changes its
            frame size.
        """
        begin = time.monotonic()
        if is_over():
            return None
        with self._changed:
            while self._newest is None:
                if is_over():
                    return None
                late = time.monotonic() - begin > WAIT_S
                if self._is_gone or late:
                    how = (
                        "was disconnected"
                        if self._is_gone
                        else f"delivered no frame for {WAIT_S:g} s"
                    )
                    raise DataError(
                        f"camera:{self.number} {how} after {self.delivered} frames; check its cable"
                    )
                self._changed.wait(LOOK_S)
            (seconds, image), self._newest = self._newest, None
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise DataError(
                f"camera:{self.number}: the frame size changed from {self._shape[1]} x "
                f"{self._shape[0]} to {image.shape[1]} x {image.shape[0]}; start again"
            )
        return seconds, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def __enter__(self) -> CameraReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._thread.join(LEAVE_S)
        if not self._thread.is_alive():  # else it hangs in the driver until the process ends
            self._capture.release()

    def _take(self) -> None:
        failures = 0
        try:
            while not self._is_closed and failures < FAILURES:
                try:
                    there, image = self._capture.read()
                except cv2.error:
                    there = False
                if not there:
                    failures += 1
                    time.sleep(0.05)
                    continue
                failures = 0
                with self._changed:
                    self.delivered += 1
                    self._newest = time.monotonic(), np.asarray(image, np.uint8)
                    self._changed.notify()
        finally:
            with self._changed:
                self._is_gone = True
                self._changed.notify()
