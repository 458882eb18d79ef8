"""The crop of half a person: upper or lower body, around the keypoints that are labelled there.

Source: HRNet's `JointsDataset.half_body_transform`. Two of its traits are easily missed: the crop's
centre is the mean of the keypoints and not the middle of their box, and its coin for the upper body
is `randn() < 0.5`, which falls so 69 times of 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keypoint.pose.geometry import CropFrame

MORE_THAN = 8  # labelled keypoints that a person has, or is left whole
PADDING = 1.5  # instead of the 1.25 around a whole person
UPPER_PROBABILITY = 0.691462  # of a standard normal number below 0.5


def half_body_crop(
    keypoints_image: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    upper_body: Sequence[int],
    prefer_upper: bool,
    input_size: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Centre and size of the crop around one half.

    Args:
        keypoints_image: (K, 2).
        labelled: (K,).
        upper_body: Indices of the keypoints of the upper body; all others are the lower.
        prefer_upper: Which half to take. The other one is taken where this has two labelled
            keypoints or fewer.
        input_size: (height, width) of the network's input.

    Returns:
        Centre (2,) and crop size (2,), image pixels, as of a `CropFrame`. None: the person
        is left whole, having 8 labelled keypoints or fewer, or all of the half in one place.
    """
    if np.count_nonzero(labelled) <= MORE_THAN:
        return None
    is_upper = np.isin(np.arange(len(labelled)), upper_body)
    upper, lower = keypoints_image[labelled & is_upper], keypoints_image[labelled & ~is_upper]
    use_upper = len(upper) > 2 if prefer_upper else len(lower) <= 2
    half = np.asarray(upper if use_upper else lower, dtype=np.float64)  # N 2
    extent = half.max(axis=0) - half.min(axis=0)
    if not extent.any():
        return None
    box = np.array([[0, 0, *extent]])
    crop_size = CropFrame.from_bboxes(box, input_size, padding=PADDING).crop_size
    return half.mean(axis=0), crop_size[0]
