"""One checked object for training and scoring; scoring asks for more of the same entries."""

import json

import numpy as np
import pytest

from keypoint.data.annotations import annotations_to_score, read_annotations
from keypoint.data.boxes import load_boxes, read_boxes
from keypoint.data.coco import select_persons
from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")
UNLABELLED = {"keypoints": [0] * 51, "num_keypoints": 0}


def read(folder, data, **options):
    return read_annotations(*tiny_coco.write(folder, data), SKELETON, **options)


FOR_BOTH = {
    "keypoints has 48 numbers; give 51": {"keypoints": [1] * 48},
    "keypoints None; give 51": {"keypoints": None},
    "keypoints has nan or inf": {"keypoints": [float("nan")] + [1] * 50},
    "visibility v=3": {"keypoints": [1, 1, 3] * 17},
    "keypoints has the coordinate 9.*outside any": {"keypoints": [-(2**63)] + [1] * 50},
    "bbox None; give 4 numbers": {"bbox": None},
    "bbox has 3 numbers; give 4 numbers": {"bbox": [1, 2, 3]},
    "bbox .*must be finite": {"bbox": [1, 2, float("inf"), 4]},
    "bbox .* outside any image": {"bbox": [1, 2, 1e308, 4]},
    "bbox .*negative width": {"bbox": [1, 2, -3, 4]},
    "area -1 must be": {"area": -1},
    "area 1e.300 is larger than any image": {"area": 1e300},
    "area 1.1e.10 is larger than any image": {"area": 1.1e10},
    "num_keypoints 5, but 17 are labelled": {"num_keypoints": 5},
    "num_keypoints 0, but 17 are labelled": {"num_keypoints": 0},
    "num_keypoints 17, but 0 are labelled": {"keypoints": [5, 5, 0] * 17},
    "keypoints has 0 numbers; give 51": {"keypoints": []},
    "image_id 'a7' is not among": {"image_id": "a7"},
    "image_id True is not among": {"image_id": True},
    r"its id must be an integer, not 1\.5; number them 1, 2, 3": {"id": 1.5},
    "its id 9223372036854775808 is beyond 64 bits": {"id": 2**63},
    "its id '9223372036854775808' is beyond 64 bits": {"id": str(2**63)},
    "image_id 999 is not among": {"image_id": 999},
    "category_id 7 is not among": {"category_id": 7},
}


@pytest.mark.parametrize(
    ("change", "for_training", "for_scoring"),
    [
        *((change, text, text) for text, change in FOR_BOTH.items()),
        ({}, None, None),
        ({"area": None}, None, None),
        ({"area": 0}, None, None),
        ({"area": 0, **UNLABELLED}, None, None),
        ({"bbox": None, **UNLABELLED}, None, None),
        ({"bbox": [], **UNLABELLED}, None, None),
        ({"bbox": None, "iscrowd": 1}, None, "bbox None; give 4 numbers"),
        ({"iscrowd": 1, "area": 0, "num_keypoints": 0}, None, None),
        ({"iscrowd": 1, "keypoints": [1]}, None, "keypoints has 1 numbers; give 51"),
        ({"iscrowd": 1, "bbox": [1, 2, -3, 4]}, None, "negative width or height"),
        ({"num_keypoints": None}, None, None),
    ],
    ids=str,
)
def test_training_and_scoring_share_the_rules(tmp_path, change, for_training, for_scoring):
    data = tiny_coco.content(2, 2)
    data["annotations"][1].update(change)
    for scored, text in ((False, for_training), (True, for_scoring)):
        if text is None:
            assert len(read(tmp_path, data, scored=scored)) == 4
            continue
        with pytest.raises(DataError, match=rf"1 fault.*\n  annotation id .*: .*{text}"):
            read(tmp_path, data, scored=scored)
    if for_scoring is None:
        assert len(annotations_to_score(data)) == 4
    else:
        with pytest.raises(DataError, match=rf"annotations: 1 fault.*\n.*id .*: .*{for_scoring}"):
            annotations_to_score(data)


def test_the_arrays_are_the_file_in_its_order(tmp_path):
    data = tiny_coco.content(3, 2)
    data["images"].reverse()
    data["annotations"].insert(2, {"id": 99, "image_id": 101, "category_id": 2})
    data["categories"].append({"id": 2, "name": "dog"})
    data["annotations"][0].update(iscrowd=1)
    del data["annotations"][0]["keypoints"]
    data["annotations"][1].update(UNLABELLED)
    found = read(tmp_path, data, scored=True)
    kept = [entry for entry in data["annotations"] if entry["category_id"] == 1]
    assert found.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.images.ids[found.image_index].tolist() == [e["image_id"] for e in kept]
    assert found.bbox_xywh.tolist() == [e["bbox"] for e in kept]
    assert found.area.tolist() == [e["area"] for e in kept]
    assert found.keypoints[2:].reshape(4, 51).tolist() == [e["keypoints"] for e in kept[2:]]
    assert not found.keypoints[:2].any()
    assert found.crowd.tolist() == [True] + [False] * 5
    assert found.counted.tolist() == [False, False] + [True] * 4
    assert found.total == 7
    assert found.not_counted() == {"of another category": 1, "crowd": 1, "without a labelled keypoint": 1}  # fmt: skip
    part = found.on_images(np.array([100, 102, 7]))
    assert part.images.ids.tolist() == [102, 100]
    assert part.images.ids[part.image_index].tolist() == [100, 100, 102, 102]
    assert part.ids.tolist() == [1, 2, 5, 6]


def test_annotations_read_for_training_are_not_scored_against(tmp_path):
    """A missing area would be 0 there, and a malformed crowd nothing."""
    data = tiny_coco.content(2, 1)
    results = [entry | {"score": 1.0} for entry in data["annotations"]]
    with pytest.raises(ValueError, match="read it with scored=True"):
        evaluate_coco(read(tmp_path, data), results)
    truth = read(tmp_path, data, scored=True)
    assert evaluate_coco(truth, results) == evaluate_coco(data, results)
    assert evaluate_coco(truth, results)["AP"] == pytest.approx(1)


def test_another_number_of_keypoints_is_refused(tmp_path):
    data = tiny_coco.content(2, 1)
    text = "category 'person' has 17 keypoints, but oks_sigmas has 5 numbers"
    for given in (data, read(tmp_path, data, scored=True)):
        with pytest.raises(DataError, match=text):
            annotations_to_score(given, 5)
    del data["categories"][0]["keypoints"]
    data["annotations"][0]["keypoints"], data["annotations"][1]["keypoints"] = [1, 2], []
    with pytest.raises(DataError, match="keypoints has 2 numbers; give 3"):
        annotations_to_score(data)


def test_only_images_of_the_file_are_left_out(tmp_path):
    """A box on an image that only a bad annotation names is a bad box, not one left out with it."""
    data = tiny_coco.content(4, 1)
    data["annotations"][0]["image_id"] = 999
    truth = read(tmp_path, data, scored=True, on_bad="skip", max_bad=0.5)
    assert truth.left_out_images == frozenset()
    assert select_persons(truth).report.skipped == {"faulty (image_id)": 1}
    boxes = tmp_path / "boxes.json"
    box = {"category_id": 1, "bbox": [5, 5, 50, 80], "score": 0.9}
    boxes.write_text(json.dumps([box | {"image_id": key} for key in (101, 999)]))
    found = read_boxes(boxes, truth, on_bad="skip", max_bad=0.5)
    assert found.report.skipped == {"faulty (image_id)": 1}


def test_boxes_need_the_images_only(tmp_path):
    data = tiny_coco.content(2, 1)
    boxes = tmp_path / "boxes.json"
    box = {"image_id": 101, "category_id": 1, "bbox": [5, 5, 50, 80], "score": 0.9}
    boxes.write_text(json.dumps([box]))
    data["annotations"][0]["keypoints"] = [1]
    assert len(load_boxes(boxes, *tiny_coco.write(tmp_path, data), SKELETON)) == 1
    del data["annotations"]
    truth = read(tmp_path, data, scored=True)
    assert not truth.annotated
    assert len(read_boxes(boxes, truth)) == 1
    with pytest.raises(DataError, match="key 'annotations' is missing"):
        select_persons(truth)


@pytest.mark.parametrize("change", [{"area": 5.0}, {"iscrowd": 1, "num_keypoints": 0}, {"id": 77}])
def test_the_truths_fingerprint_is_of_all_that_scores(tmp_path, change):
    """The persons' is not: training looks at no area, and detector boxes at no annotation."""
    data = tiny_coco.content(2, 2)
    one, same = (read(tmp_path, data, scored=True).fingerprint() for _ in range(2))
    data["annotations"][1].update(change)
    assert one == same != read(tmp_path, data, scored=True).fingerprint()
