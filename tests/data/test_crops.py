"""Crops cut with a fourth channel out of a part of the image, against OpenCV's of all of it."""

import cv2
import numpy as np
import pytest

from keypoint.data.images.crops import covered_regions, cut_crops
from keypoint.pose.geometry import CropFrame

IMAGE = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
INPUT_SIZE = (64, 48)


def random_matrices(number, seed=0):
    rng = np.random.default_rng(seed)
    boxes = np.concatenate(
        [rng.uniform([-60, -60], [130, 100], (number, 2)), rng.uniform(4, 90, (number, 2))], axis=1
    )
    frame = CropFrame.from_bboxes(boxes, INPUT_SIZE)
    return frame.matrices(rng.uniform(-80, 80, number), rng.random(number) < 0.5)


def opencvs(image, matrix):
    return cv2.warpAffine(image, matrix, INPUT_SIZE[::-1], flags=cv2.INTER_LINEAR)


@pytest.mark.parametrize("together", [1, 3])
def test_crops_are_opencvs(together):
    matrices = random_matrices(120)
    regions = covered_regions(matrices, INPUT_SIZE)
    crops = np.full((120, *INPUT_SIZE, 3), 7, np.uint8)
    for first in range(0, 120, together):
        some = slice(first, first + together)
        cut_crops(IMAGE, matrices[some], regions[some], crops[some])
    expected = np.stack([opencvs(IMAGE, matrix) for matrix in matrices])
    np.testing.assert_array_equal(crops, expected)
    assert (expected == 0).all(axis=(1, 2, 3)).any()  # of boxes outside


def test_nothing_outside_the_region_changes_a_crop_and_its_border_does():
    touched = 0
    for matrix in random_matrices(100, seed=1):
        left, top, right, bottom = covered_regions(matrix[None], INPUT_SIZE)[0]
        other = 255 - IMAGE
        other[top:bottom, left:right] = IMAGE[top:bottom, left:right]
        crop = opencvs(IMAGE, matrix)
        np.testing.assert_array_equal(opencvs(other, matrix), crop)
        other[top + 4 : bottom - 4, left:right] = IMAGE[top + 4 : bottom - 4, left:right] // 2
        touched += not np.array_equal(opencvs(other, matrix), crop)
    assert touched > 50  # not merely everything


def test_an_image_of_the_rows_needed_is_enough():
    for matrix in random_matrices(100, seed=2):
        region = covered_regions(matrix[None], INPUT_SIZE)
        crop = np.empty((1, *INPUT_SIZE, 3), np.uint8)
        cut_crops(IMAGE[: max(1, region[0, 3])], matrix[None], region, crop)
        np.testing.assert_array_equal(crop[0], opencvs(IMAGE, matrix))
