"""Frames of a video file, read and written by OpenCV's FFmpeg and counted both ways.

OpenCV says little: a damaged video ends early without an error, and a writer drops frames of
another size, or cuts an odd side by a pixel, without a word (measured, OpenCV 5.0). So the frames
read are compared with those the file claims, and what was written is opened again.

Sound is not kept, and the frame rate is constant. A turned video (by its rotation
metadata) is turned upright by OpenCV.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError, DataError

# Of the containers: AVI; MP4 and MOV; Matroska and WebM; MPEG program and transport stream; WMV.
# FFmpeg looks at the content too, and would take a text file for subtitles or a list of others.
SIGNATURES = (
    (0, b"RIFF"),
    *((4, word) for word in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
    (0, b"\x47"),
    (0, b"\x30\x26\xb2\x75"),
)
# AVI and MP4 list their frames, so each missing one is lost; others only state a duration.
EXACT = (".avi", ".mp4", ".m4v", ".mov")
ESTIMATE_ERROR = 0.05  # of the number of frames, if it is computed from duration and rate
USUAL_RATE = 25.0  # frames a second, if the file does not say
# In order of preference; FFmpeg's cut odd sides by a pixel, OpenCV's own motion JPEG does not.
WRITERS = ((".mp4", "mp4v", cv2.CAP_FFMPEG), (".avi", "MJPG", cv2.CAP_OPENCV_MJPEG))


class VideoReader:
    """The frames of one video; a context, and an iterable that is consumed once.

    Args:
        path: The video file.

    Attributes:
        claimed: Number of frames according to the file; 0 if it does not say.
        read: Number of frames read so far.
        rate: Frames a second.
        frame_bytes: Approximate size of a decoded frame.

    Raises:
        DataError: The file cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        try:
            with path.open("rb") as file:
                head = file.read(12)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); give a video") from None
        if not any(head[place:].startswith(word) for place, word in SIGNATURES):
            raise DataError(
                f"{path}: not a video ({path.stat().st_size} bytes, no AVI, MP4, MOV, Matroska, "
                "WebM, MPEG or WMV); use another copy"
            )
        # By name of the backend: the next one takes a % in the file's name for numbered images.
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise DataError(
                f"{path}: damaged or cut off video, cannot be opened ({path.stat().st_size} bytes, "
                "no index of frames or an unknown codec); use another copy"
            )
        self.claimed = max(0, self._whole(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if math.isfinite(rate) and 0.1 <= rate <= 1000 else USUAL_RATE
        height = self._whole(cv2.CAP_PROP_FRAME_HEIGHT)
        self.frame_bytes = 3 * max(0, height) * max(0, self._whole(cv2.CAP_PROP_FRAME_WIDTH))
        self.read = 0
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield each frame, (H, W, 3) uint8 RGB, up to the last one that can be read.

        Raises:
            DataError: A frame differs in size from those before, or OpenCV refuses it.
        """
        while True:
            try:
                there, frame = self._capture.read()
            except cv2.error as error:
                raise DataError(
                    f"{self.path}: OpenCV cannot read frame {self.read}: {error}"
                ) from None
            if not there:
                return
            if self._shape is not None and frame.shape != self._shape:
                raise DataError(
                    f"{self.path}: frame {self.read} is {frame.shape[1]} x {frame.shape[0]}, those "
                    f"before {self._shape[1]} x {self._shape[0]}; cut the video where it changes"
                )
            self._shape = frame.shape
            self.read += 1
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)

    def shortfall(self) -> str | None:
        """Describe missing frames once all were read; None if none is missing."""
        if self.read == 0:
            return f"{self.path}: has no frame that can be read (it says {self.claimed})"
        missing = self.claimed - self.read
        allowed = 0 if self.path.suffix.lower() in EXACT else ESTIMATE_ERROR * self.claimed
        if missing > allowed:
            return (
                f"{self.path}: says {self.claimed} frames, {self.read} could be read; damaged or "
                "cut off: use another copy if the rest matters"
            )
        return None

    def _whole(self, what: int) -> int:
        value = float(self._capture.get(what))
        return int(value) if math.isfinite(value) and abs(value) < 2**40 else 0


class VideoWriter:
    """Writes frames of one size to a file, which appears once it is complete and checked.

    Args:
        path: The file without its suffix: .mp4 (MPEG-4) is added or, for sides of odd length,
            .avi (motion JPEG, whose rate is a whole number).
        rate: Frames a second.
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
            self.rate = rate if codec == "mp4v" else max(1.0, float(round(rate)))
            self._writer = cv2.VideoWriter(name, backend, code, self.rate, (width, height))
            if self._writer.isOpened():
                break
            self.discard()
        else:
            raise ConfigError(
                f"{self.path}: OpenCV cannot write a video there ({width} x {height}, {rate:g} "
                "frames a second); give another --output, or leave out --pictures"
            )
        self.written = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add one (H, W, 3) uint8 RGB frame."""
        assert image.shape[:2] == self.image_size, f"{image.shape} into {self.image_size}"
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.written += 1

    def finish(self) -> None:
        """Close the file, check that all frames are in it, and give it its name.

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
            raise ConfigError(f"{self.path}: was not written whole, {problem}; is the disk full?")
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
