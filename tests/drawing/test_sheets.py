"""The pictures show what the data say: sides by colour, occlusion by a ring, targets by heat."""

import numpy as np
import pytest

from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset
from keypoint.data.coco import load_persons
from keypoint.drawing.sheets import augmented_sheet, draw_labels, truth_sheet
from keypoint.drawing.strokes import LEFT, RIGHT
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")
CODEC = Codec((64, 64))


@pytest.fixture
def persons(tmp_path):
    return load_persons(*tiny_coco.write(tmp_path, tiny_coco.content(4, 2)), SKELETON)


def dataset(persons, flip_probability):
    crop = PersonCrop(
        codec=CODEC,
        flip_indices=SKELETON.flip_indices,
        scale=0,
        rotation_probability=0,
        flip_probability=flip_probability,
    )
    return TrainDataset(persons, Augmentation(crop), seed=0)


def test_sides_have_their_colour_and_occluded_keypoints_a_hole():
    points = np.zeros((17, 2))
    points[:, 0], points[:, 1] = 50, 20 + 25 * np.arange(17)
    visibility = np.full(17, 2, np.uint8)
    visibility[9], visibility[10], visibility[1] = 1, 1, 0
    drawn = draw_labels(np.full((460, 100, 3), 128, np.uint8), points, visibility, SKELETON)
    assert tuple(drawn[20 + 25 * 5, 50]) == LEFT
    assert tuple(drawn[20 + 25 * 6, 50]) == RIGHT
    for k, color in ((9, LEFT), (10, RIGHT)):
        x, y = points[k].astype(int)
        assert drawn[y, x].max() < 40
        assert np.abs(drawn[y, x + 5].astype(int) - color).max() < 90
    unlabelled = draw_labels(np.zeros((460, 100, 3), np.uint8), points, 0 * visibility, SKELETON)
    assert not unlabelled.any()


def test_a_mirrored_crop_keeps_the_persons_left_orange(persons):
    """The sheet's drawing of a flipped training crop: the left wrist's place is orange."""
    plain, mirrored = (dataset(persons, p).__getitems__([(0, 0)]) for p in (0.0, 1.0))
    left = SKELETON.keypoints.index("left_wrist")
    for batch in (plain, mirrored):
        points = batch.keypoints_crop[0].numpy()
        one = np.zeros(17, np.uint8)
        one[left] = 2
        drawn = draw_labels(np.zeros((64, 64, 3), np.uint8), points, one, SKELETON)
        x, y = points[left].round().astype(int)
        if 1 < x < 62 and 1 < y < 62:
            assert drawn[y, x, 0] > drawn[y, x, 2]
    # The same person's left is mirrored about the crop's middle.
    mirrored_x = mirrored.keypoints_crop[0, left, 0]
    other = SKELETON.flip_indices[left]
    assert mirrored_x == pytest.approx(64 - float(plain.keypoints_crop[0, other, 0]), abs=1e-3)


def test_sheets_are_as_the_seed_says_and_differ_by_it(persons):
    one, same = (truth_sheet(persons, SKELETON, 4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, truth_sheet(persons, SKELETON, 4, seed=2))
    browsed = augmented_sheet(dataset(persons, 0.5), SKELETON, CODEC, 3)
    np.testing.assert_array_equal(
        browsed, augmented_sheet(dataset(persons, 0.5), SKELETON, CODEC, 3)
    )
    assert browsed.shape[0] > 3 * 288
    assert len(truth_sheet(persons, SKELETON, 100)) > 0  # more than there are


def test_targets_follow_the_codec(persons):
    sheets = [
        augmented_sheet(dataset(persons, 0.0), SKELETON, codec, 2)
        for codec in (CODEC, Codec((64, 64), heatmap_sigma=4.0))
    ]
    assert sheets[1].mean() > sheets[0].mean()  # wider blobs
