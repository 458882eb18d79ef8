"""Images and videos as one stream of frames, decoded ahead on threads; what cannot be read is in
the stream too, at its place.

An image stands in the frame of its annotations where those are given: as stored, and of the size
that they say. Otherwise it is turned upright by its EXIF orientation, as people see it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.data.image import read_image
from keypoint.data.report import Fault, raise_faults
from keypoint.data.upright import moderate_header, read_upright
from keypoint.data.video import VideoReader
from keypoint.errors import DataError
from keypoint.prediction.ahead import BYTES_AHEAD, ahead
from keypoint.prediction.camera import CameraReader
from keypoint.prediction.inputs import Input, printable

FRAMES_AHEAD = 16
UNREADABLE = "that cannot be read"


@dataclass(frozen=True)
class Task:
    """A file to read.

    Attributes:
        path: The file.
        is_video: Or an image; a camera is a video.
        image_id: From the annotations; None to number it by its order.
        image_size: (height, width) that the annotations say; None to take it as people see it.
        camera: Its number; None if this is a file.
    """

    path: Path
    is_video: bool
    image_id: int | None = None
    image_size: tuple[int, int] | None = None
    camera: int | None = None


@dataclass
class Frame:
    """An image, or a frame of a video.

    Attributes:
        path: The file.
        number: In its video, from 0; None for an image.
        rate: Frames a second of its video; 0 for an image.
        seconds: Since the video's first frame; 0 for an image.
        image_id: From the annotations, or counted from 1 over all images and frames.
        image_size: (height, width).
        orientation: EXIF orientation by which it was turned; 1 if it was not.
        image: (H, W, 3) uint8 RGB; None once nobody needs it any more.
    """

    path: Path
    number: int | None
    rate: float
    seconds: float
    image_id: int
    image_size: tuple[int, int]
    orientation: int
    image: NDArray[np.uint8] | None

    @property
    def name(self) -> str:
        """What to call it in a message."""
        of_video = "" if self.number is None else f", frame {self.number}"
        return f"{printable(self.path)}{of_video}"


@dataclass(frozen=True)
class Unread:
    """An image that cannot be read, at its place in the stream."""

    path: Path
    fault: Fault


@dataclass(frozen=True)
class VideoEnd:
    """Comes behind the last frame of each video or camera.

    Attributes:
        path: The file.
        claimed: Frames that it says it has, or that the camera delivered; 0 where it does not say.
        read: Frames that could be read.
        fault: Why these are fewer, or none.
        reason: Of the frames that were not read.
    """

    path: Path
    claimed: int
    read: int
    fault: Fault | None
    reason: str = "claimed by the file, not read"


Event = Frame | Unread | VideoEnd


def in_order(inputs: Sequence[Input]) -> list[Task]:
    """Tasks for inputs without annotations."""
    return [Task(one.path, one.is_video, camera=one.camera) for one in inputs]


def match_entries(
    inputs: Sequence[Input],
    ids: Sequence[int],
    file_names: Sequence[str],
    image_sizes: Sequence[tuple[int, int]],
    source: str,
) -> tuple[list[Task], list[Input]]:
    """Find each input among the images of an annotation file, by its name in the folder given.

    Where no entry has that name, the one that alone has the same last part is taken.

    Args:
        inputs: Images.
        ids: Of the entries.
        file_names: Of the entries.
        image_sizes: Of the entries, (height, width).
        source: The annotation file, for errors.

    Returns:
        Tasks in the order of the inputs, and the inputs that are not in the file.

    Raises:
        DataError: A video; two inputs of one entry; none is in the file.
    """
    rows = {name: row for row, name in enumerate(file_names)}
    bases = Counter(name.rpartition("/")[2] for name in file_names)
    by_base = {
        base: row
        for row, name in enumerate(file_names)
        if bases[base := name.rpartition("/")[2]] == 1
    }
    tasks, others, faults = [], [], []
    taken: dict[int, Path] = {}
    for found in inputs:
        row = rows.get(found.name, by_base.get(found.name.rpartition("/")[2]))
        if found.is_video:
            faults.append(f"{printable(found.path)}: a video has no entry; leave out one of both")
        elif row is None:
            others.append(found)
        elif row in taken:
            both = f"{printable(taken[row])} and {printable(found.path)}"
            faults.append(f"image id {ids[row]}: {both} are both {file_names[row]}; give one")
        else:
            taken[row] = found.path
            tasks.append(Task(found.path, False, ids[row], image_sizes[row]))
    raise_faults(source, faults)
    if not tasks:
        shown = ", ".join(printable(found.name) for found in others[:3])
        raise DataError(
            f"{source}: none of the {len(others)} inputs ({shown}) is among its "
            f"{len(file_names)} images; give the folder that its file_names are in"
        )
    return tasks, others


def count_frames(tasks: Iterable[Task]) -> int | None:
    """How many frames there will be: one an image, and what videos claim; for a progress bar.

    None with a camera, which ends when it is told to.
    """
    total = 0
    for task in tasks:
        if task.camera is not None:
            return None
        if not task.is_video:
            total += 1
            continue
        with suppress(DataError, OSError), VideoReader(task.path) as reader:
            total += reader.claimed
    return total


def read_tasks(
    tasks: Iterable[Task], threads: int, is_over: Callable[[], bool] = lambda: False
) -> Generator[Event, None, None]:
    """Frames of all tasks in their order, images decoded ahead on threads.

    Args:
        tasks: Images and videos in any order, and cameras.
        threads: That decode images; a video is decoded by one.
        is_over: Whether a camera's last frame was taken; asked before each, and while it waits.
    """
    numbers = itertools.count(1)
    for is_video, some in itertools.groupby(tasks, key=lambda task: task.is_video):
        if is_video:
            for task in some:
                if task.camera is None:
                    yield from _read_video(task.path, numbers)
                else:
                    yield from _read_camera(task.path, task.camera, numbers, is_over)
        else:
            calls = ((_size(task), partial(_read_image, task, next(numbers))) for task in some)
            with closing(ahead(calls, threads, FRAMES_AHEAD, BYTES_AHEAD)) as frames:
                yield from frames


def _size(task: Task) -> int:
    """Bytes of the decoded image, by its header; 0 if there is none to decode."""
    try:
        height, width = moderate_header(task.path).image_size or (0, 0)
    except (DataError, OSError):
        return 0
    return 3 * height * width


def _read_image(task: Task, number: int) -> Frame | Unread:
    orientation = 1
    try:
        if task.image_size is None:
            image, orientation = read_upright(task.path)
        else:
            moderate_header(task.path)
            image = read_image(task.path, task.image_size)
    except (DataError, OSError) as error:
        return Unread(task.path, _fault(task.path, error, task.image_id))
    image_id = number if task.image_id is None else task.image_id
    size = image.shape[0], image.shape[1]
    return Frame(task.path, None, 0.0, 0.0, image_id, size, orientation, image)


def _read_video(path: Path, numbers: Iterator[int]) -> Iterator[Event]:
    read, claimed, fault = 0, 0, None
    try:
        with VideoReader(path) as reader:
            claimed = reader.claimed
            calls = itertools.repeat((reader.frame_bytes, reader.next_frame))
            with closing(ahead(calls, 1, FRAMES_AHEAD, BYTES_AHEAD)) as images:
                for image in images:
                    if image is None:
                        break
                    size = image.shape[0], image.shape[1]
                    seconds = read / reader.rate
                    yield Frame(path, read, reader.rate, seconds, next(numbers), size, 1, image)
                    read += 1
            shortfall = reader.shortfall()
        if shortfall:
            fault = Fault(printable(path), printable(shortfall), UNREADABLE, file=str(path))
    except (DataError, OSError) as error:
        fault = _fault(path, error)
    yield VideoEnd(path, claimed, read, fault)


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
    yield VideoEnd(path, delivered, read, fault, "passed over, as newer ones were there")


def _fault(path: Path, error: Exception, image_id: int | None = None) -> Fault:
    text = str(error) if isinstance(error, DataError) else f"{path}: cannot be read ({error})"
    return Fault(printable(path), printable(text), UNREADABLE, image_id, str(path))
