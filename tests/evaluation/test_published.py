"""An AP is compared with the papers' under the papers' conditions only."""

import re
from pathlib import Path

import pytest

from keypoint.evaluation import published
from keypoint.evaluation.coco import METRICS
from keypoint.evaluation.published import compare, measured_under

REPOSITORY = Path(__file__).parents[2]
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
NETWORK = {
    "network": "simple_baseline",
    "encoder": "resnet50",
    "blocks": None,
    "encoder_stride": 32,
}


def test_the_same_network_under_the_same_conditions():
    rows = compare(DETECTOR | {"AP": 0.7}, CONDITIONS, **NETWORK)
    assert rows == {
        "published": "AP 0.704 (detector boxes, flip test); here -0.004, if the boxes are the same"
    }


@pytest.mark.parametrize(
    ("encoder", "blocks", "size", "stride", "ap"),
    [
        ("resnet50", None, [384, 288], 32, 0.722),
        ("resnet152", "srl_fft", [512, 384], 32, 0.753),
        ("resnet50", "cgnl", [384, 288], 32, 0.724),
        ("resnet50", "rcca", [512, 384], 32, None),
        ("resnet18", None, [256, 192], 32, None),
        ("resnet50", None, [128, 96], 32, None),
        ("resnet50", None, [384, 288], 8, None),  # table 4's baseline*
        ("resnet50", {"deconv1": "srl_fft"}, [256, 192], 32, None),
    ],
)
def test_each_network_has_its_own_ap(encoder, blocks, size, stride, ap):
    conditions = CONDITIONS | {"input_size": size}
    rows = compare(
        DETECTOR,
        conditions,
        network="simple_baseline",
        encoder=encoder,
        blocks=blocks,
        encoder_stride=stride,
    )
    assert rows.get("published", "none")[:8] == ("none" if ap is None else f"AP {ap:.3f}")


def test_another_network_is_not_compared_with_simple_baselines():
    rows = compare(DETECTOR, CONDITIONS | {"input_size": [256, 192]}, **NETWORK)
    assert "published" in rows
    other = NETWORK | {"network": "hrnet_w32"}
    assert "published" not in compare(DETECTOR, CONDITIONS | {"input_size": [256, 192]}, **other)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keypoint_threshold", 0.5),
        ("box_score_threshold", 0.3),
        ("images_left_out", 3),
        ("decoding", "dark"),
        ("oks_nms", None),
        ("codec", "udp"),
    ],
)
def test_other_conditions_are_named_and_not_compared(key, value):
    text = compare(DETECTOR, CONDITIONS | {key: value}, **NETWORK)["published"]
    assert text.endswith(f"; not comparable, other conditions: {key.replace('_', ' ')}")


@pytest.mark.parametrize("metrics", [DETECTOR, TRUTH])
@pytest.mark.parametrize("boxes", ["detector", "ground truth"])
def test_numbers_that_look_like_the_other_boxes_are_warned_of(metrics, boxes):
    rows = compare(metrics, CONDITIONS | {"boxes": boxes}, **NETWORK)
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
    rows = compare(metrics, CONDITIONS | {"boxes": boxes}, **NETWORK)
    assert "warning" not in rows
    assert metrics["AP"] >= 0 or not rows


def test_other_objects_are_not_compared_with_persons():
    rows = compare(TRUTH, CONDITIONS | {"skeleton": "sign"}, **NETWORK)
    assert rows == {"published": "none; AP of sign says nothing next to COCO's"}


def test_the_document_has_the_same_numbers():
    """Of every config of a published network, under its paper's name."""
    text = (REPOSITORY / "docs/results.md").read_text()
    names = {"srl_fft": "_srl3", "srl_lo": "_srllo3", "nl": "_nl3", "a2": "_a2x3", "cgnl": "_cgnl3", "rcca": "_rcca3", None: ""}  # fmt: skip
    compared = 0
    for (encoder, blocks), row in published.AP.items():
        for (height, width), ap in zip(published.SIZES, row, strict=True):
            config = f"{encoder.replace('net', '')}_{height}x{width}{names[blocks]}.yaml"
            found = re.findall(rf"^\|.*\| `{config}` *\|", text, re.MULTILINE)
            for line in found:
                compared += 1
                assert f"| {100 * ap:.1f} |" in line, config
            assert found or ap is None, config
    assert compared > 30


def test_stored_conditions_name_no_folder_and_list_no_entries():
    stored = measured_under(CONDITIONS, "bf16")
    assert stored["boxes_file"] == "COCO_val2017_detections_AP_H_56_person.json"
    assert stored["annotations"] == "person_keypoints_val2017.json"
    assert stored["persons"] == {"total": 9, "used": 7, "skipped": {"crowd": 2}}
    assert stored["amp"] == "bf16"
    assert stored.keys() == {*CONDITIONS, "amp"}
