"""Images, videos and cameras as one stream of frames, decoded ahead on threads.

Files that cannot be read are also in the stream, in their position. An image with an entry in an
annotation file is used as stored, and must have the size of that entry. Other images are turned
upright by their EXIF orientation.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.read import is_nearly_black, read_image
from keypoint.data.images.upright import moderate_header, read_upright
from keypoint.data.report import Fault
from keypoint.data.video import VideoReader
from keypoint.errors import DataError, printable
from keypoint.prediction.inputs.camera import CameraReader
from keypoint.prediction.inputs.find import Input

logger = logging.getLogger(__name__)

T = TypeVar("T")
FRAMES_AHEAD = 16
BYTES_AHEAD = 2**28  # of waiting decoded pixels: 0.27 GB, or one larger image
UNREADABLE = "that cannot be read"


@dataclass
class Frame:
    """An image, or a frame of a video.

    Attributes:
        path: The file.
        number: Index in its video, from 0; None for an image.
        rate: Frames per second of its video (the highest rate if it varies); 0 for an image.
        seconds: Time since the video's first frame, by the time stamps of the file or the clock of
            the camera; strictly increasing. 0 for an image.
        image_id: From the annotations, or counted from 1 over all images and frames.
        image_size: (height, width).
        orientation: EXIF orientation by which it was turned; 1 if it was not turned.
        image: (H, W, 3) uint8 RGB; None once it is no longer needed.
        is_dark: An image of 16 bits that uses at most a quarter of their range.
    """

    path: Path
    number: int | None
    rate: float
    seconds: float
    image_id: int
    image_size: tuple[int, int]
    orientation: int
    image: NDArray[np.uint8] | None
    is_dark: bool = False

    @property
    def name(self) -> str:
        """Name in messages."""
        of_video = "" if self.number is None else f", frame {self.number}"
        return f"{printable(self.path)}{of_video}"


@dataclass(frozen=True)
class Unread:
    """An image that cannot be read, in its position in the stream."""

    path: Path
    fault: Fault


@dataclass(frozen=True)
class VideoEnd:
    """Follows the last frame of each video or camera.

    Attributes:
        path: The file.
        claimed: Number of frames according to the file (perhaps an estimate), or delivered by the
            camera; 0 if unknown.
        read: Number of frames that were read.
        fault: Why the file could not be read completely, or None.
        reason: Why frames were not read, for the counts.
        lost: Number of frames that are known to exist and were not read.
    """

    path: Path
    claimed: int
    read: int
    fault: Fault | None
    reason: str = "announced by the file, not read"
    lost: int = 0


Event = Frame | Unread | VideoEnd


def count_frames(inputs: Iterable[Input]) -> int | None:
    """Return the expected number of frames for a progress bar; None with a camera."""
    total = 0
    for one in inputs:
        if one.camera is not None:
            return None
        if not one.is_video:
            total += 1
            continue
        with suppress(DataError, OSError), VideoReader(one.path) as reader:
            total += reader.claimed
    return total


def read_inputs(
    inputs: Iterable[Input],
    threads: int,
    is_over: Callable[[], bool] = lambda: False,
    first: int = 1,
) -> Generator[Event, None, None]:
    """Yield the frames of all inputs in their order.

    Args:
        inputs: Images, videos and cameras in any order.
        threads: Number of threads that decode images; a video is decoded by one thread.
        is_over: Whether to stop a camera; asked before each frame and while waiting for it.
        first: Number of the first image or frame.
    """
    numbers = itertools.count(first)
    for is_video, some in itertools.groupby(inputs, key=lambda one: one.is_video):
        if is_video:
            for one in some:
                if one.camera is None:
                    yield from _read_video(one.path, numbers)
                else:
                    yield from _read_camera(one.path, one.camera, numbers, is_over)
        else:
            calls = ((_size(one), partial(_read_image, one, next(numbers))) for one in some)
            with closing(ahead(calls, threads, FRAMES_AHEAD, BYTES_AHEAD)) as frames:
                yield from frames


def ahead(
    calls: Iterable[tuple[int, Callable[[], T]]], threads: int, most: int, most_bytes: int
) -> Generator[T, None, None]:
    """Yield the results of calls in their order while threads work on later ones.

    Decoding releases Python's lock, so threads decode while the network runs.

    Args:
        calls: Pairs of the approximate size of a result in bytes and the function that makes it;
            taken from the iterable when there is room.
        threads: Number of threads; with 1 the calls are made one after the other.
        most: Largest number of results that are waiting or in progress.
        most_bytes: Largest total size of these; a larger result is made alone.

    Raises:
        Exception: From the first call that raises; later calls may have been made.
    """
    waiting: deque[tuple[int, Future[T]]] = deque()
    held = 0
    rest = iter(calls)
    following = next(rest, None)
    pool = ThreadPoolExecutor(threads)
    try:
        while waiting or following:
            while following and (
                not waiting or (len(waiting) < most and held + following[0] <= most_bytes)
            ):
                size, call = following
                waiting.append((size, pool.submit(call)))
                held += size
                following = next(rest, None)
            size, first = waiting.popleft()
            result = first.result()
            del first  # it keeps the result alive, whose memory the caller may want to free
            held -= size
            yield result
            del result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _size(one: Input) -> int:
    """Return the size of the decoded image in bytes, from its header; 0 if it is unreadable."""
    try:
        height, width = moderate_header(one.path).image_size or (0, 0)
    except (DataError, OSError):
        return 0
    return 3 * height * width


def _read_image(one: Input, number: int) -> Frame | Unread:
    orientation = 1
    try:
        header = moderate_header(one.path)
        if one.image_size is None:
            image, orientation = read_upright(one.path)
        else:
            image = read_image(one.path, one.image_size)
    except (DataError, OSError) as error:
        return Unread(one.path, _fault(one.path, error, one.image_id))
    image_id = number if one.image_id is None else one.image_id
    size = image.shape[0], image.shape[1]
    is_dark = is_nearly_black(header, image)
    return Frame(one.path, None, 0.0, 0.0, image_id, size, orientation, image, is_dark)


def _read_video(path: Path, numbers: Iterator[int]) -> Iterator[Event]:
    read, claimed, lost, fault = 0, 0, 0, None
    try:
        with VideoReader(path) as reader:
            claimed = reader.claimed
            calls = itertools.repeat((reader.frame_bytes, partial(next, reader.timed(), None)))
            with closing(ahead(calls, 1, FRAMES_AHEAD, BYTES_AHEAD)) as timed:
                for one in timed:
                    if one is None:
                        break
                    seconds, image = one
                    size = image.shape[0], image.shape[1]
                    yield Frame(path, read, reader.rate, seconds, next(numbers), size, 1, image)
                    read += 1
            lost, shortfall = reader.lost, reader.shortfall()
            for note in reader.notes():
                logger.warning("%s", printable(note))
        if shortfall:
            fault = Fault(printable(path), printable(shortfall), UNREADABLE, file=str(path))
    except (DataError, OSError) as error:
        fault, lost = _fault(path, error), max(0, claimed - read)
    yield VideoEnd(path, claimed, read, fault, lost=lost)


def _read_camera(
    path: Path, camera: int, numbers: Iterator[int], is_over: Callable[[], bool]
) -> Iterator[Event]:
    delivered, read, fault = 0, 0, None
    begin = 0.0
    try:
        with CameraReader(camera) as reader:
            while (newest := reader.next_frame(is_over)) is not None:
                moment, image = newest
                begin = begin if read else moment
                size = image.shape[0], image.shape[1]
                number = next(numbers)
                yield Frame(path, read, reader.rate, moment - begin, number, size, 1, image)
                read += 1
                delivered = reader.delivered
    except DataError as error:
        fault = _fault(path, error)
    why = "skipped for newer ones"
    yield VideoEnd(path, delivered, read, fault, why, max(0, delivered - read))


def _fault(path: Path, error: Exception, image_id: int | None = None) -> Fault:
    text = str(error) if isinstance(error, DataError) else f"{path}: cannot be read ({error})"
    return Fault(printable(path), printable(text), UNREADABLE, image_id, str(path))
