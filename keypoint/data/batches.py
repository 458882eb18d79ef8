"""Batches of uint8 crops: random ones for training, every box once for evaluation.

A training sample has the key (epoch, index). Key and seed alone determine its augmentation, so any
number of workers and a resumed run get the same batches. Evaluation proceeds image by image: an
image is decoded once, however many boxes it has. Crops stay uint8, height x width x RGB;
normalisation and heatmaps are computed on the device.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from keypoint.data.augment import Augmentation
from keypoint.data.images.crops import covered_regions, cut_crops
from keypoint.data.images.read import read_image
from keypoint.data.persons import Persons
from keypoint.data.video import silence_decoder
from keypoint.errors import ConfigError, DataError, lost_worker
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame

Key = tuple[int, int]  # epoch, index of the sample
WORKER_TIMEOUT = 300  # seconds without a batch after which a hanging worker is an error


@dataclass
class TrainBatch:
    """Crops with their keypoints.

    Attributes:
        crops: (B, H, W, 3) uint8 RGB.
        keypoints_crop: (B, K, 2) float32, crop frame.
        visibility: (B, K) uint8.
        image_ids: (B,) int64, for messages.
    """

    crops: Tensor
    keypoints_crop: Tensor
    visibility: Tensor
    image_ids: Tensor

    def __len__(self) -> int:
        return len(self.crops)

    def origin(self) -> str:
        """Name the samples in an error."""
        return f"image ids {self.image_ids.tolist()}"

    def pin_memory(self) -> TrainBatch:
        """In page-locked memory, for copies to the GPU during its work."""
        return TrainBatch(
            self.crops.pin_memory(),
            self.keypoints_crop.pin_memory(),
            self.visibility.pin_memory(),
            self.image_ids,
        )


class TrainDataset(Dataset[TrainBatch]):
    """Augmented crops by key.

    Args:
        persons: The records.
        augmentation: Cuts and augments one person.
        seed: Part of every sample's key.
    """

    def __init__(self, persons: Persons, augmentation: Augmentation, seed: int) -> None:
        self.persons = persons
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.persons)

    def __getitems__(self, keys: Sequence[Key]) -> TrainBatch:
        """One batch.

        Raises:
            DataError: An image cannot be read; the text names the file.
        """
        persons = self.persons
        # All draws first: between two images they take twice as long, their code out of the cache.
        samples = [
            self.augmentation.draw(
                persons.bbox_xywh[index],
                persons.keypoints_image[index],
                persons.visibility[index],
                seed=(self.seed, epoch, index),
            )
            for epoch, index in keys
        ]
        rows = persons.image_index[[index for _, index in keys]]
        crops = np.empty((len(keys), *self.augmentation.input_size, 3), np.uint8)
        for row, sample, crop in zip(rows.tolist(), samples, crops, strict=True):
            height, width = persons.images.image_size[row].tolist()
            needed = int(sample.region[3])
            image = read_image(persons.images.path(row), (height, width), needed)
            self.augmentation.cut(image, sample, crop)
        return TrainBatch(
            crops=torch.from_numpy(crops),
            keypoints_crop=torch.from_numpy(np.stack([s.keypoints_crop for s in samples])),
            visibility=torch.from_numpy(np.stack([s.visibility for s in samples])),
            # Not of `persons.image_ids`, which is a new array of 1 MB in each batch.
            image_ids=torch.from_numpy(persons.images.ids[rows]),
        )


class TrainSampler(Sampler[list[Key]]):
    """Batches of keys for one process: a new order each epoch, as many batches as on the others.

    The last samples of an epoch that do not fill a batch on every process are left out of that
    epoch (others in each epoch): a batch of one would break BatchNorm, and processes with fewer
    batches would block the others.

    Args:
        num_samples: Length of the data set.
        batch_size: Per process.
        seed: Determines the order, together with the epoch.
        rank, world_size: This process and how many there are.

    Raises:
        ConfigError: Fewer samples than one batch on every process.
    """

    def __init__(
        self, num_samples: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.batch_samples = batch_size * world_size  # of all processes
        self.num_batches = num_samples // self.batch_samples
        if self.num_batches == 0:
            raise ConfigError(
                f"train.batch_size={batch_size} on {world_size} process(es) needs "
                f"{self.batch_samples} samples, but the data set has {num_samples}; "
                "lower train.batch_size"
            )
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.first_batch = 0

    def text(self) -> str:
        """Return a sentence for the log: the batches of an epoch, and what it leaves out."""
        text = f"batches per epoch: {self.num_batches}, of {self.batch_samples} samples each"
        rest = self.num_samples % self.batch_samples
        if rest:
            text += (
                f"; the last batch is incomplete and dropped: {rest} of {self.num_samples} "
                "samples, others in each epoch"
            )
        return text

    def set_position(self, epoch: int, first_batch: int = 0) -> None:
        """Set the epoch, and the first batch of it when a run is resumed."""
        self.epoch, self.first_batch = epoch, first_batch

    def __len__(self) -> int:
        return self.num_batches - self.first_batch

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_samples)
        for batch in range(self.first_batch, self.num_batches):
            begin = (batch * self.world_size + self.rank) * self.batch_size
            yield [(self.epoch, int(index)) for index in order[begin : begin + self.batch_size]]


@dataclass
class EvaluationBatch:
    """Crops of boxes.

    Attributes:
        crops: (B, H, W, 3) uint8 RGB.
        index: (B,) int64, rows of the persons.
        frame: Position of each crop in its image.
    """

    crops: Tensor
    index: Tensor
    frame: CropFrame

    def pin_memory(self) -> EvaluationBatch:
        """In page-locked memory, for copies to the GPU during its work."""
        return EvaluationBatch(self.crops.pin_memory(), self.index, self.frame)


class EvaluationDataset(IterableDataset[EvaluationBatch]):
    """Crops of all boxes, each once, image after image.

    The images are distributed over processes and workers.

    Args:
        persons: The records, ground truth or detections.
        codec: Size and pixel convention of the crops.
        batch_size: Crops in a batch; the last of each worker may be smaller.
        rank, world_size: This process and how many there are.
    """

    def __init__(
        self,
        persons: Persons,
        *,
        codec: Codec,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.persons = persons
        self.batch_size = batch_size
        self.frame = codec.crop_frame(persons.bbox_xywh)
        self.matrices = self.frame.matrices()
        self.regions = covered_regions(self.matrices, self.frame.input_size)
        # Images with boxes, each with the range of its rows in `by_image`.
        self.by_image = np.argsort(persons.image_index, kind="stable")
        rows, first = np.unique(persons.image_index[self.by_image], return_index=True)
        last = np.append(first[1:], len(self.by_image))
        self.spans: NDArray[np.int64] = np.stack([rows, first, last], axis=1)[rank::world_size]

    def num_persons(self) -> int:
        """Number of boxes on this process."""
        return int((self.spans[:, 2] - self.spans[:, 1]).sum())

    def __iter__(self) -> Iterator[EvaluationBatch]:
        """Batches, filled across images.

        Raises:
            DataError: An image cannot be read; the text names the file.
        """
        worker = get_worker_info()
        spans = self.spans[worker.id :: worker.num_workers] if worker else self.spans
        crops = self._empty_batch()
        index: list[int] = []
        for row, first, last in spans.tolist():
            persons = self.by_image[first:last]
            height, width = self.persons.images.image_size[row].tolist()
            rows = int(self.regions[persons, 3].max())
            image = read_image(self.persons.images.path(row), (height, width), rows)
            for some in np.split(
                persons, range(self.batch_size - len(index), len(persons), self.batch_size)
            ):
                batch = crops[len(index) : len(index) + len(some)]
                cut_crops(image, self.matrices[some], self.regions[some], batch)
                index += some.tolist()
                if len(index) == self.batch_size:
                    yield self._batch(crops, index)
                    crops, index = self._empty_batch(), []
        if index:
            yield self._batch(crops[: len(index)], index)

    def _empty_batch(self) -> NDArray[np.uint8]:
        return np.empty((self.batch_size, *self.frame.input_size, 3), np.uint8)

    def _batch(self, crops: NDArray[np.uint8], index: list[int]) -> EvaluationBatch:
        return EvaluationBatch(torch.from_numpy(crops), torch.tensor(index), self.frame[index])


class _DataLoader(DataLoader[Any]):
    def check_worker_number_rationality(self) -> None:
        """Do not warn of more workers than CPUs: they help where reading has to wait."""


class Loader:
    """Iterates over batches made by worker processes; raises their errors as its own."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        fault = None
        try:
            yield from self.loader
        except DataError as error:  # torch puts the worker's traceback before the message
            fault = DataError(str(error).strip().rpartition("DataError: ")[2])
            error.__traceback__ = None  # holds the workers' iterator, in a cycle with the error
        except RuntimeError as error:
            lost = lost_worker(error)
            if lost is None:
                raise
            raise lost from error
        if fault is not None:
            # Not raised above, where torch's error would be its context. Once that is released,
            # the workers end at once; collected as part of a cycle they take five seconds each.
            raise fault


def train_loader(
    dataset: Dataset[Any], sampler: TrainSampler, workers: int, pin_memory: bool = False
) -> Loader:
    """Iterate over the batches of `dataset.__getitems__`; `sampler.set_position` before each epoch.

    Args:
        dataset: Such as a `TrainDataset`; its batches need `pin_memory` if that is true here.
        sampler: Gives the keys of each batch.
        workers: Processes that make batches; 0 for this one.
        pin_memory: Give batches in page-locked memory.
    """
    if workers:
        give_back_freed_memory()
    return _loader(
        dataset, workers, pin_memory, batch_sampler=sampler, persistent_workers=workers > 0
    )


def evaluation_loader(
    dataset: IterableDataset[Any], workers: int, pin_memory: bool = False
) -> Loader:
    """Iterate over the batches that a data set makes itself, such as `EvaluationDataset`."""
    return _loader(dataset, workers, pin_memory, batch_size=None)


def _loader(dataset: Dataset[Any], workers: int, pin_memory: bool, **arguments: Any) -> Loader:
    loader = _DataLoader(
        dataset,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        timeout=WORKER_TIMEOUT if workers else 0,
        worker_init_fn=_begin_worker,
        # Otherwise each new iterator draws from the global generator: a resumed run would differ.
        generator=torch.Generator().manual_seed(0),
        **arguments,
    )
    return Loader(loader)


def give_back_freed_memory() -> None:
    """Return memory freed after reading annotations to the system: 130 MB for 100,000 persons.

    Forked workers would keep every page of it, and the main process could reuse none of them
    without a copy. Measured with 4 workers after an epoch: 450 MB in the main process without
    this and 314 with it, and 141 and 109 per worker.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _as_it_is(batch: Any) -> Any:
    return batch


def _begin_worker(worker: int) -> None:
    # The workers are the parallelism; threads on top of them only compete.
    cv2.setNumThreads(0)
    silence_decoder()  # check-data reports damaged frames
    torch.set_num_threads(1)
    # Use a separate process group: Ctrl-C and a `kill` of the group then reach only the main
    # process, which finishes its step and ends the workers. (If they ignored SIGTERM instead, torch
    # could not end them.)
    os.setpgid(0, 0)
