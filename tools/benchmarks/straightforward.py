"""The data path as it is usually written, to compare ours with.

Source: the order of work in SimpleBaseline's and HRNet's `JointsDataset`, in our words: decode the
image for every box, mirror the whole image, warp, make the crop float, paste one Gaussian after
another, stack. Only the order of work differs from ours; distributions and conventions are the
same, and for a box without augmentation so are the numbers (tests/benchmarks/test_run.py).
Letters: B batch, K keypoints, H W height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate
from torchvision import transforms

from keypoint.data.persons import Persons
from keypoint.models.network import IMAGENET_MEAN, IMAGENET_STD
from keypoint.pose.geometry import CropFrame
from keypoint.pose.names import STRIDE

SCALE, ROTATION, ROTATION_PROBABILITY, FLIP_PROBABILITY = 0.3, 40.0, 0.6, 0.5  # PersonCrop's own
to_normalised_tensor = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
)
Lap = Callable[[str], None]  # called with a stage's name when it is over


def no_lap(stage: str) -> None:
    """Measure nothing."""


def train_batch(
    persons: Persons,
    indices: Sequence[int],
    rng: np.random.Generator,
    *,
    flip_indices: Sequence[int],
    input_size: tuple[int, int],
    heatmap_sigma: float,
    lap: Lap = no_lap,
) -> list[Tensor]:
    """Augmented crops (B, 3, H, W) float32, heatmaps (B, K, H/4, W/4) and weights (B, K)."""
    samples, mirrored = [], list(flip_indices)
    for index in indices:
        row = int(persons.image_index[index])
        image = decode(persons, row)
        lap("read and decode")
        keypoints = persons.keypoints_image[index].astype(np.float64)
        labelled = persons.visibility[index] > 0
        frame = CropFrame.from_bboxes(persons.bbox_xywh[index][None], input_size)
        factor, rotation, mirror = draw(rng)
        lap("draws, matrix, keypoints")
        if mirror:
            last = image.shape[1] - 1
            image = np.ascontiguousarray(image[:, ::-1])
            keypoints[:, 0] = last - keypoints[:, 0]
            keypoints, labelled = keypoints[mirrored], labelled[mirrored]
            frame.center[:, 0] = last - frame.center[:, 0]
        lap("mirror")
        matrix = frame.scaled(factor).matrices(rotation)[0]
        for k in range(len(keypoints)):
            if labelled[k]:
                keypoints[k] = matrix @ np.array([*keypoints[k], 1.0])
        lap("draws, matrix, keypoints")
        crop = cv2.warpAffine(image, matrix, input_size[::-1], flags=cv2.INTER_LINEAR)
        lap("warp")
        tensor = to_normalised_tensor(crop)
        lap("to float, normalise")
        maps, weights = heatmaps(keypoints, labelled, input_size, heatmap_sigma)
        lap("heatmaps")
        samples.append((tensor, torch.from_numpy(maps), torch.from_numpy(weights)))
    batch: list[Tensor] = default_collate(samples)
    lap("collate")
    return batch


def evaluation_batch(
    persons: Persons, indices: Sequence[int], input_size: tuple[int, int]
) -> Tensor:
    """Crops of boxes, (B, 3, H, W) float32."""
    samples = []
    for index in indices:
        image = decode(persons, int(persons.image_index[index]))
        frame = CropFrame.from_bboxes(persons.bbox_xywh[index][None], input_size)
        matrix = frame.matrices()[0]
        crop = cv2.warpAffine(image, matrix, input_size[::-1], flags=cv2.INTER_LINEAR)
        samples.append(to_normalised_tensor(crop))
    batch: Tensor = default_collate(samples)
    return batch


def decode(persons: Persons, row: int) -> NDArray[np.uint8]:
    """Image `row` of the records, (H, W, 3) RGB."""
    file = str(persons.images.path(row))
    image = cv2.imread(file, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert image is not None, f"{file}: cannot be read"
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def draw(rng: np.random.Generator) -> tuple[float, float, bool]:
    """Scale factor, rotation in degrees, mirrored or not."""
    factor = np.clip(1 + SCALE * rng.standard_normal(), 1 - SCALE, 1 + SCALE)
    angle = np.clip(ROTATION * rng.standard_normal(), -2 * ROTATION, 2 * ROTATION)
    rotation = angle if rng.random() < ROTATION_PROBABILITY else 0.0
    return float(factor), float(rotation), bool(rng.random() < FLIP_PROBABILITY)


def heatmaps(
    keypoints_crop: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    input_size: tuple[int, int],
    sigma: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One Gaussian patch after another, pasted into its map.

    Returns:
        Heatmaps (K, H/4, W/4) and weights (K,).
    """
    height, width = input_size[0] // STRIDE, input_size[1] // STRIDE
    maps = np.zeros((len(keypoints_crop), height, width), np.float32)
    weights = labelled.astype(np.float32)
    radius = int(sigma * 3)
    for k, (x, y) in enumerate(keypoints_crop):
        column, row = int(np.floor(x / STRIDE + 0.5)), int(np.floor(y / STRIDE + 0.5))
        left, right = max(column - radius, 0), min(column + radius + 1, width)
        top, bottom = max(row - radius, 0), min(row + radius + 1, height)
        if left >= right or top >= bottom:
            weights[k] = 0
        if not weights[k]:
            continue
        grid = np.arange(-radius, radius + 1, dtype=np.float32)
        patch = np.exp(-(grid[None] ** 2 + grid[:, None] ** 2) / (2 * sigma**2))
        maps[k, top:bottom, left:right] = patch[
            top - row + radius : bottom - row + radius,
            left - column + radius : right - column + radius,
        ]
    return maps, weights
