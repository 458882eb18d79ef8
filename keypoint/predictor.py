"""Keypoints of persons on an image, from a checkpoint alone.

Two storeys: numpy arrays in the image's frame above, tensors in the crop's frame below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from keypoint import distributed
from keypoint.checkpoint import load_model
from keypoint.data.augment import warp
from keypoint.errors import DataError, NumericsError
from keypoint.geometry import bbox_to_crop
from keypoint.hub import find_checkpoint
from keypoint.inference import predict_keypoints
from keypoint.models import SimpleBaseline
from keypoint.skeleton import Skeleton

BATCH_SIZE = 64  # crops at a time: bounds the memory however many boxes there are


@dataclass
class Prediction:
    """Persons on one image, in the order of the boxes.

    Attributes:
        keypoints: (P, K, 2) float64, image frame.
        scores: (P, K) float64, the heatmap's peak: about 0 (nothing) to 1 (sure); the person's
            score in the evaluation counts those above 0.2.
        boxes: (P, 4) float64 xywh, as given.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]


class Predictor:
    """Finds the keypoints of persons whose boxes are known.

    Args:
        model: On its device; put to eval mode.
        skeleton: Names of the K keypoints, and the flip order.
        flip: Average with the mirrored crop: twice the time, about 1 AP more.
        amp_dtype: Autocast the network to this dtype.
    """

    def __init__(
        self,
        model: SimpleBaseline,
        skeleton: Skeleton,
        *,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model.eval()
        self.skeleton = skeleton
        self.device = model.pixel_mean.device
        self.amp_dtype = amp_dtype
        self.flip_indices = (
            torch.tensor(skeleton.flip_indices, device=self.device) if flip else None
        )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | None = None,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
    ) -> Predictor:
        """A predictor from `best.pt` or `last.pt` of a run.

        Args:
            path: The checkpoint; it holds network, skeleton and colour order.
            device: "cpu", "cuda" or "cuda:1"; None for CUDA where there is one.
            flip: See the class.
            amp_dtype: See the class.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: No such device.
        """
        chosen = distributed.choose_device(device)
        restored = load_model(Path(path))
        return cls(restored.model.to(chosen), restored.skeleton, flip=flip, amp_dtype=amp_dtype)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        device: str | None = None,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> Predictor:
        """A predictor from a folder, or from "user/name" of the Hugging Face Hub (extra `hub`).

        Args:
            name_or_folder: Holds `model.pt`, or is a training's output; see `hub.find_checkpoint`.
            device: As in `from_checkpoint`.
            flip: See the class.
            amp_dtype: See the class.
            revision: Branch, tag or commit on the Hub.

        Raises:
            CheckpointError: No such folder or repository, or its file cannot be fetched or used.
            ConfigError: No name of either; no such device; the Hub's client is not installed.
        """
        return cls.from_checkpoint(
            find_checkpoint(name_or_folder, revision), device, flip, amp_dtype
        )

    def __call__(
        self, image_rgb: NDArray[np.uint8], boxes_xywh: ArrayLike | None = None
    ) -> Prediction:
        """Keypoints on one image.

        Args:
            image_rgb: (H, W, 3) uint8 RGB.
            boxes_xywh: (P, 4) person boxes, image frame; None for one person that fills the image.

        Raises:
            DataError: An image or boxes of another form; a box that is not finite or has no area.
            NumericsError: A heatmap is not finite.
        """
        image = np.asarray(image_rgb)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise DataError(f"image is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB")
        height, width = image.shape[:2]
        given = [[0, 0, width, height]] if boxes_xywh is None else boxes_xywh
        boxes = (
            np.asarray(given, dtype=np.float64).reshape(-1, 4)
            if np.size(given)
            else np.zeros((0, 4))
        )
        bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
        if bad.any():
            number = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"box {number} is {boxes[number].tolist()}; give finite x, y, width, height "
                "with positive sides"
            )
        matrices = self.crop_matrices(boxes)
        num_keypoints = self.skeleton.num_keypoints
        keypoints, scores = (
            np.zeros((len(boxes), num_keypoints, 2)),
            np.zeros((len(boxes), num_keypoints)),
        )
        for first in range(0, len(boxes), BATCH_SIZE):
            some = slice(first, first + BATCH_SIZE)
            crops = np.stack([self.crop(image, matrix) for matrix in matrices[some]])
            found = self.predict_crops(torch.from_numpy(crops))
            names = ["the image"] * len(crops)
            keypoints[some], scores[some] = self.to_image(*found, boxes[some], names)
        return Prediction(keypoints, scores, boxes)

    def crop_matrices(self, boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 2, 3), from the image's frame to that of each box's crop."""
        return self.model.codec.crop_matrix(*bbox_to_crop(boxes_xywh, self.model.input_size))

    def crop(self, image_rgb: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of the network's input size, black outside the image."""
        return warp(image_rgb, matrix, self.model.input_size)

    @torch.inference_mode()
    def predict_crops(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints in the heatmaps of crops that are already cut.

        Args:
            crops: (B, H, W, 3) uint8 RGB of the network's input size.

        Returns:
            Keypoints (B, K, 2), heatmap frame (a quarter of the crop's pixels), and scores (B, K).
        """
        return predict_keypoints(
            self.model, crops.to(self.device), self.flip_indices, self.amp_dtype
        )

    def to_image(
        self,
        keypoints_heatmap: Tensor,
        scores: Tensor,
        boxes_xywh: NDArray[np.float64],
        names: Sequence[str],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `predict_crops` found, in the frame of the images.

        Args:
            keypoints_heatmap: (B, K, 2).
            scores: (B, K).
            boxes_xywh: (B, 4) that the crops were cut for, image frame.
            names: Of the image of each crop, for the error.

        Returns:
            Keypoints (B, K, 2) and scores (B, K), float64.

        Raises:
            NumericsError: A heatmap is not finite; argmax would take it for (0, 0).
        """
        peaks = scores.cpu().numpy().astype(np.float64)
        center, crop_size = bbox_to_crop(boxes_xywh, self.model.input_size)
        points = keypoints_heatmap.cpu().numpy().astype(np.float64)
        points = self.model.codec.to_image(points, center, crop_size)
        broken = ~(np.isfinite(peaks).all(axis=1) & np.isfinite(points).all(axis=(1, 2)))  # B
        if broken.any():
            where = list(dict.fromkeys(names[row] for row in np.flatnonzero(broken).tolist()))
            more = f" and {len(where) - 3} more" if len(where) > 3 else ""
            raise NumericsError(
                f"heatmaps of {int(broken.sum())} persons are nan or inf, on "
                f"{', '.join(where[:3])}{more}; the network's weights are broken: use another "
                "checkpoint, or leave out --amp"
            )
        return points, peaks
