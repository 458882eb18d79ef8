"""The results card says what an AP holds for, and when it looks like another kind of AP."""

import re
import subprocess
from datetime import datetime, timezone

import pytest
import torch

from keypoint.checkpoint import provenance
from keypoint.errors import CheckpointError
from keypoint.evaluation.card import results_card
from keypoint.evaluation.coco import METRICS
from keypoint.evaluation.published import boxes_by_numbers, published_ap
from tests.test_readme import small_checkpoint

# Chi et al. 2019, Table 2, ResNet-50 at 256x192; AR50 and so on are not printed there.
DETECTOR = dict.fromkeys(METRICS, 0.8) | {"AP": 0.704, "AP50": 0.886, "AP75": 0.783, "AR": 0.763}
TRUTH = dict.fromkeys(METRICS, 0.8) | {"AP": 0.723, "AP50": 0.925, "AP75": 0.8, "AR": 0.754}
CONDITIONS = {
    "boxes": "detector",
    "boxes_file": "COCO_val2017_detections_AP_H_56_person.json",
    "persons": {"source": "x", "total": 104125, "used": 104100, "skipped": {"with a bbox without area": 25}},
    "box_score_threshold": 0.0,
    "keypoint_threshold": 0.2,
    "images": 5000,
    "images_left_out": 0,
    "oks_nms": "hard at 0.9",
    "results": {"given": 104100, "kept": 90000, "suppressed": 14100},
    "input_size": [256, 192],
    "color_order": "rgb",
    "codec": "heatmap",
    "flip": True,
    "flip_shift": True,
    "decoding": "quarter offset",
    "something_new": {"a": 1},
}  # fmt: skip


def rows_of(card):
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", card, re.MULTILINE))


def test_every_condition_is_there():
    made = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    facts = {"blocks": None, "versions": {"python": "3.11", "torch": "2.15"}, "device": "cpu"}
    card = results_card(DETECTOR, CONDITIONS, facts, made=made)
    rows = rows_of(card)
    assert rows["boxes"] == "detector boxes of COCO_val2017_detections_AP_H_56_person.json"
    assert rows["records"] == "104125 = 104100 used on 5000 images + 25 skipped (25 with a bbox without area)"  # fmt: skip
    assert rows["results"].startswith("104100 = 90000 kept + 14100 suppressed by OKS-NMS (hard at 0.9)")  # fmt: skip
    assert rows["flip test"] == "averaged with the mirrored crop, shifted by one heatmap pixel"
    assert rows["input size"] == "256 x 192"
    assert rows["color order"] == "rgb"
    assert (rows["codec"], rows["decoding"]) == ("heatmap", "quarter offset")
    assert (rows["box score threshold"], rows["keypoint threshold"]) == ("0.0", "0.2")
    assert rows["something new"] == "a 1"  # conditions unknown to the card are not dropped
    assert rows["blocks"] == "none"
    assert rows["versions"] == "python 3.11, torch 2.15"
    assert rows["made"] == "2026-01-02T03:04:05+00:00"
    assert card.splitlines()[2].split(" | ")[0] == "| AP"
    assert "| 0.704 | 0.886 | 0.783 |" in card
    assert "-1 in" not in card
    off = results_card(DETECTOR, CONDITIONS | {"flip": False, "flip_shift": False}, {})
    assert rows_of(off)["flip test"] == "off"
    udp = results_card(DETECTOR, CONDITIONS | {"flip_shift": False}, {})
    assert rows_of(udp)["flip test"] == "averaged with the mirrored crop, not shifted"


def test_a_cell_cannot_break_the_table():
    card = results_card(DETECTOR, CONDITIONS | {"boxes_file": "a|b\nc.json"}, {})
    assert "| boxes | detector boxes of a\\|b c.json |" in card


def test_undefined_numbers_are_explained():
    card = results_card(TRUTH | {"AP_L": -1.0, "AR_L": -1.0}, CONDITIONS, {})
    assert "-1.000" not in card
    assert "| - |" in card
    assert "have no person of this size" in card


@pytest.mark.parametrize("metrics", [DETECTOR, TRUTH])
@pytest.mark.parametrize("boxes", ["detector", "ground truth"])
def test_numbers_that_look_like_the_other_boxes_are_told(metrics, boxes):
    card = results_card(metrics, CONDITIONS | {"boxes": boxes}, {})
    as_they_are = (metrics is DETECTOR) == (boxes == "detector")
    assert ("as they are" in card) == as_they_are
    assert ("check COCO_val2017" in card) == (not as_they_are)


def test_an_own_object_is_not_held_against_persons():
    card = results_card(TRUTH, CONDITIONS | {"skeleton": "sign"}, {}, published=0.704)
    for word in ("person AP", "AP50 0.9", "Published", "as they are"):
        assert word not in card
    assert "AP of sign says nothing beside AP on COCO" in card
    assert "same recipe with and without" in card


def test_weak_or_contradictory_numbers_look_like_neither():
    assert boxes_by_numbers(DETECTOR) == "detector"
    assert boxes_by_numbers(TRUTH) == "ground truth"
    assert boxes_by_numbers(TRUTH | {"AP": 0.5, "AR": 0.53}) is None
    assert boxes_by_numbers(TRUTH | {"AR": 0.8}) is None
    assert boxes_by_numbers(dict.fromkeys(METRICS, -1.0)) is None


def test_published_numbers_of_the_same_network_only():
    assert published_ap("resnet50", None, (256, 192)) == 0.704
    assert published_ap("resnet152", "srl_fft", (512, 384)) == 0.753
    assert published_ap("resnet50", "cgnl", (384, 288)) == 0.724
    assert published_ap("resnet50", "rcca", (512, 384)) is None
    assert published_ap("resnet18", None, (256, 192)) is None
    assert published_ap("resnet50", None, (128, 96)) is None
    assert published_ap("resnet50", None, (384, 288)) == 0.722
    assert published_ap("resnet50", None, (384, 288), 8) is None  # table 4's baseline*
    assert published_ap("resnet50", {"deconv1": "srl_fft"}, (256, 192)) is None
    same = results_card(DETECTOR, CONDITIONS, {}, published=0.709)
    assert "this is -0.005, if the boxes are the same" in same
    other = results_card(TRUTH, CONDITIONS | {"boxes": "ground truth"}, {}, published=0.709)
    assert "not to be held against it" in other


def test_where_the_numbers_come_from(tmp_path):
    file = tmp_path / "run" / "best.pt"
    small_checkpoint(file)
    facts = provenance.run_facts(file, None, torch.device("cpu"))
    assert facts["checkpoint"].startswith(f"{file}, {file.stat().st_size} bytes, sha256 ")
    digest = facts["checkpoint"].split()[-1]
    told = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout
    assert digest == told.split()[0]
    assert facts["recipe"] == (
        "unknown: 1 of 210 epochs; recipe paper; optimizer adam, lr 0.001, weight_decay 0.0, "
        "batch_size 32, accumulate 1, seed 0; began with weights imagenet"
    )
    assert facts["device"] == "cpu"
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0]
    bare = provenance.run_facts(file, "res50_256x192.yaml", torch.device("cpu"))
    assert bare["recipe"] == "unknown: weights tested with res50_256x192.yaml"
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of this toolkit"):
        provenance.run_facts(tmp_path / "other.pt", None, torch.device("cpu"))


def test_the_commit_of_the_code_and_of_nothing_else(tmp_path):
    assert provenance.code_commit(tmp_path) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert provenance.code_commit(tmp_path) == "unknown"  # no commit yet
    file = tmp_path / "code.py"
    file.write_text("1")
    subprocess.run([*git, "add", "code.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert provenance.code_commit(tmp_path) == commit.stdout.strip()
    file.write_text("2")
    assert provenance.code_commit(tmp_path) == f"{commit.stdout.strip()} and changes"
    # Installed in a virtual environment that lies in somebody else's checkout.
    inside = tmp_path / "venv" / "site-packages"
    inside.mkdir(parents=True)
    assert provenance.code_commit(inside) == "unknown"


def test_an_ap_without_the_faulty_images_is_not_held_against_published_ones():
    card = results_card(DETECTOR, CONDITIONS | {"images_left_out": 3}, {}, published=0.704)
    assert rows_of(card)["images left out"] == "3"
    assert "other conditions (images left out): not to be held against it" in card
    assert "+0.000" in results_card(DETECTOR, CONDITIONS, {}, published=0.704)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keypoint_threshold", 0.5),
        ("box_score_threshold", 0.3),
        ("decoding", "dark"),
        ("oks_nms", None),
        ("codec", "udp"),
    ],
)
def test_an_ap_by_other_scores_or_peaks_is_not_held_against_published_ones(key, value):
    card = results_card(DETECTOR, CONDITIONS | {key: value}, {}, published=0.704)
    assert f"other conditions ({key.replace('_', ' ')}): not to be held against it" in card
    assert "+0.000" not in card
