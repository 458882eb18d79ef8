"""The paper's numbers stand below a run's only if it is the run of its row, measured as the paper's."""

import csv
import json

import pytest
import yaml

from keypoint.checkpoint.file import KEYS, save_checkpoint
from keypoint.commands.published import row_of
from keypoint.config.load import find_config, load_config
from keypoint.evaluation.coco import METRICS
from keypoint.files import write_json
from keypoint.pose.skeleton import load_skeleton
from tests.calling import tool

DETECTIONS = "COCO_val2017_detections_AP_H_56_person.json"
# Table 2, ResNet-50 at 256x192, in the order of METRICS; AR50 and so on are not printed there.
BELOW = "| res50_256x192, published | - | - | 0.704 | 0.886 | 0.783 | 0.671 | 0.772 | 0.763 | - | - | - | - |"  # fmt: skip
NOT = "published numbers are not comparable with "


def persons(used=104_100, images=5000, **skipped):
    """What metrics.json says of the boxes."""
    skipped = {"with a bbox without area": 25} | skipped
    total = {"total": images, "used": images, "skipped": {}}
    return {"source": DETECTIONS, "total": used + sum(skipped.values()), "used": used, "skipped": skipped, "images": total}  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    """Writes a finished run of res50_256x192, with what is to be different."""

    def write(name="a", row="res50_256x192", overrides=(), conditions=None, **content):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = load_config(find_config(row), list(overrides))
        checkpoint = dict.fromkeys(KEYS) | {
            "format": 1,
            "model": {},
            "color_order": "rgb",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "epoch": config.train.epochs,
            "world_size": 8,
            "config": config.to_dict(),
            "skeleton": load_skeleton("coco17").to_dict(),
        }
        save_checkpoint(folder / "last.pt", checkpoint | content)
        (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
        had = {
            "boxes": "detector", "boxes_file": f"somewhere/{DETECTIONS}", "box_score_threshold": 0.0,
            "annotations": "/coco/annotations/person_keypoints_val2017.json", "images_skipped": 0,
            "codec": "heatmap", "flip": True, "decoding": "quarter offset", "oks_nms": "hard at 0.9",
            "keypoint_threshold": 0.2, "input_size": list(config.model.input_size), "persons": persons(),
            "skeleton": "coco17",
        }  # fmt: skip
        metrics = dict.fromkeys(METRICS, 0.8) | {"AP": 0.70349}
        write_json(
            folder / "metrics.json", {"metrics": metrics, "conditions": had | (conditions or {})}
        )
        return folder

    return write


def said_of(capsys, *folders, status=0):
    assert tool("compare", *folders, "--anyway") == status
    return capsys.readouterr().out


def test_published_numbers_stand_below_ours(finished, tmp_path, capsys):
    free = ["data.root=/elsewhere", "data.workers=0", "data.val_images=images/val2017", "seed=3"]
    free += ["train.log_every=7", "train.logger=mlflow", "train.amp=bf16"]
    one = finished(overrides=free)
    other = finished("b", "res50_256x192_nl3")
    out = tmp_path / "out"
    assert tool("compare", one, other, "--output", out, "--anyway") == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index(BELOW)
    assert lines[place - 1].startswith("| a | 1 | 3 | 0.7035 | 0.8000 |")
    assert lines[place + 1].startswith("| b | 1 | 0 | 0.7035 |")
    assert lines[place + 2] == f"| res50_256x192_nl3, published | - | - | 0.706 {'| - ' * 9}|"
    rows = {(r["group"], r["number"]): r for r in csv.DictReader((out / "runs.csv").open())}
    assert rows["a", "AP_L"]["published"] == "0.772000"
    assert rows["b", "AP"]["published"] == "0.706000"
    assert rows["b", "AP_L"]["published"] == rows["a", "AR_L"]["published"] == ""


def test_one_device_with_accumulation_is_the_same_step(finished, capsys):
    runs = (
        finished(overrides=["train.accumulate=8"], world_size=1),
        finished("b", overrides=["seed=1"]),
    )
    assert BELOW in said_of(capsys, *runs)


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"overrides": ["train.epochs=1"]}, "train.epochs=1 (the paper's: 210)"),
        ({"overrides": ["train.recipe=mmpose"]}, "train.lr=0.0005 (the paper's: 0.001)"),
        ({"overrides": ["train.ema=0.999"]}, "train.ema=0.999 (the paper's: None)"),
        ({"overrides": ["augment.rotation=10"]}, "augment.rotation=10.0 (the paper's: 40.0)"),
        ({"overrides": ["model.weights=none"]}, "model.weights=None (the paper's: imagenet)"),
        ({"overrides": ["model.codec=udp"]}, "model.codec=udp (the paper's: heatmap)"),
        ({"world_size": 1}, "crops per step: 32 (the paper's: 256)"),
        ({"epoch": 209}, "last epoch reached: epoch 209 of 210"),
        ({"conditions": {"boxes": "ground truth"}}, "boxes 'ground truth' (the paper's: 'detector')"),
        ({"conditions": {"boxes_file": "a/own.json"}}, "boxes_file 'own.json'"),
        ({"conditions": {"flip": False}}, "flip False"),
        ({"conditions": {"decoding": "dark"}}, "decoding 'dark'"),
        ({"conditions": {"oks_nms": None}}, "oks_nms None"),
        ({"conditions": {"input_size": [384, 288]}}, "input_size [384, 288]"),
        ({"overrides": ["data.train_annotations=annotations/small.json"]}, "data.train_annotations=annotations/small.json (the paper's: annotations/person_keypoints_train2017.json)"),
        ({"overrides": ["data.val_annotations=annotations/part.json"]}, "data.val_annotations="),
        ({"overrides": ["data.on_bad=skip"]}, "data.on_bad=skip (the paper's: error)"),
        ({"conditions": {"annotations": "a/part.json"}}, "annotations 'part.json' (the paper's: 'person_keypoints_val2017.json')"),
        ({"conditions": {"images_skipped": 3}}, "images_skipped 3 (the paper's: 0)"),
        ({"conditions": {"persons": persons(images=605)}}, "images_in_annotations 605 (the paper's: 5000)"),
        ({"conditions": {"persons": persons(used=104_000)}}, "boxes_in_file 104025 (the paper's: 104125)"),
        ({"conditions": {"persons": persons(faulty=1)}}, "boxes_in_file 104126 (the paper's: 104125)"),
        ({"conditions": {"box_score_threshold": 0.3}}, "box_score_threshold 0.3 (the paper's: 0.0)"),
        ({"conditions": {"keypoint_threshold": 0.9}}, "keypoint_threshold 0.9 (the paper's: 0.2)"),
        ({"conditions": {"keypoint_threshold": None}}, "keypoint_threshold None"),
        ({"conditions": {"codec": "udp"}}, "codec 'udp'"),
        ({"conditions": {"persons": 7}}, "boxes_in_file None (the paper's: 104125), images_in_annotations None"),
    ],
)  # fmt: skip
def test_a_note_says_what_is_not_the_papers(finished, capsys, different, words):
    """One thing differs, in one of two runs: its network has no published numbers, the other's has."""
    other, good = finished("b", **different), finished("a", "res50_256x192_srl3")
    said = said_of(capsys, good, other)
    assert "| res50_256x192_srl3, published |" in said
    assert "| res50_256x192, published |" not in said
    (note,) = (line for line in said.splitlines() if line.startswith(NOT))
    assert note.startswith(f"{NOT}b (res50_256x192): ")
    assert words in note


def test_one_run_of_a_group_that_did_not_end_is_enough(finished, capsys):
    runs = [finished(f"seed{n}", overrides=[f"seed={n}"], epoch=210 - n) for n in range(2)]
    said = said_of(capsys, *runs)
    assert "published |" not in said
    assert said.count(NOT) == 1
    assert "last epoch reached: epoch 209 of 210" in said


def test_a_run_without_its_checkpoint_is_not_known_to_be_the_rows(finished, capsys):
    runs = [finished(f"seed{n}", overrides=[f"seed={n}"]) for n in range(2)]
    for folder in runs:
        (folder / "last.pt").unlink()
    said = said_of(capsys, *runs)
    assert "crops per step: unknown (the paper's: 256), last epoch reached: unknown" in said


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model.input_size=[384, 288]"], "res50_384x288"),
        (["model.encoder=resnet152", "model.blocks=srl_fft", "model.input_size=[512, 384]"], "res152_512x384_srl3"),
        (["model.encoder_stride=8", "model.input_size=[384, 288]"], "res50_384x288_stride8"),
        (["model.encoder_stride=8", "model.dilated=true", "model.input_size=[384, 288]"], "res50_384x288_stride8_dilated"),
        (["model.blocks={deconv1: srl_fft}", "model.input_size=[384, 288]"], "res50_384x288_srl1_d1"),
        (["model.weights=none"], "res50_256x192"),
        (["model.blocks={deconv1: srl_fft}"], None),
        (["model.blocks=rcca", "model.input_size=[512, 384]"], None),
        (["model.encoder_stride=8"], None),
        (["model.encoder=resnet18"], None),
        (["model.network=hrnet_w32"], None),
    ],
)  # fmt: skip
def test_a_network_has_the_row_of_its_config(overrides, name):
    row = row_of(load_config(find_config("res50_256x192"), overrides).to_dict()["model"])
    assert (row and row.name) == name


@pytest.mark.parametrize(
    ("overrides", "conditions"),
    [
        (["model.encoder=resnet18"], {}),
        (["model.input_size=[128, 96]"], {"input_size": [128, 96]}),
        (["model.network=hrnet_w32"], {}),
        ([], {"skeleton": "sign"}),
    ],
)
def test_a_network_of_no_row_is_not_mentioned(finished, capsys, overrides, conditions):
    runs = [
        finished(f"seed{n}", overrides=[*overrides, f"seed={n}"], conditions=conditions)
        for n in range(2)
    ]
    said = said_of(capsys, *runs)
    assert "published" not in said


def test_a_config_of_another_version_is_not_mentioned(finished, capsys):
    runs = [finished(f"seed{n}", overrides=[f"seed={n}"]) for n in range(2)]
    for folder in runs:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        content["model"]["depth"] = 50
        (folder / "config.yaml").write_text(json.dumps(content))
    assert "published" not in said_of(capsys, *runs)
