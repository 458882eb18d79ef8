"""Crops of an image by boxes, and the keypoints found in them back in the image.

All predictors share this; it needs only numpy and OpenCV, so that they can run without torch.
Letters: P persons, B crops in a batch, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keypoint.data.entries.person import MAX_COORDINATE
from keypoint.data.images.read import warp
from keypoint.data.notes import in_number
from keypoint.errors import DataError, NumericsError
from keypoint.pose.geometry import CropFrame
from keypoint.pose.skeleton import Skeleton

BATCH_SIZE = 64  # crops at a time: limits the memory for any number of boxes

Floats = NDArray[np.float64]


@dataclass
class Prediction:
    """Persons on one image, in the order of the boxes.

    Attributes:
        keypoints: (P, K, 2) float64, image frame.
        scores: (P, K) float64, the heatmap's peak: about 0 (keypoint not found) to 1 (the peak of a
            training target). It is not a probability and may slightly exceed this range. A keypoint
            above 0.2 counts in the person's score in the evaluation, is drawn, and is tracked in
            videos (docs/explanation/comparable-ap.md).
        boxes: (P, 4) float64 xywh, the input boxes.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]


class CropPredictor(Protocol):
    """Finds keypoints in crops, with any library and on any device."""

    skeleton: Skeleton
    udp: bool

    def crop_frame(self, boxes_xywh: Floats) -> CropFrame:
        """The crops of boxes (P, 4) as the network expects them."""

    def predict_crops(self, crops: NDArray[np.uint8]) -> tuple[Any, Any]:
        """Keypoints (B, K, 2), crop frame, and scores (B, K) of crops (B, H, W, 3).

        Both are numpy arrays, or tensors of any device.
        """

    def predict_with_heatmaps(
        self, crops: NDArray[np.uint8]
    ) -> tuple[Any, Any, NDArray[np.float32]]:
        """Keypoints and scores as of `predict_crops`, and their heatmaps (B, K, H/4, W/4)."""


def crops_to_image(
    frame: CropFrame, keypoints_crop: Any, scores: Any, names: Sequence[str]
) -> tuple[Floats, Floats]:
    """Map the keypoints of `CropPredictor.predict_crops` back to the image's frame.

    Args:
        frame: The B crops.
        keypoints_crop: (B, K, 2), crop frame; numpy arrays, or tensors of any device.
        scores: (B, K), likewise.
        names: Image of each crop, for the error.

    Returns:
        Keypoints (B, K, 2) and scores (B, K), float64.

    Raises:
        NumericsError: A heatmap is not finite; argmax would return (0, 0) for it.
    """
    points = frame.to_image(_to_numpy(keypoints_crop), frame.input_size)
    peaks = _to_numpy(scores)
    broken = ~(np.isfinite(peaks).all(axis=1) & np.isfinite(points).all(axis=(1, 2)))  # B
    if broken.any():
        where = list(dict.fromkeys(names[row] for row in np.flatnonzero(broken).tolist()))
        more = f" and {len(where) - 3} more" if len(where) > 3 else ""
        raise NumericsError(
            f"heatmaps of {in_number(int(broken.sum()), 'persons')} are nan or inf, on "
            f"{', '.join(where[:3])}{more}; the network's weights are broken: use another "
            "checkpoint, or remove --amp"
        )
    return points, peaks


def _to_numpy(found: Any) -> Floats:
    """Return a numpy array or tensor as float64; waits for a GPU to finish computing it."""
    return np.asarray(found.cpu() if hasattr(found, "cpu") else found, dtype=np.float64)


def predict_image(
    predictor: CropPredictor, image_rgb: NDArray[np.uint8], boxes_xywh: ArrayLike | None = None
) -> Prediction:
    """Predict the keypoints of persons on one image.

    Args:
        predictor: Finds the keypoints in crops.
        image_rgb: (H, W, 3) uint8 RGB.
        boxes_xywh: (P, 4) person boxes, image frame; None for one person that fills the image.

    Raises:
        DataError: The image or the boxes have another form, or a box is not finite, has no area or
            lies wholly outside the image.
        NumericsError: A heatmap is not finite.
    """
    image = _checked_image(image_rgb)
    height, width = image.shape[:2]
    boxes = checked_boxes([[0, 0, width, height]] if boxes_xywh is None else boxes_xywh)
    require_on_image(boxes, (height, width))
    num_keypoints = predictor.skeleton.num_keypoints
    keypoints = np.zeros((len(boxes), num_keypoints, 2))
    scores = np.zeros((len(boxes), num_keypoints))
    frame = predictor.crop_frame(boxes)
    matrices = frame.matrices()
    for first in range(0, len(boxes), BATCH_SIZE):
        some = slice(first, first + BATCH_SIZE)
        crops = np.stack([warp(image, matrix, frame.input_size) for matrix in matrices[some]])
        keypoints[some], scores[some] = crops_to_image(
            frame[some], *predictor.predict_crops(crops), ["the image"] * len(crops)
        )
    return Prediction(keypoints, scores, boxes)


def outside_image(boxes_xywh: Floats, image_size: ArrayLike) -> NDArray[np.bool_]:
    """(P,) whether a box (P, 4) lies wholly outside its image; `image_size` is (2,) or (P, 2)."""
    width_height = np.asarray(image_size)[..., ::-1]
    first, last = boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]
    return np.asarray(((last < 0) | (first >= width_height)).any(axis=1))


def require_on_image(boxes_xywh: Floats, image_size: tuple[int, int]) -> None:
    """Check that every box (P, 4) covers a part of its image.

    Raises:
        DataError: The text names the first box that does not.
    """
    numbers = np.flatnonzero(outside_image(boxes_xywh, image_size)).tolist()
    if numbers:
        height, width = image_size
        more = f"; {len(numbers)} of {len(boxes_xywh)} boxes are" if len(numbers) > 1 else ""
        raise DataError(
            f"box {numbers[0]} is {boxes_xywh[numbers[0]].tolist()}, wholly outside the image of "
            f"{width} x {height} pixels{more}; give boxes that overlap it: x from 0 to {width}, "
            f"y from 0 to {height}"
        )


def checked_boxes(given: Any) -> Floats:
    """Convert a caller's boxes to (P, 4): finite, with area, below a million pixels.

    Raises:
        DataError: They are not; the text names the first faulty box.
    """
    form = "give (P, 4) numbers: x, y, width, height of each person in pixels"
    boxes = _as_floats(given)
    if boxes is None:
        raise DataError(f"boxes are {_shown(given)}; {form}")
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"boxes are {boxes.shape}; {form}")
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    bad |= (np.abs(boxes) > MAX_COORDINATE).any(axis=1)
    if bad.any():
        number = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"box {number} is {boxes[number].tolist()}; give finite x, y, width, height in pixels, "
            f"up to {MAX_COORDINATE:.0f}, with positive sides"
        )
    return boxes


def _as_floats(given: Any) -> Floats | None:
    """Return real numbers as an array; None for anything else, such as text or complex numbers."""
    try:
        array = np.asarray(given)
        if array.dtype.kind == "O" and not any(isinstance(x, (str, bytes)) for x in array.flat):
            array = array.astype(np.float64)  # Decimal; numbers of several types in a table
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # torch's are RuntimeError
        return None


def _checked_image(given: Any) -> NDArray[np.uint8]:
    if given is None:  # callers without type checks
        raise DataError("image is None, which cv2.imread returns for a file that it cannot read")
    try:
        image = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # lists of unequal lengths; a tensor on a GPU
        raise DataError(f"image is {_shown(given)}; give (H, W, 3) uint8 RGB") from None
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(f"image is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB")
    return image


def _shown(given: Any) -> str:
    try:
        return f"{type(given).__name__} {short(given)}"
    except ValueError:  # an int of more than 4300 digits has no text
        return type(given).__name__
