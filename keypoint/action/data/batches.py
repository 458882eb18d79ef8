"""Batches of uint8 clips: random ones for training, all clips of every video for testing.

In training the frames and the crop of a clip depend only on its key (seed, epoch, index), as for
persons, so any number of workers and a resumed run see the same batches. In testing a video is read
once for all its clips. Clips are uint8 RGB and are normalised on the device. A video that cannot be
read stops the run with an error; no other video replaces it.

Letters: B clips, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from keypoint.action.data.augment import ClipAugmentation, Crop, TestCrops
from keypoint.action.data.frames import Draw, UntimedDataError, read_drawn
from keypoint.action.data.lists.usable import BAD_VIDEOS
from keypoint.action.data.sampling import ClipSampling, Starts
from keypoint.action.data.videos import Videos
from keypoint.data.batches import Key
from keypoint.errors import DataError

FRAMES, CROP = 0, 1  # the purpose of a key's random numbers
Frame = NDArray[np.uint8]
REMEDY = (
    f"keypoint check-data finds all such videos; to leave them out, copy its {BAD_VIDEOS} to "
    "data.root and give data.on_bad=skip"
)


@dataclass
class ClipBatch:
    """Clips with their labels.

    Attributes:
        clips: (B, T, H, W, 3) uint8 RGB.
        labels: (B,) int64; -1 if the video has no label.
        index: (B,) int64, indices of the videos.
        names: B names of the videos.
    """

    clips: Tensor
    labels: Tensor
    index: Tensor
    names: list[str]

    def __len__(self) -> int:
        return len(self.clips)

    def origin(self) -> str:
        """Return the samples' names for an error."""
        return f"videos {', '.join(dict.fromkeys(self.names))}"

    def pin_memory(self) -> ClipBatch:
        """Copy to page-locked memory, for asynchronous copies to the GPU."""
        return ClipBatch(self.clips.pin_memory(), self.labels.pin_memory(), self.index, self.names)


def _batch(videos: Videos, clips: NDArray[np.uint8], index: list[int]) -> ClipBatch:
    return ClipBatch(
        clips=torch.from_numpy(clips),
        labels=torch.from_numpy(videos.labels[index]),
        index=torch.tensor(index),
        names=[videos.names[row] for row in index],
    )


def _read_frames(
    videos: Videos, row: int, draw: Draw, prepare: Callable[[Frame], Frame]
) -> tuple[NDArray[np.int64], dict[int, Frame]]:
    """Read the drawn frames of a video, see `read_drawn`.

    Raises:
        DataError: It cannot be read; says how to find and leave out all such videos.
    """
    path = videos.path(row)
    try:
        return read_drawn(path, videos.span(row), draw, prepare)
    except UntimedDataError:
        raise
    except DataError as error:
        raise DataError(f"{error}; {REMEDY}") from None


class TrainClips(Dataset[ClipBatch]):
    """Random clips by key.

    Args:
        videos: Labelled videos.
        sampling: Chooses the frames.
        augmentation: Draws the crop.
        seed: Part of every clip's key.
    """

    def __init__(
        self, videos: Videos, sampling: ClipSampling, augmentation: ClipAugmentation, seed: int
    ) -> None:
        self.videos = videos
        self.sampling = sampling
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.videos)

    def __getitems__(self, keys: Sequence[Key]) -> ClipBatch:
        """Return one batch.

        Raises:
            DataError: A video cannot be read; names the file.
        """
        index = [index for _, index in keys]
        shape = (len(keys), self.sampling.frames, *self.augmentation.input_size, 3)
        clips = np.empty(shape, np.uint8)
        for clip, (epoch, row) in zip(clips, keys, strict=True):
            self._read((self.seed, epoch, row), out=clip)
        return _batch(self.videos, clips, index)

    def _read(self, key: tuple[int, int, int], out: NDArray[np.uint8]) -> None:
        """Read the clip of a key into `out` (T, H, W, 3)."""
        crops: list[Crop] = []  # the crop, drawn once the size of the frames is known

        def prepare(frame: Frame) -> Frame:
            if not crops:
                rng = np.random.default_rng((*key, CROP))
                crops.append(self.augmentation.draw((frame.shape[0], frame.shape[1]), rng))
            return crops[0].cut(frame, self.augmentation.input_size)

        draw = self.sampling.train(lambda: np.random.default_rng((*key, FRAMES)))
        row = key[-1]
        numbers, frames = _read_frames(self.videos, row, draw, prepare)
        for place, number in zip(out, numbers[0].tolist(), strict=True):
            place[:] = frames[number]


class TestClips(IterableDataset[ClipBatch]):
    """All clips of every video, each video read once.

    Videos are distributed over processes and workers. The clips of a video are consecutive, with
    all crops of a clip before the next clip.

    Args:
        videos: Videos with or without labels.
        clip_sampling: Chooses the frames of a clip.
        crops: Cuts each frame.
        clips: Number of clips of a video.
        sampling: "random" (by the video's name) or "uniform".
        batch_size: Clips in a batch, counting each crop; each worker's last batch may be smaller.
        rank, world_size: This process and the number of processes.
    """

    __test__ = False  # no test of pytest's

    def __init__(
        self,
        videos: Videos,
        clip_sampling: ClipSampling,
        crops: TestCrops,
        *,
        clips: int,
        sampling: Starts,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.videos = videos
        self.clip_sampling = clip_sampling
        self.crops = crops
        self.clips = clips
        self.sampling: Starts = sampling
        self.batch_size = batch_size
        self.rows = range(rank, len(videos), world_size)

    @property
    def views(self) -> int:
        """Number of clips of a video, counting each crop."""
        return self.clips * self.crops.crops

    def num_videos(self) -> int:
        """Number of videos of this process."""
        return len(self.rows)

    def __iter__(self) -> Iterator[ClipBatch]:
        """Yield batches, which may span several videos.

        Raises:
            DataError: A video cannot be read; names the file.
        """
        worker = get_worker_info()
        rows = self.rows[worker.id :: worker.num_workers] if worker else self.rows
        clips = self._empty()
        index: list[int] = []
        for row in rows:
            for clip in self._read(row):
                np.stack(clip, out=clips[len(index)])
                index.append(row)
                if len(index) == self.batch_size:
                    yield _batch(self.videos, clips, index)
                    clips, index = self._empty(), []
        if index:
            yield _batch(self.videos, clips[: len(index)], index)

    def _read(self, row: int) -> Iterator[list[Frame]]:
        """Return the T frames of each clip of a video."""
        height, width = self.crops.crop_size
        crops: list[Crop] = []

        def prepare(frame: Frame) -> Frame:
            """Return all crops of a frame, (crops, H, W, 3)."""
            if not crops:
                crops.extend(self.crops.of_frame((frame.shape[0], frame.shape[1])))
            return np.stack([crop.cut(frame, (height, width)) for crop in crops])

        name = self.videos.names[row]
        draw = self.clip_sampling.test(name, self.clips, self.sampling)
        numbers, frames = _read_frames(self.videos, row, draw, prepare)
        for clip in numbers.tolist():
            for crop in range(len(crops)):
                yield [frames[number][crop] for number in clip]

    def _empty(self) -> NDArray[np.uint8]:
        shape = (self.batch_size, self.clip_sampling.frames, *self.crops.crop_size, 3)
        return np.empty(shape, np.uint8)
