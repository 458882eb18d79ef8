"""Frames of a video file or a folder of images, and the clips cut from it.

Frames that can be read are numbered from 0, independent of the names of images in a folder and of
the header of a video file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.names import names_in
from keypoint.data.images.read import read_image
from keypoint.data.video import VideoEndError, VideoReader
from keypoint.errors import DataError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
NEVER = 2**40  # a frame number larger than in any video


class UntimedDataError(DataError):
    """Frames are chosen by time, but the video has none. The config is wrong, not the video."""


class FrameFolder:
    """The frames of one video as images in a folder; a context manager like `VideoReader`.

    The images are sorted by the last number in their names (img_00001.jpg), which may start at any
    value, or by their names if one has no number.

    Args:
        path: The folder.

    Attributes:
        claimed: Number of images.
        read: Number of the last frame read, plus 1.
        rate: None; images have no times.

    Raises:
        DataError: The folder does not exist, or there is no image in it.
    """

    rate = None

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise DataError(f"{path}: no such folder of frames; check the path")
        names = [name for name in names_in(path) if name.lower().endswith(IMAGES)]
        if not names:
            raise DataError(
                f"{path}: no image in this folder of frames; allowed are {', '.join(IMAGES)}"
            )
        self.names = sorted(names)
        if all(map(_number, names)):
            self.names.sort(key=lambda name: int(_number(name)))
        self.claimed = len(names)
        self.read = 0
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def frames_at(self, numbers: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the frames of these numbers, each once, in ascending order; read no others.

        Yields:
            Number and frame, (H, W, 3) uint8 RGB.

        Raises:
            VideoEndError: There are fewer images; the existing ones were yielded.
            DataError: An image cannot be read, or differs in size from earlier ones.
            ValueError: A number is negative.
        """
        wanted = sorted(set(map(int, numbers)))
        if wanted and wanted[0] < 0:
            raise ValueError(f"{self.path}: frame {wanted[0]} was requested; numbers start at 0")
        for number in wanted:
            if number >= self.claimed:
                raise VideoEndError.after(self.path, number, self.claimed)
            frame = read_image(self.path / self.names[number])
            if self._shape not in (None, frame.shape):
                raise DataError(
                    f"{self.path / self.names[number]}: frame {number} is {frame.shape[1]} x "
                    f"{frame.shape[0]}, unlike earlier frames; give all frames of a video one size"
                )
            self._shape = frame.shape
            self.read = number + 1
            yield number, frame

    def times(self, number: int) -> NDArray[np.float64]:
        """Raise, because images have no times.

        Raises:
            UntimedDataError: Always.
        """
        raise UntimedDataError(
            f"{self.path}: a folder of frames has no frame rate; leave out clips.fps and give "
            "clips.stride, or use the video file"
        )

    def gaps(self) -> int:
        """Return the number of images missing between the first and the last number."""
        if not all(map(_number, self.names)):
            return 0
        return int(_number(self.names[-1])) - int(_number(self.names[0])) + 1 - self.claimed


def _number(name: str) -> str:
    """Return the last digits in a file's name, without its suffix, or an empty text."""
    found = re.findall(r"\d+", Path(name).stem)
    return found[-1] if found else ""


def open_frames(path: Path) -> VideoReader | FrameFolder:
    """Open a video file, or a folder of frames, to be read by one thread.

    Raises:
        DataError: It cannot be opened.
    """
    return FrameFolder(path) if path.is_dir() else VideoReader(path, threads=1)


# Takes the number of frames, and a function that returns the times of a number of frames (in
# seconds); returns frame numbers of any shape.
Draw = Callable[[int, Callable[[int], NDArray[np.float64]]], NDArray[np.int64]]


def read_drawn(
    path: Path,
    span: tuple[int, int],
    draw: Draw,
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    warn: Callable[[str], None] | None = None,
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.uint8]]]:
    """Draw frames of a video and read them in one pass.

    The numbers are drawn from the number of frames in the header. If the video ends before one of
    them, they are drawn again from the frames that can be read. So the numbers depend only on the
    file, and only such a video is read twice.

    Args:
        path: The video file, or the folder of frames.
        span: First frame, and end (exclusive), -1 for the video's.
        draw: Chooses the numbers, counted from the start of the span. It may be called again with
            another number of frames, and must not depend on earlier calls.
        prepare: Applied to each frame immediately, such as a crop, so few large frames are kept.
        warn: Takes a message if frames are missing at the end of a video file, which is then read
            to its end.

    Returns:
        The numbers as drawn, and by number what `prepare` returned.

    Raises:
        DataError: The video cannot be opened, has no frame that can be read, or none in the span.
    """
    first, end = span
    count: int | None = None
    while True:
        with open_frames(path) as video:
            available = (video.claimed or NEVER) if count is None else count
            number = (min(available, end) if end >= 0 else available) - first
            if number <= 0:
                raise DataError(
                    f"{path}: frames {first} to {end} are requested, but it has {available}; "
                    "correct the list"
                )
            prepared = {}
            try:
                if number >= NEVER - first:  # not in the header, so count
                    list(video.frames_at([NEVER]))
                numbers = draw(number, lambda n: video.times(first + n)[first:])
                for at, frame in video.frames_at(numbers.ravel() + first):
                    prepared[at - first] = prepare(frame)
                if warn is not None and isinstance(video, VideoReader):
                    video.skip_rest()
                    if shortfall := video.shortfall():
                        warn(shortfall)
                return numbers, prepared
            except VideoEndError as ended:
                if ended.frames == 0 or count is not None:
                    raise DataError(str(ended)) from None
                count = ended.frames
