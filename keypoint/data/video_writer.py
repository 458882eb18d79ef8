"""Write frames to a video file by OpenCV, and count them.

OpenCV drops frames of another size, or crops an odd side by a pixel, without an error (measured,
OpenCV 5.0). So the file is opened again, and renamed only if it is complete. It has a constant rate
and no sound.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.video import VideoReader
from keypoint.errors import ConfigError, DataError

# In order of preference; FFmpeg's cut odd sides by a pixel, OpenCV's own motion JPEG does not.
WRITERS = ((".mp4", "mp4v", cv2.CAP_FFMPEG), (".avi", "MJPG", cv2.CAP_OPENCV_MJPEG))


def _mp4_rate(rate: float) -> float:
    """Nearest rate that OpenCV writes as MPEG-4: to 0.001, numerator up to 65,535 (measured)."""
    rate = min(max(rate, 0.01), 60_000.0)
    return round(rate, max(0, min(3, math.floor(math.log10(65_000 / rate)))))


def _avi_rate(rate: float) -> float:
    return min(max(1.0, float(round(rate))), 1000.0)


class VideoWriter:
    """Writes frames of one size to a file, which appears once it is complete and checked.

    Args:
        path: The file without its suffix: .mp4 (MPEG-4) is added or, for sides of odd length,
            .avi (motion JPEG, whose rate is a whole number).
        rate: Frames per second; rounded to the nearest rate of the format.
        image_size: (height, width) of the frames.

    Attributes:
        path: The file with its suffix.
        rate: Frames a second, as written.
        written: Number of frames so far.

    Raises:
        ConfigError: The file cannot be written.
    """

    def __init__(self, path: Path, rate: float, image_size: tuple[int, int]) -> None:
        self.image_size = image_size
        height, width = image_size
        for suffix, codec, backend in WRITERS:
            if codec == "mp4v" and (height % 2 or width % 2):
                continue
            self.path = path.with_name(path.name + suffix)
            self._temporary = path.with_name(f".{path.name}.part{suffix}")
            code = cv2.VideoWriter.fourcc(*codec)
            name = str(self._temporary.absolute())
            self.rate = _mp4_rate(rate) if codec == "mp4v" else _avi_rate(rate)
            self._writer = cv2.VideoWriter(name, backend, code, self.rate, (width, height))
            if self._writer.isOpened():
                break
            self.discard()
        else:
            raise ConfigError(
                f"{self.path}: OpenCV cannot write a video there ({width} x {height}, {rate:g} "
                "frames per second); give another --output, or remove --pictures"
            )
        self.written = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add one (H, W, 3) uint8 RGB frame."""
        assert image.shape[:2] == self.image_size, f"{image.shape} into {self.image_size}"
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.written += 1

    def finish(self) -> None:
        """Close the file, check that all frames are in it, and rename it.

        Raises:
            ConfigError: Frames are missing or of another size: a full disk.
        """
        self._writer.release()
        try:
            with VideoReader(self._temporary) as reader:
                frame = next(iter(reader), None)
                size = None if frame is None else frame.shape[:2]
            problem = (
                None
                if size == self.image_size and reader.claimed == self.written
                else f"{reader.claimed} of {self.written} frames are in it, of size {size}"
            )
        except DataError:
            problem = "it cannot be opened"
        if problem:
            self.discard()
            raise ConfigError(f"{self.path}: not written completely: {problem}; is the disk full?")
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Close the file and remove it."""
        self._writer.release()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
