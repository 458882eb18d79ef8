"""Every command on a few videos: made up ones, and real ones if their folder is there."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from keypoint.action.checkpoint import load_action
from keypoint.action.config import ActionConfig
from keypoint.action.evaluation.report import accuracy_of
from keypoint.action.evaluation.scores import load_scores
from keypoint.config.load import load_as
from keypoint.evaluation.runs.read import read_run
from tests.action import tiny_action
from tests.calling import REPOSITORY, tool

CLIPS = REPOSITORY.parent / "shared" / "clips"
REAL = {
    "train/fight": ["demo.mp4", "corrupted.mp4"],  # the second has fewer frames than it says
    "train/other": ["part_0.mp4", "flipping_a_pancake.mkv"],
    "val/fight": ["demo.mp4"],
    "val/other": ["part_0.mp4", "video_90.mov"],
}


def real_set(root):
    for folder, names in REAL.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(CLIPS / name, root / folder / name)


@pytest.fixture(scope="module", params=["made up", "real"])
def work(request, tmp_path_factory):
    """A folder with `data`, `tiny.yaml` and the training of two epochs."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    if request.param == "made up":
        cfg = tiny_action.write_config(folder)
    elif not CLIPS.is_dir():
        pytest.skip(f"{CLIPS} is not there")
    else:
        real_set(folder / "data")
        cfg = folder / "tiny.yaml"
        cfg.write_text(tiny_action.CONFIG.replace("ROOT", str(folder / "data")))
    blocks = ["model.blocks=srl_fft", "model.places=res4"]
    assert tool("train", "--cfg", cfg, f"output={folder / 'run'}", *blocks) == 0
    return folder


def test_the_data_are_checked(work, capsys):
    assert tool("check-data", "--cfg", work / "tiny.yaml") in (0, 3)
    assert "video" in capsys.readouterr().out


def test_the_checkpoint_is_tested_and_its_files_agree(work, capsys):
    best, output = work / "run" / "best.pt", work / "tested"
    views = ["test.clips=2", "test.sampling=uniform", "test.crops=3"]
    assert tool("test", "--checkpoint", best, f"output={output}", *views) == 0
    said = capsys.readouterr().out
    scores = load_scores(output)
    accuracy = accuracy_of(scores)
    assert f"top1        {accuracy.top1:.4f}" in said
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["metrics"]["top1"] == accuracy.top1
    held = metrics["conditions"]
    assert (held["clips"], held["crops"], held["crop_size"]) == (2, 3, [36, 36])
    assert held["clip_starts"] == "from the first frames to the last"
    assert (held["network"], held["blocks"], held["places"]) == ("c2d_resnet18", "srl_fft", "res4")
    with (output / "per_class.csv").open() as file:
        assert sum(int(row["videos"]) for row in csv.DictReader(file)) == len(scores) == 3
    config = load_as(ActionConfig, output / "config.yaml")
    trained = load_as(ActionConfig, work / "run" / "config.yaml")
    assert (config.output, config.test.clips, config.seed) == (str(output), 2, trained.seed)
    assert config.train == trained.train
    facts = read_run(work / "run").facts
    same = ("commit", "train_data", "truth", "crops")
    assert [metrics["origin"][key] for key in same] == [facts[key] for key in same]
    card = (output / "card.md").read_text()
    assert f"top1 {accuracy.top1:.4g}" in card
    assert "crops: 3" in card


def test_the_best_epochs_test_is_that_of_the_training(work):
    best, output = work / "run" / "best.pt", work / "again"
    restored = load_action(best)
    assert tool("test", "--checkpoint", best, f"output={output}") == 0
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert metrics == restored.best["metrics"]
    assert restored.model.fc.weight.shape == (2, 512)


def test_a_video_is_predicted_as_it_is_tested(work, capsys):
    """Clips are chosen by the name: of the file alone here, of the list's in a test."""
    output, video = work / "predicted", next((work / "data" / "val").rglob("*.*"))
    checkpoint = work / "run" / "best.pt"
    arguments = ["--checkpoint", checkpoint, "--output", output, "--pictures", video]
    assert tool("predict", *arguments) == 0
    lines = (output / "records.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    assert [best["class"] for best in record["best"]] in (["down", "up"], ["up", "down"], ["fight", "other"], ["other", "fight"])  # fmt: skip
    assert sum(best["score"] for best in record["best"]) == pytest.approx(1, abs=1e-5)
    assert (output / record["picture"]).stat().st_size


def test_info_shows_the_card(work, capsys):
    assert tool("info", "--checkpoint", work / "run" / "best.pt", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert list(card) == ["file", "network", "training", "measured", "use"] or "best_epoch" in card
    assert card["network"]["classes"] == sorted(card["network"]["classes"])
    assert card["training"]["epochs"].endswith(" of 2")
    assert card["measured"]["metrics"]["top1"] >= 0
    # ResNet-18 with 2 classes instead of 1,000. The block: conv_c of 8 groups, two norms of 512 maps,
    # conv_t of the 2 frames after pool2, w and b of 2 x 2 frequencies, alpha.
    network = 11_689_512 - 1000 * 513 + 2 * 513
    block = 512 * 512 // 8 + 2 * 2 * 512 + 2 * 2 + 2 * 2 * 2 + 1
    assert card["network"]["parameters"] == network + block
    assert card["network"]["blocks_after"] == ["layer3.1"]


@pytest.mark.parametrize("work", ["made up"], indirect=True)
def test_export_for_onnxruntime_says_its_classes(work, capsys):
    file = work / "run.onnx"
    assert tool("export", "--checkpoint", work / "run" / "best.pt", "--output", file) == 0
    assert "compared with torch on 4 clips" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(file)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["down", "up"]
    operators = file.read_bytes()
    assert b"MatMul" in operators
    assert b"DFT" not in operators
    clips = np.random.default_rng(1).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
    found = session.run(["scores"], {"clips": clips})[0]
    model = load_action(work / "run" / "best.pt").model
    with torch.no_grad():
        logits = model(model.normalize(torch.from_numpy(clips.copy())))
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), atol=1e-5)
    assert tool("info", "--checkpoint", file) == 0
    assert "classes: down, up" in capsys.readouterr().out


@pytest.mark.parametrize("work", ["made up"], indirect=True)
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["clips.frames=8"], "clips.frames=8: the checkpoint's network takes 4 frames"),
        (["seed=3"], "'seed=3' (clips are seeded by the video's name)"),
        (["data.classes=[a, b]"], "(the checkpoint's own are used)"),
        (["model.places=each"], "In testing only model.input_size may be changed\n"),
        (["test.short_side=20"], "test.short_side=20: a crop of [32, 32] does not fit in"),
        (["data.val_list=missing.txt"], "missing.txt: no such list or folder of videos"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_a_test_refuses(work, capsys, words, text):
    assert tool("test", "--checkpoint", work / "run" / "best.pt", *words) in (2, 3)
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("work", ["made up"], indirect=True)
def test_the_commands_of_the_other_task_refuse_the_checkpoint(work, capsys):
    best = work / "run" / "best.pt"
    assert tool("test", "--task", "keypoints", "--checkpoint", best) == 4
    assert "its network is for action" in capsys.readouterr().err


def test_real_clips_are_those_of_their_readme():
    if not CLIPS.is_dir():
        pytest.skip(f"{CLIPS} is not there")
    assert {name for names in REAL.values() for name in names} <= {f.name for f in Path(CLIPS).iterdir()}  # fmt: skip
