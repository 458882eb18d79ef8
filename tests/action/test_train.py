"""Training on videos with a tiny network: resuming, many processes, what is refused, the loss."""

import json
import math
import os
import sys

import numpy as np
import pytest
import torch

from keypoint.action.config import ActionConfig
from keypoint.action.data.batches import ClipBatch
from keypoint.action.training import clip_loss, training_picture
from keypoint.config.load import from_dict_as
from keypoint.errors import ConfigError
from keypoint.training.optimizer import build_optimizer
from keypoint.training.step import TrainingStep
from keypoint.training.trainer import Trainer
from tests import forked
from tests.action import tiny_action
from tests.calling import REPOSITORY, tool
from tests.end_to_end.test_train import equal

NUMBERS = ("model", "ema", "optimizer", "epoch", "batch", "step", "loss_sum", "best", "history", "card")  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    made = lambda weights=None, **options: tiny_action.Tiny(**options)  # noqa: E731
    monkeypatch.setattr("keypoint.commands.action.train.create_model", made)


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    return tiny_action.write_config(tmp_path_factory.mktemp("videos"))


def train(cfg, output, *more):
    return tool("train", "--cfg", cfg, f"output={output}", *more)


def state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


def test_a_killed_and_resumed_run_equals_a_whole_one_to_the_bit(cfg, tmp_path, monkeypatch):
    """Dropout's generator and the clips' random numbers included."""
    more = ["train.ema=0.9", "train.save_every=1"]
    assert train(cfg, tmp_path / "whole", *more) == 0
    step, done = Trainer._step, []

    def killed(trainer, *arguments):
        if len(done) == 3:  # of 4 steps an epoch
            raise RuntimeError("killed")
        done.append(1)
        return step(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", killed)
        assert train(cfg, tmp_path / "parts", *more) == 1
    assert state(tmp_path / "parts")["batch"] == 3
    assert train(cfg, tmp_path / "parts", *more, "--resume") == 0
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert [key for key in NUMBERS if not equal(whole[key], parts[key])] == []
    assert whole["step"] == 8
    assert whole["classes"] == list(tiny_action.CLASSES)
    assert whole["skeleton"] is None
    assert whole["card"]["data"]["train"] == {"file": "train", "entries": 8, "used": 8}


def test_two_processes_train_and_test_as_one_with_the_same_global_batch(cfg, tmp_path):
    """Three videos to test on, so that one process has more; BatchNorm as in the pose's test."""
    options = ["model.dropout=0", "train.epochs=1"]
    for name, processes in (("one", 1), ("two", 2)):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        ranks = [environment] if processes == 1 else forked.ranks(2, environment)
        output = f"output={tmp_path / name}"
        accumulate = f"train.accumulate={3 - processes}"
        words = [sys.executable, tiny_action.__file__, "--cfg", cfg, output, accumulate, *options]
        done = forked.run_ranks(words, ranks, timeout=100, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert one["step"] == two["step"] == 2
    for name, tensor in one["model"].items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(two["model"][name], tensor, atol=1e-5, rtol=1e-4, msg=name)
    scores = np.load(tmp_path / "two" / "scores.npz")
    assert scores["names"].tolist() == ["down/v0.avi", "down/v1.avi", "up/v0.avi"]
    assert scores["scores"].shape == (3, 2)
    np.testing.assert_allclose(scores["scores"].sum(axis=1), 1, atol=1e-6)


def test_other_classes_keys_and_videos_are_not_resumed(cfg, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(cfg, output, "train.epochs=1", "train.lr_drops=[]") == 0
    more = ["train.epochs=1", "train.lr_drops=[]", "--resume"]

    def refused(*words):
        capsys.readouterr()
        assert train(cfg, output, *more, *words) == 4
        return capsys.readouterr().err

    assert "class 0 was 'down', but is 'up' in the data" in refused("data.classes=[up, down]")
    assert "was trained for 2 classes, but the data have 3" in refused("data.classes=[down, up, x]")
    assert "test.clips=3 (was 2)" in refused("test.clips=3")
    assert "data.val_list='train' (was 'val')" in refused("data.val_list=train")
    # Allowed, and the epoch is done: nothing is left to train.
    assert train(cfg, output, *more, "data.val_list=train", "--allow-changed") == 0
    said = capsys.readouterr().err
    assert "was trained with other test videos (fingerprint" in said
    assert "lists, labels or the skipped entries changed; allowed by --allow-changed" in said


def test_a_checkpoint_of_the_other_task_is_not_resumed(cfg, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(cfg, output, "train.epochs=1") == 0
    content = state(output)
    content["config"] = {"task": "keypoints"}
    content |= {"classes": None, "skeleton": {"keypoints": []}}
    torch.save(content, output / "last.pt")
    assert train(cfg, output, "train.epochs=1", "--resume") == 4
    assert "its network is for keypoints; give a checkpoint for action" in capsys.readouterr().err


def test_files_of_a_training_name_their_conditions(cfg, tmp_path):
    assert train(cfg, tmp_path, "train.epochs=1") == 0
    names = "best.pt config.yaml log.txt data_report.json curves.png metrics.json per_class.csv"
    assert all((tmp_path / name).stat().st_size for name in names.split())
    record = json.loads((tmp_path / "history.json").read_text())[0]
    assert record["metrics"].keys() == {"top1", "mean_class"}
    held = record["conditions"]
    assert (held["clips"], held["crop_size"], held["list"]) == (2, [32, 32], "val")
    assert held["averaged"] == "softmax probabilities"


def test_classes_without_a_video_are_named(tmp_path, capsys, monkeypatch):
    cfg = tiny_action.write_config(tmp_path)
    (tmp_path / "data/train/waving").mkdir()
    for file in (tmp_path / "data/val/up").iterdir():
        file.unlink()
    assert train(cfg, tmp_path / "run", "train.epochs=1") == 0
    notes = {
        "train": "1 of 3 (33.33%) class folders has no video: left out of the classes (for example "
        "waving)",
        "val": "1 of 2 (50.00%) classes has no video (for example up)",
    }
    said = capsys.readouterr().err
    report = json.loads((tmp_path / "run/data_report.json").read_text())
    for part, name in (("train", "train"), ("val", "test")):
        assert f"{tmp_path}/data/{part}: {notes[part]}\n" in said
        assert report[name]["notes"] == [notes[part]]
    monkeypatch.setattr(
        "keypoint.action.checkpoint.create_model", lambda **options: tiny_action.Tiny(**options)
    )
    assert tool("test", "--checkpoint", tmp_path / "run/best.pt") == 0
    assert f"{tmp_path}/data/val: {notes['val']}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "nesterov"),
    [
        ({}, True),
        ({"nesterov": False}, False),
        ({"momentum": 0.0}, False),
        ({"optimizer": "adamw"}, False),
    ],
)
def test_nesterov_is_usual_where_there_is_momentum(words, nesterov):
    config = from_dict_as(ActionConfig, {"train": words}, "test")
    assert config.train.sgd_nesterov is nesterov
    again = from_dict_as(ActionConfig, config.to_dict(), "test")
    assert again == config


@pytest.mark.parametrize("words", [{"optimizer": "adamw"}, {"momentum": 0.0}], ids=str)
def test_nesterov_without_effect_is_refused(words):
    with pytest.raises(ConfigError, match="train.nesterov.*it has no effect with train"):
        from_dict_as(ActionConfig, {"train": {**words, "nesterov": True}}, "test")


def batch(labels):
    clips = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8))
    return ClipBatch(clips, torch.tensor(labels), torch.arange(3), ["a", "b", "c"])


def test_the_loss_is_the_mean_negative_log_probability_of_the_label():
    torch.manual_seed(0)
    model, given = tiny_action.Tiny().eval(), batch([0, 1, 1])
    loss = clip_loss(model, given, model=model)
    total = 0.0
    for clip, label in zip(given.clips.numpy(), [0, 1, 1], strict=True):
        pixels = (clip / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]  # T H W 3
        planes = torch.tensor(pixels.transpose(3, 0, 1, 2)[None], dtype=torch.float32)
        logits = model(planes)[0].tolist()
        total -= math.log(math.exp(logits[label]) / sum(map(math.exp, logits)))
    assert loss.item() == pytest.approx(total / 3, rel=1e-5)
    half = clip_loss(lambda clips: model(clips).half(), given, model=model)
    assert half.dtype == torch.float32


def test_a_picture_of_a_batch_shows_frames_with_both_classes():
    sheet = training_picture(tiny_action.Tiny().eval(), batch([0, 1, 1]), classes=("a", "b"))
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 3 * 96
    assert sheet.shape[1] > 4 * 96


def test_networks_of_2_d_and_3_d_convolutions_take_channels_last():
    model = tiny_action.Tiny()
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    TrainingStep(model, optimizer=optimizer, loss=lambda *_: torch.zeros(()), channels_last=True)
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.mix.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(map(torch.equal, before, model.parameters()))


def test_nesterovs_momentum_looks_ahead():
    """v = 0.9 v + g; w = w - lr (g + 0.9 v), Sutskever et al. 2013, for g = 2 w."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    optimizer = build_optimizer(layer, "sgd", lr=0.1, momentum=0.9, nesterov=True)
    weight, speed = 1.0, 0.0
    for _ in range(3):
        layer.weight.grad = 2 * layer.weight.detach()
        optimizer.step()
        gradient = 2 * weight
        speed = 0.9 * speed + gradient
        weight -= 0.1 * (gradient + 0.9 * speed)
        assert layer.weight.item() == pytest.approx(weight, rel=1e-5)
