"""Frames of a video file, read by OpenCV's FFmpeg, counted and timed.

A damaged video ends early without an error (measured, OpenCV 5.0). So the number of frames read is
compared with the number that the file states.

Single frames are read forward, too: OpenCV's seek by number is wrong in MPEG transport streams, and
slower than `grab` for clips. A frame's number is its position in display order, from 0.

A frame's time is its own time stamp, because phones, browsers and screen recorders do not keep a
constant rate. OpenCV turns a video upright by its rotation metadata.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.containers import Times, listed_times, missing_bytes
from keypoint.data.images.other_forms import picture_form
from keypoint.errors import DataError

# Of the containers: AVI; MP4 and MOV; Matroska and WebM; MPEG program and transport stream; WMV;
# Flash; Ogg.
# FFmpeg also checks the content, and would read a text file as subtitles or a playlist.
SIGNATURES = (
    (0, b"RIFF"),
    *((4, word) for word in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
    (0, b"\x47"),
    (4, b"\x47"),  # of camcorders and Blu-ray: four bytes of time before each packet
    (0, b"\x30\x26\xb2\x75"),
    (0, b"FLV"),
    (0, b"OggS"),
)
USUAL_RATE = 25.0  # frames per second, if the file states no rate
MOST_USUAL_RATE = 120.0  # a higher one may be the resolution of the time stamps, often 1000
FRAMES_TIMED = 100  # to find the rate then
FRAMES_OPEN = 2  # frames at the end of an intact AVI or MPEG, missing or without time stamp
REST_S, REST = 1.0, 0.05  # seconds, and share of the duration, by which sound is often longer
SHORTEST_S = 1e-6  # between frames; less is a rounding error


def silence_decoder() -> None:
    """Suppress FFmpeg's messages about damaged frames, which name no file and break progress bars.

    Call it before this process reads its first video. An OPENCV_FFMPEG_LOGLEVEL that is set stays.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoEndError(DataError):
    """A requested frame is beyond the end of the video.

    Attributes:
        frames: Number of frames that could be read.
    """

    frames = 0

    @classmethod
    def after(cls, path: Path, number: int, frames: int, why: str | None = None) -> VideoEndError:
        """Create the error for a requested frame; `why` is the text if there are no frames."""
        error = cls(
            why
            or f"{path}: frame {number} was requested, but the video has {frames} frames that can "
            f"be read; give frames 0 to {frames - 1}"
        )
        error.frames = frames
        return error


class VideoReader:
    """The frames of one video; a context, and an iterable that is consumed once.

    Args:
        path: The video file.
        threads: Of the decoder; None for as many as there are cores. With one, a video takes a
            fifth to a third less CPU time, which is better for several processes at once.

    Attributes:
        claimed: Number of frames according to the file, computed from duration and rate if it has
            no list of them; 0 if it states neither.
        read: Number of frames read so far.
        frame_bytes: Approximate size of a decoded frame.

    Raises:
        DataError: The file cannot be opened.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        self.path = path = Path(path)
        try:
            with path.open("rb") as file:
                head = file.read(64)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); give a video") from None
        form, remedy = picture_form(head, path)
        if form:
            size = path.stat().st_size
            raise DataError(f"{path}: not a video but {form} ({size} bytes); {remedy}")
        if not any(head[place:].startswith(word) for place, word in SIGNATURES):
            raise DataError(
                f"{path}: not a video ({path.stat().st_size} bytes, no AVI, MP4, MOV, Matroska, "
                "WebM, MPEG, WMV, FLV or Ogg); use another copy"
            )
        # By name of the backend: the next one takes a % in the file's name for numbered images.
        options = [] if threads is None else [cv2.CAP_PROP_N_THREADS, threads]
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, options)
        if not self._capture.isOpened():
            raise DataError(
                f"{path}: damaged or cut off video, cannot be opened ({path.stat().st_size} bytes, "
                "no index of frames or an unknown codec); use another copy"
            )
        self._times = listed_times(path)
        self._missing = missing_bytes(path) if self._times is None else 0
        counted = max(0, self._whole(cv2.CAP_PROP_FRAME_COUNT))
        self.claimed = counted if self._times is None else len(self._times)
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._stated_rate = rate if math.isfinite(rate) and rate > 0 else None
        height = self._whole(cv2.CAP_PROP_FRAME_HEIGHT)
        self.frame_bytes = 3 * max(0, height) * max(0, self._whole(cv2.CAP_PROP_FRAME_WIDTH))
        codec = self._whole(cv2.CAP_PROP_FOURCC) % 2**32
        self._codec = codec.to_bytes(4, "little").decode("latin-1")
        self.read = 0
        self._first = self._seconds = self._step = 0.0  # first stamp, last time, last difference
        self._untimed = 0
        self._is_avi = head.startswith(b"RIFF")
        self._still: NDArray[np.generic] | None = None  # the first frame, if all are like it
        self._shape: tuple[int, ...] | None = None

    @cached_property
    def rate(self) -> float:
        """Frames per second; if the rate varies, that of the fastest parts.

        From the list of an MP4; else as the file states it, which is checked with the first frames
        if it is above 120; 25 if nothing is known.
        """
        rate = self._stated_rate
        if self._times is not None:
            measured = _rate_of(self._times)
        elif rate is None or rate > MOST_USUAL_RATE:
            measured = self._rate_of_first_frames()
        else:
            return rate
        if rate is not None and (measured is None or abs(rate - measured) <= 0.01 * measured):
            return rate  # exact
        return measured or USUAL_RATE

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield each frame, (H, W, 3) uint8 RGB, up to the last one that can be read.

        Raises:
            DataError: As `timed`.
        """
        return (image for _, image in self.timed())

    def timed(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield the time of each frame in seconds since the first, and (H, W, 3) uint8 RGB.

        The time is the frame's time stamp. A frame without one, or with one that is not after that
        of the previous frame, is placed 1 / `rate` after the previous one; half as far if its stamp
        is less than a frame too early, as at a splice, so that later stamps are used again.

        Raises:
            DataError: A frame differs in size from those before, or OpenCV refuses it.
        """
        while True:
            frame = self._next()
            if frame is None:
                return
            if self.read == 0 or (self._still is not None and (frame != self._still).any()):
                self._still = frame if self.read == 0 else None
            self._place()
            self.read += 1
            yield self._seconds, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)

    def frames_at(self, numbers: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the frames of these numbers in one pass forward, up to the last of them.

        Frames in between are decoded, as later ones depend on them, but not converted. After
        `skip_rest`, `lost` and `shortfall` are of the whole video.

        Args:
            numbers: From 0, in any order, repeats allowed; not of frames that were already read.

        Yields:
            Number and frame, (H, W, 3) uint8 RGB: each number once, ascending.

        Raises:
            VideoEndError: The video ends before a requested frame; earlier frames were yielded.
            DataError: A frame differs in size from those before, or OpenCV refuses it.
            ValueError: A number is below 0, or the frame was already read.
        """
        wanted = sorted(set(map(int, numbers)))
        if wanted and wanted[0] < self.read:
            raise ValueError(
                f"{self.path}: frame {wanted[0]} is requested after {self.read} frames were read; "
                "numbers start at 0, and a reader only moves forward: open the video again"
            )
        for number in wanted:
            while self.read < number and self._skip():
                pass
            frame = self._next() if self.read == number else None
            if frame is None:
                why = self.shortfall() if self.read == 0 else None
                raise VideoEndError.after(self.path, number, self.read, why)
            self._place()
            self.read += 1
            yield number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)

    def skip_rest(self) -> None:
        """Read the remaining frames without converting them."""
        while self._skip():
            pass

    def _skip(self) -> bool:
        """Read a frame without converting it; False at the end."""
        if not self._capture.grab():
            return False
        self._place()
        self.read += 1
        return True

    def _next(self) -> NDArray[np.uint8] | None:
        """The next frame in BGR; None at the end."""
        try:
            there, frame = self._capture.read()
        except cv2.error as error:
            raise DataError(f"{self.path}: OpenCV cannot read frame {self.read}: {error}") from None
        if not there:
            return None
        if self._shape is not None and frame.shape != self._shape:
            raise DataError(
                f"{self.path}: frame {self.read} is {frame.shape[1]} x {frame.shape[0]}, earlier "
                f"ones {self._shape[1]} x {self._shape[0]}; split the video at this frame"
            )
        self._shape = frame.shape
        return np.asarray(frame, np.uint8)

    def times(self, number: int) -> Times:
        """Times of the first `number` frames in seconds: as an MP4 lists them, or by `rate`.

        No frame is read.
        """
        if self._times is not None and len(self._times) >= number:
            return self._times[:number]
        return np.arange(number) / self.rate

    def _place(self) -> None:
        """Set the time of the frame that was just read."""
        stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if self.read == 0:
            self._first = stamp if math.isfinite(stamp) else 0.0
            return
        self._step = stamp - self._first - self._seconds
        if not SHORTEST_S < self._step < math.inf:  # so for nan, too
            self._untimed += 1
            is_near = stamp != 0 and -1 / self.rate < self._step <= SHORTEST_S
            self._step = (0.5 if is_near else 1) / self.rate
        self._seconds += self._step

    @property
    def lost(self) -> int:
        """Number of frames that are proven to be missing, once all were read.

        For an MP4, the listed frames, except any before the first that could be read: after a cut,
        these may depend on removed frames. For an AVI, which has a constant rate, and for a
        truncated file, the frames that fit between the last one and the stated end.
        """
        if self._times is not None:
            before = int(np.searchsorted(self._times, self._first - 1e-4))
            return max(0, len(self._times) - before - self.read)
        if self.read == 0:
            return self.claimed
        missing = round(self._rest * self.rate)
        if self._missing or (self._is_avi and missing > FRAMES_OPEN):
            return max(0, min(missing, self.claimed - self.read))
        return 0

    def shortfall(self) -> str | None:
        """Describe missing frames once all were read; None if none is proven to be missing."""
        if self.read == 0:
            return (
                f"{self.path}: has no frame that can be read (it states {self.claimed}, codec "
                f"{self._codec}); damaged, or OpenCV lacks the codec (AV1): convert it to H.264"
            )
        if not self._missing and not self.lost:
            return None
        says = f"states {self.read + self.lost} frames, but {self.read}"
        how = "damaged or cut off"
        if self._missing:
            how = f"cut off, {self._missing} bytes are missing"
        return (
            f"{self.path}: {says if self.lost else f'{self.read} frames'} could be read; {how}: "
            "use another copy if the rest matters"
        )

    def notes(self) -> list[str]:
        """Describe probable faults of the frames and times, once all were read."""
        notes = []
        if self._untimed > FRAMES_OPEN:
            is_assumed = self._stated_rate is None and self.rate == USUAL_RATE
            notes.append(
                f"{self.path}: {self._untimed} of {self.read} frames have no time stamp after the "
                f"frame before; each is placed at most 1/{self.rate:g} s after it"
                + (" (assumed, the file states no rate)" if is_assumed else "")
            )
        if self.read > 1 and self._still is not None:
            # For such videos OpenCV returns uninitialised memory, often black, without an error.
            notes.append(
                f"{self.path}: all {self.read} frames are the same picture; if players show more, "
                "it is interlaced, which OpenCV 4.13 to 5.0 cannot read: convert it "
                '("ffmpeg -i IN -vf yadif OUT")'
            )
        if self._times is None and not self.lost and self.read:
            stated = self._seconds + self._step + self._rest
            if self._rest > max(REST_S, REST * stated):
                notes.append(
                    f"{self.path}: its frames end {self._rest:.1f} s before the {stated:.1f} s "
                    "that it states; its sound may be longer, or the rest is damaged"
                )
        return notes

    @property
    def _rest(self) -> float:
        """Seconds between the end of the last frame read and the end that the file states."""
        if self._stated_rate is None:
            return 0.0
        return self.claimed / self._stated_rate - self._seconds - (self._step or 1 / self.rate)

    def _rate_of_first_frames(self) -> float | None:
        """Frames a second by the time stamps of the first frames; None if they have none."""
        times: list[float] = []
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG)
        while len(times) < FRAMES_TIMED and capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        capture.release()
        passed = max(times) - times[0] if times else 0.0
        return (len(times) - 1) / passed if passed > 0 else None

    def _whole(self, what: int) -> int:
        value = float(self._capture.get(what))
        return int(value) if math.isfinite(value) and abs(value) < 2**40 else 0


def _rate_of(times: Times) -> float | None:
    """Frames a second in the fastest tenth; None if there is only one time."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return None
    return float(1 / steps[steps <= 1.25 * np.quantile(steps, 0.1)].mean())
