"""Frames of a video, which is a video file or a folder of images, and the clips cut from it.

A frame's number is its place among those that can be read, from 0, whatever the names of a folder's
images are and whatever a video's header says.
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
NEVER = 2**40  # number of a frame that no video has


class FrameFolder:
    """The frames of one video as images in a folder; a context like `VideoReader`.

    The images are counted and sorted by their number, the last in their names (img_00001.jpg), or
    by their names if one has no number; it does not matter from which number they begin.

    Args:
        path: The folder.

    Attributes:
        claimed: Number of images.
        read: Number of the last frame read, and 1.
        rate: None; images have no times.

    Raises:
        DataError: No such folder, or no image in it.
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
        """Yield the frames of these numbers, each once and ascending; others are not read.

        Yields:
            Number and frame, (H, W, 3) uint8 RGB.

        Raises:
            VideoEndError: There are fewer images; those before were yielded.
            DataError: An image cannot be read or differs in size from those before.
            ValueError: A number is below 0.
        """
        wanted = sorted(set(map(int, numbers)))
        if wanted and wanted[0] < 0:
            raise ValueError(f"frame {wanted[0]} is asked of {self.path}; numbers begin at 0")
        for number in wanted:
            if number >= self.claimed:
                raise VideoEndError.after(self.path, number, self.claimed)
            frame = read_image(self.path / self.names[number])
            if self._shape not in (None, frame.shape):
                raise DataError(
                    f"{self.path / self.names[number]}: frame {number} is {frame.shape[1]} x "
                    f"{frame.shape[0]}, those before differ; make all frames of a video one size"
                )
            self._shape = frame.shape
            self.read = number + 1
            yield number, frame

    def times(self, number: int) -> NDArray[np.float64]:
        """Raise, as images have no times.

        Raises:
            DataError: Always.
        """
        raise DataError(
            f"{self.path}: a folder of frames has no frame rate; leave clips.fps out and give "
            "clips.stride, or use the video"
        )

    def gaps(self) -> int:
        """Number of images that are missing between the first and the last by their numbers."""
        if not all(map(_number, self.names)):
            return 0
        return int(_number(self.names[-1])) - int(_number(self.names[0])) + 1 - self.claimed


def _number(name: str) -> str:
    """The last digits in a file's name, without its suffix; empty if it has none."""
    found = re.findall(r"\d+", Path(name).stem)
    return found[-1] if found else ""


def open_frames(path: Path) -> VideoReader | FrameFolder:
    """Open a video file, or a folder of frames, to be read by one thread.

    Raises:
        DataError: It cannot be opened.
    """
    return FrameFolder(path) if path.is_dir() else VideoReader(path, threads=1)


# Takes the number of frames, and the function that gives the times of so many (in seconds); returns
# frame numbers of any shape.
Draw = Callable[[int, Callable[[int], NDArray[np.float64]]], NDArray[np.int64]]


def read_drawn(
    path: Path,
    span: tuple[int, int],
    draw: Draw,
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.uint8]]]:
    """Draw frames of a video and read them in one pass.

    The numbers are drawn from as many frames as the video says that it has. If it ends before one
    of them, they are drawn again from those that can be read: so they depend on the file alone, and
    only such a video is read twice.

    Args:
        path: The video file, or the folder of frames.
        span: First frame, and end (exclusive), -1 for the video's.
        draw: Chooses the numbers, counted from the span's begin; it is called again with another
            number of frames, and must not depend on earlier calls.
        prepare: Applied to each frame at once, such as a crop: few large frames are held.

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
                    f"{path}: frames {first} to {end} are asked for, it has {available}; "
                    "correct the list"
                )
            prepared = {}
            try:
                if number >= NEVER - first:  # it does not say: count
                    list(video.frames_at([NEVER]))
                numbers = draw(number, lambda n: video.times(first + n)[first:])
                for at, frame in video.frames_at(numbers.ravel() + first):
                    prepared[at - first] = prepare(frame)
                return numbers, prepared
            except VideoEndError as ended:
                if ended.frames == 0 or count is not None:
                    raise DataError(str(ended)) from None
                count = ended.frames
