"""From an image and boxes to crops, and from what a network finds in them back to the image.

What every predictor does around its network, and so what they share; numpy and OpenCV alone, for
those that run without torch. Letters: P persons, B crops in a batch, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keypoint.data.image import warp
from keypoint.errors import DataError, NumericsError
from keypoint.pose import geometry
from keypoint.pose.geometry import bbox_to_crop
from keypoint.pose.skeleton import Skeleton

BATCH_SIZE = 64  # crops at a time: bounds the memory however many boxes there are

Floats = NDArray[np.float64]


@dataclass
class Prediction:
    """Persons on one image, in the order of the boxes.

    Attributes:
        keypoints: (P, K, 2) float64, image frame.
        scores: (P, K) float64, the heatmap's peak: 0 (nothing like it on the crop) to 1 (as sure as
            the network was taught to be); may pass both by a little, and is no probability. Above
            0.2 a keypoint counts for the person's score in the evaluation, is drawn, and is
            followed in videos (docs/prediction.md).
        boxes: (P, 4) float64 xywh, as given.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]


class CropPredictor(Protocol):
    """What finds keypoints in crops; in what form, and on which device, is its own affair."""

    skeleton: Skeleton
    crops: PersonCrops

    def crop_matrices(self, boxes_xywh: Floats) -> Floats:
        """(P, 2, 3), from the image's frame to that of each box's crop."""

    def crop(self, image_rgb: NDArray[np.uint8], matrix: Floats) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of the network's input size."""

    def predict_crops(self, crops: NDArray[np.uint8]) -> tuple[Any, Any]:
        """Keypoints and scores of (B, H, W, 3) crops, as `to_image` takes them."""

    def predict_with_heatmaps(
        self, crops: NDArray[np.uint8]
    ) -> tuple[Any, Any, NDArray[np.float32]]:
        """What `predict_crops` gives, and the heatmaps (B, K, H/4, W/4) that it is from."""

    def to_image(
        self, keypoints: Any, scores: Any, boxes_xywh: Floats, names: Sequence[str]
    ) -> tuple[Floats, Floats]:
        """Keypoints (B, K, 2), image frame, and scores (B, K)."""


@dataclass(frozen=True)
class PersonCrops:
    """The crops of one network.

    Attributes:
        input_size: (height, width) of the crops.
        udp: Whether lengths are measured between the middles of the first and the last pixel.
    """

    input_size: tuple[int, int]
    udp: bool

    def matrices(self, boxes_xywh: Floats) -> Floats:
        """(P, 2, 3), from the image's frame to that of each box's crop."""
        center, crop_size = bbox_to_crop(boxes_xywh, self.input_size)
        return geometry.crop_matrix(center, crop_size, self.input_size, udp=self.udp)

    def cut(self, image_rgb: NDArray[np.uint8], matrix: Floats) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of the network's input size, black outside the image."""
        return warp(image_rgb, matrix, self.input_size)

    def to_image(
        self,
        keypoints: NDArray[np.floating[Any]],
        scores: NDArray[np.floating[Any]],
        grid_size: tuple[int, int],
        boxes_xywh: Floats,
        names: Sequence[str],
    ) -> tuple[Floats, Floats]:
        """What was found in crops, in the frame of the images.

        Args:
            keypoints: (B, K, 2), pixels of a grid that covers the crop.
            scores: (B, K).
            grid_size: (height, width) of that grid: of the heatmaps, or of the crop itself.
            boxes_xywh: (B, 4) that the crops were cut for, image frame.
            names: Of the image of each crop, for the error.

        Returns:
            Keypoints (B, K, 2) and scores (B, K), float64.

        Raises:
            NumericsError: A heatmap is not finite; argmax would take it for (0, 0).
        """
        peaks = scores.astype(np.float64)
        points: Floats = geometry.heatmap_to_image(
            keypoints.astype(np.float64),
            *bbox_to_crop(boxes_xywh, self.input_size),
            grid_size,
            udp=self.udp,
        )
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


def predict_image(
    predictor: CropPredictor, image_rgb: NDArray[np.uint8], boxes_xywh: ArrayLike | None = None
) -> Prediction:
    """Keypoints on one image.

    Args:
        predictor: Finds them in crops.
        image_rgb: (H, W, 3) uint8 RGB.
        boxes_xywh: (P, 4) person boxes, image frame; None for one person that fills the image.

    Raises:
        DataError: An image or boxes of another form; a box that is not finite or has no area.
        NumericsError: A heatmap is not finite.
    """
    if image_rgb is None:  # as a caller without types may have it
        raise DataError("image is None, which cv2.imread gives for a file that it cannot read")
    image = np.asarray(image_rgb)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(f"image is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB")
    height, width = image.shape[:2]
    given = [[0, 0, width, height]] if boxes_xywh is None else boxes_xywh
    boxes = np.asarray(given, dtype=np.float64) if np.size(given) else np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"boxes are {boxes.shape}; give (P, 4): x, y, width, height of each person")
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    if bad.any():
        number = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"box {number} is {boxes[number].tolist()}; give finite x, y, width, height "
            "with positive sides"
        )
    matrices = predictor.crop_matrices(boxes)
    num_keypoints = predictor.skeleton.num_keypoints
    keypoints = np.zeros((len(boxes), num_keypoints, 2))
    scores = np.zeros((len(boxes), num_keypoints))
    for first in range(0, len(boxes), BATCH_SIZE):
        some = slice(first, first + BATCH_SIZE)
        crops = np.stack([predictor.crop(image, matrix) for matrix in matrices[some]])
        found = predictor.predict_crops(crops)
        names = ["the image"] * len(crops)
        keypoints[some], scores[some] = predictor.to_image(*found, boxes[some], names)
    return Prediction(keypoints, scores, boxes)
