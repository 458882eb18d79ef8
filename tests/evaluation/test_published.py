"""An AP is compared with the papers' under the papers' conditions only."""

import pytest

from keypoint.evaluation import published
from keypoint.evaluation.coco import METRICS
from keypoint.evaluation.published import Row, compare, measured_under

# Chi et al. 2019, Table 2, ResNet-50 at 256x192; AR50 and so on are not printed there.
DETECTOR = dict.fromkeys(METRICS, 0.8) | {"AP": 0.704, "AP50": 0.886, "AP75": 0.783, "AR": 0.763}
TRUTH = dict.fromkeys(METRICS, 0.8) | {"AP": 0.723, "AP50": 0.925, "AP75": 0.8, "AR": 0.754}
CONDITIONS = published.CONDITIONS | {
    "boxes_file": "/home/anna/COCO_val2017_detections_AP_H_56_person.json",
    "annotations": "/data/person_keypoints_val2017.json",
    "persons": {"source": "/x", "total": 9, "used": 7, "skipped": {"crowd": 2}, "listed": [1] * 99},
    "input_size": [256, 192],
    "skeleton": "coco17",
    "something_new": {"a": 1},
}
ROW = Row.named("res50_256x192")


def test_the_same_network_under_the_same_conditions():
    rows = compare(DETECTOR | {"AP": 0.7}, CONDITIONS, ROW)
    assert rows == {
        "published": "AP 0.704 (detector boxes, flip test); here -0.004, if the boxes are the same"
    }


def test_a_network_of_no_row_has_nothing_published():
    assert compare(DETECTOR, CONDITIONS, None) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keypoint_threshold", 0.5),
        ("box_score_threshold", 0.3),
        ("images_skipped", 3),
        ("decoding", "dark"),
        ("oks_nms", None),
        ("codec", "udp"),
    ],
)
def test_other_conditions_are_named_and_not_compared(key, value):
    text = compare(DETECTOR, CONDITIONS | {key: value}, ROW)["published"]
    assert text.endswith(f"; not comparable, other conditions: {key.replace('_', ' ')}")


@pytest.mark.parametrize("metrics", [DETECTOR, TRUTH])
@pytest.mark.parametrize("boxes", ["detector", "ground truth"])
def test_numbers_that_look_like_the_other_boxes_are_warned_of(metrics, boxes):
    rows = compare(metrics, CONDITIONS | {"boxes": boxes}, ROW)
    as_given = (metrics is DETECTOR) == (boxes == "detector")
    assert ("warning" in rows) == (not as_given)
    if not as_given:
        assert rows["warning"].endswith(
            f"but {boxes} boxes were given: check COCO_val2017_detections_AP_H_56_person.json"
        )


@pytest.mark.parametrize(
    "metrics",
    [TRUTH | {"AP": 0.5, "AR": 0.53}, TRUTH | {"AR": 0.8}, dict.fromkeys(METRICS, -1.0)],
)
@pytest.mark.parametrize("boxes", ["detector", "ground truth"])
def test_weak_or_contradictory_numbers_look_like_neither(metrics, boxes):
    rows = compare(metrics, CONDITIONS | {"boxes": boxes}, ROW)
    assert "warning" not in rows
    assert metrics["AP"] >= 0 or not rows


def test_other_objects_are_not_compared_with_persons():
    rows = compare(TRUTH, CONDITIONS | {"skeleton": "sign"}, ROW)
    assert rows == {"published": "none; AP of sign is not comparable with COCO's"}


def test_stored_conditions_name_no_folder_and_list_no_entries():
    stored = measured_under(CONDITIONS, "bf16")
    assert stored["boxes_file"] == "COCO_val2017_detections_AP_H_56_person.json"
    assert stored["annotations"] == "person_keypoints_val2017.json"
    assert stored["persons"] == {"total": 9, "used": 7, "skipped": {"crowd": 2}}
    assert stored["amp"] == "bf16"
    assert stored.keys() == {*CONDITIONS, "amp"}
