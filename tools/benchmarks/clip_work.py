"""The work that `run.py clips` times: the same clips of the same videos, by all data paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import clip_readers
import cv2
import numpy as np
import straightforward_clips
from numpy.typing import NDArray
from torch import Tensor

from keypoint.action.data.augment import ClipAugmentation, Crop, TestCrops
from keypoint.action.data.batches import CROP, FRAMES, TestClips, TrainClips
from keypoint.action.data.frames import Draw, read_drawn
from keypoint.action.data.sampling import ClipSampling, Starts
from keypoint.action.data.videos import Videos

SEED, SHORT_SIDE = 0, 256
SAMPLING = ClipSampling(frames=8, stride=8)


@dataclass(frozen=True)
class View:
    """Drawn clips of one video, the same for all ways.

    Attributes:
        path: The video.
        numbers: (clips, T) frame numbers.
        crops: Of each clip.
        size: (height, width) of the result.
    """

    path: Path
    numbers: NDArray[np.int64]
    crops: list[Crop]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.numbers) * len(self.crops)

    def slow(self, seek: straightforward_clips.Seek) -> Tensor:
        """The straightforward way: (V, 3, T, H, W) float32, normalised."""
        return straightforward_clips.views(self.path, self.numbers, self.crops, self.size, seek)

    def read_by(self, reader: clip_readers.Reader) -> Tensor:
        """(V, T, H, W, 3) uint8."""
        return clip_readers.views(reader, self.path, self.numbers, self.crops, self.size)

    def grabbed(self) -> int:
        """Decode to the last frame and convert none; the number of frames."""
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        number = sum(capture.grab() for _ in range(int(self.numbers.max()) + 1))
        capture.release()
        return number


@dataclass(frozen=True)
class Work:
    """The work of a round.

    Attributes:
        name: For the table.
        views: Clips of a round, by its number.
        ours: The same clips by our data path, (V, T, H, W, 3) uint8.
        mmaction2: As many clips of one video by its own transforms.
    """

    name: str
    views: Callable[[int], list[View]]
    ours: Callable[[int], Tensor]
    mmaction2: Callable[[Path], Tensor]


def train_work(videos: Videos, size: tuple[int, int], batch: int) -> Work:
    """A training batch, other videos and clips in each round."""
    augmentation = ClipAugmentation(size)
    dataset = TrainClips(videos, SAMPLING, augmentation, SEED)

    def keys(number: int) -> list[tuple[int, int]]:
        places = range(number * batch, (number + 1) * batch)
        return [(place, place % len(videos)) for place in places]

    def view(epoch: int, row: int) -> View:
        key = (SEED, epoch, row)
        draw = SAMPLING.train(lambda: np.random.default_rng((*key, FRAMES)))
        numbers, frame_size = draw_numbers(videos, row, draw)
        crop = augmentation.draw(frame_size, np.random.default_rng((*key, CROP)))
        return View(videos.path(row), numbers, [crop], size)

    return Work(
        f"training, batches of {batch}",
        lambda number: [view(*key) for key in keys(number)],
        lambda number: dataset.__getitems__(keys(number)).clips,
        lambda path: clip_readers.pipeline(path, clips=1, crops=1, size=size, train=True),
    )


def test_work(videos: Videos, size: tuple[int, int], clips: int, crops: int) -> Work:
    """All clips of one video: random ones with one crop, or uniform ones with three."""
    cuts = TestCrops.of(size, max(SHORT_SIDE, *size), crops)
    starts: Starts = "random" if crops == 1 else "uniform"

    def views(number: int) -> list[View]:
        row = number % len(videos)
        draw = SAMPLING.test(videos.names[row], clips, starts)
        numbers, frame_size = draw_numbers(videos, row, draw)
        return [View(videos.path(row), numbers, cuts.of_frame(frame_size), cuts.crop_size)]

    def ours(number: int) -> Tensor:
        (batch,) = TestClips(
            videos,
            SAMPLING,
            cuts,
            clips=clips,
            sampling=starts,
            batch_size=clips * crops,
            rank=number % len(videos),
            world_size=len(videos),
        )
        return batch.clips

    return Work(
        f"test, {clips} clips x {crops} of a video",
        views,
        ours,
        lambda path: clip_readers.pipeline(
            path, clips=clips, crops=crops, size=cuts.crop_size, train=False
        ),
    )


def draw_numbers(videos: Videos, row: int, draw: Draw) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """The frames of a video that our data path draws, and their (height, width)."""
    sizes: list[tuple[int, int]] = []

    def note_size(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sizes.append((frame.shape[0], frame.shape[1]))
        return frame[:0]

    span = videos.span(row)
    numbers, _ = read_drawn(videos.path(row), span, draw, note_size)
    return numbers + span[0], sizes[0]
