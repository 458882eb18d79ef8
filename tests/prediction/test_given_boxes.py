"""Boxes of a file to predict on: weak ones and doubles are left out and counted, others never."""

import json

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from keypoint.data.boxes import load_boxes
from keypoint.data.coco import load_persons
from keypoint.errors import DataError
from keypoint.prediction.persons.given import DOUBLE, boxes_to_predict
from tests import tiny_coco
from tests.tiny_coco import SKELETON


@pytest.fixture
def read(tmp_path):
    """Reads boxes, given as (image, bbox, score), from a file; score None leaves it out."""
    file, images = tiny_coco.write(tmp_path, tiny_coco.content())

    def call(*given, threshold=None, by=boxes_to_predict):
        entries = [
            {"image_id": image, "category_id": 1, "bbox": list(bbox)}
            | ({} if score is None else {"score": score})
            for image, bbox, score in given
        ]
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(entries))
        if by is load_boxes:
            return load_boxes(path, file, images, SKELETON)
        return by(path, file, SKELETON, threshold)

    return call


A, CLOSE, APART = (10, 10, 40, 60), (12, 11, 40, 60), (70, 10, 40, 60)


def test_weak_boxes_and_doubles_are_counted_and_a_test_uses_all(read):
    given = [(100, A, 0.4), (100, CLOSE, 0.9), (100, APART, 0.29), (101, A, 0.3), (102, A, 0.01)]
    found = read(*given)
    assert found.ids.tolist() == [1, 3]
    assert found.bbox_scores.tolist() == [0.9, 0.3]
    report = found.report
    assert (report.total, report.used) == (5, 2)
    assert report.skipped == {"with a score under 0.3": 2, DOUBLE: 1}
    assert (report.images.total, report.images.used) == (4, 2)
    assert read(*given, threshold=0.0).ids.tolist() == [1, 2, 3, 4]  # asked for: no default
    assert read(*given, by=load_boxes).ids.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("score", [None, 1, 1.0, 0.2])
def test_a_file_that_ranks_nothing_loses_nothing(read, score):
    """Annotated boxes written as detections: two persons may hide each other."""
    found = read((100, A, score), (100, CLOSE, score), (101, A, score))
    assert found.ids.tolist() == [0, 1, 2]
    assert found.report.skipped == {}
    assert found.bbox_scores.tolist() == [1.0 if score is None else score] * 3


def test_scores_in_some_entries_only_are_a_fault(read):
    with pytest.raises(DataError, match="box 1: score None .* must be a finite number"):
        read((100, A, 0.9), (100, APART, None))


def test_nothing_left_says_what_keeps_them(read):
    with pytest.raises(DataError, match=r"2 with a score under 0\.3\).* --box-threshold 0 to use"):
        read((100, A, 0.1), (100, APART, 0.2))
    assert len(read((100, A, 0.1), threshold=0.0)) == 1
    with pytest.raises(DataError, match=r"1 with a score under 0\.3\)"):  # one box of a detector
        read((100, A, 0.1))


def test_doubles_are_those_of_torchvisions_nms(read):
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(0, 60, (80, 2)), rng.uniform(20, 60, (80, 2))
    boxes, scores = np.concatenate([corner, sides], axis=1), rng.permutation(80) / 100 + 0.3
    images = rng.integers(100, 103, 80)
    found = read(*zip(images.tolist(), boxes.tolist(), scores.tolist(), strict=True))
    expected = []
    for image in (100, 101, 102):
        rows = np.flatnonzero(images == image)
        corners = torch.tensor(np.concatenate([corner, corner + sides], axis=1)[rows])
        expected += rows[nms(corners, torch.tensor(scores[rows]), 0.5).numpy()].tolist()
    assert found.ids.tolist() == sorted(expected)
    assert 10 < len(expected) < 70


def test_a_test_says_that_boxes_are_outside(read, warnings):
    found = read((100, A, 0.9), (101, (900, 5, 40, 60), 0.8), by=load_boxes)
    assert len(found) == 2  # the AP is that of the references
    assert "1 of 2 (50.00%) boxes is entirely outside their image" in warnings.text


def test_the_only_category_needs_neither_keypoints_nor_annotations(tmp_path):
    """A file of images as a user writes it for own objects."""
    data = tiny_coco.content(2, 0) | {"categories": [{"id": 1, "name": "sign"}]}
    file, boxes = tmp_path / "ids.json", tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 100, "category_id": 1, "bbox": A, "score": 0.9}]))

    def found():
        file.write_text(json.dumps(data))
        return boxes_to_predict(boxes, file, SKELETON).image_ids.tolist()

    assert data["annotations"] == []
    assert found() == [100]
    del data["annotations"]
    assert found() == [100]
    data["categories"].append({"id": 2, "name": "car"})
    with pytest.raises(DataError, match="none of the categories 'sign', 'car' has 'keypoints'"):
        found()
    data["categories"] = [{"id": 1, "name": "sign", "keypoints": ["left", "right"]}]
    text = "2 keypoint names .* 17 of skeleton coco17 .*; the skeleton is that of the network"
    with pytest.raises(DataError, match=text):
        found()
    with pytest.raises(DataError, match="choose the right data.skeleton"):
        load_boxes(boxes, file, tmp_path, SKELETON)


def test_training_needs_named_keypoints_and_annotations(tmp_path):
    data = tiny_coco.content(2, 1)
    data["categories"] = [{"id": 1, "name": "sign"}]
    with pytest.raises(DataError, match="or is named person"):
        load_persons(*tiny_coco.write(tmp_path, data), SKELETON)
    data = tiny_coco.content(2, 0)
    with pytest.raises(DataError, match="'annotations' has no entries"):
        load_persons(*tiny_coco.write(tmp_path, data), SKELETON)
