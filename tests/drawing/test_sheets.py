"""The pictures show what the data say: sides and keypoints by colour, occlusion by a ring, targets by heat."""

import dataclasses

import numpy as np
import pytest

from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset
from keypoint.data.coco import load_persons
from keypoint.drawing import labels, sheets
from keypoint.drawing.sheets import augmented_sheet, draw_labels, truth_sheet
from keypoint.drawing.strokes import LEFT, RIGHT, distinct_colors
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton
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
    own = distinct_colors(17)
    for k, side in ((5, LEFT), (6, RIGHT)):
        assert tuple(drawn[20 + 25 * k, 50]) == own[k]
        assert np.abs(drawn[20 + 25 * k, 44:47].astype(int) - side).sum(axis=1).min() < 60
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
        if 3 < x < 60 and 3 < y < 60:  # the middle of the disc has the keypoint's own color
            rim = drawn[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).astype(int)
            assert np.abs(rim - LEFT).sum(axis=1).min() < 90
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


@pytest.mark.parametrize("number", [1, 4, 17, 133, 300])
def test_keypoints_have_colours_of_their_own(number):
    colors = np.array(distinct_colors(number), float)
    assert len(colors) == number
    colors = colors[:256]
    apart = np.linalg.norm(colors[:, None] - colors, axis=-1)[~np.eye(len(colors), dtype=bool)]
    assert apart.min(initial=np.inf) > (100 if number <= 17 else 0)


@pytest.mark.parametrize("count", [1, 4, 133])
def test_a_wrong_order_is_seen_by_numbers_colours_and_a_legend(persons, count, monkeypatch):
    """What is written beside a point is its place in the annotations; the legend has the name."""
    names = tuple(f"point_{k}" for k in range(count))
    skeleton = Skeleton("points", names, (), (), (0.05,) * count)
    rng = np.random.default_rng(0)
    boxes = persons.bbox_xywh[:, None]
    points = boxes[..., :2] + boxes[..., 2:] * rng.uniform(0.1, 0.9, (len(persons), count, 2))
    own = dataclasses.replace(
        persons,
        keypoints_image=points.astype(np.float32),
        visibility=np.full((len(persons), count), 2, np.uint8),
    )
    written = []
    for module in (labels, sheets):
        draw = module.draw_text
        monkeypatch.setattr(
            module, "draw_text", lambda *a, draw=draw: (written.append(a[1]), draw(*a))[1]
        )
    sheet = truth_sheet(own, skeleton, 1)
    assert [text for text in written if " point_" in text] == [
        f"{k} {n}" for k, n in enumerate(names)
    ]
    assert [written.count(str(k)) for k in range(count)] == [1] * count
    shown = {tuple(color) for color in sheet.reshape(-1, 3).tolist()}
    assert set(distinct_colors(count)) <= shown
