"""Persons and crops that the benchmarks of the data path share, generated or real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import straightforward
import torch
from straightforward import Lap
from torch import Tensor

from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.coco import load_persons
from keypoint.data.persons import Persons
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.models import SimpleBaseline
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton
from keypoint.progress import progress

GENERATED_SIZE = (480, 640)  # height, width: COCO's most common
SEED = 0


def generate(folder: Path, number: int, skeleton: Skeleton) -> Persons:
    """Generate images, and read their persons."""
    with progress(number, "generate images", "image") as bar:
        write_demo_set(
            folder,
            train_images=number,
            val_images=0,
            image_size=GENERATED_SIZE,
            progress=bar.update,
        )
    annotations = folder / "annotations" / "person_keypoints_train2017.json"
    return load_persons(annotations, folder / "train2017", skeleton)


@dataclass(frozen=True)
class DataPath:
    """Persons and crops for both ways.

    Attributes:
        persons: Records of real or generated images.
        skeleton: Skeleton of the persons.
        input_size: (height, width) of the crops.
        batch_size: Crops in a batch, training and evaluation.
    """

    persons: Persons
    skeleton: Skeleton
    input_size: tuple[int, int]
    batch_size: int

    def __post_init__(self) -> None:
        cv2.setNumThreads(0)
        torch.set_num_threads(1)

    @property
    def sigma(self) -> float:
        """Sigma of the heatmaps, in their pixels."""
        return Codec(self.input_size).sigma

    def choose(self, number: int) -> list[int]:
        """Persons of a round's training batch, the same for all ways."""
        order = np.random.default_rng((SEED, number)).permutation(len(self.persons))
        return [int(index) for index in np.resize(order, self.batch_size)]

    def straightforward_batch(self, number: int, lap: Lap = straightforward.no_lap) -> list[Tensor]:
        """Make a round's training batch the straightforward way."""
        return straightforward.train_batch(
            self.persons,
            self.choose(number),
            np.random.default_rng(number),
            flip_indices=self.skeleton.flip_indices,
            input_size=self.input_size,
            heatmap_sigma=self.sigma,
            lap=lap,
        )

    def augmentation(self) -> Augmentation:
        """Our augmentation, with the recipe's distributions."""
        flip_indices = self.skeleton.flip_indices
        return Augmentation(PersonCrop(codec=Codec(self.input_size), flip_indices=flip_indices))

    def model(self) -> SimpleBaseline:
        """A network, for its `normalize`."""
        size, number = self.input_size, self.skeleton.num_keypoints
        return SimpleBaseline("resnet18", input_size=size, num_keypoints=number).eval()
