"""Which checkpoints training resumes from, and which it refuses unless allowed."""

import copy
import functools
import operator
from dataclasses import replace

import pytest
import torch
from torch import nn

from keypoint.blocks import SRL
from keypoint.checkpoint.file import KEYS, LATER, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.errors import CheckpointError
from keypoint.models import create_model
from keypoint.pose.skeleton import UNIFORM_SIGMA, Skeleton
from keypoint.training.optimizer import build_optimizer, check_state
from keypoint.training.resume import check_same_config, skeleton_changes
from keypoint.training.validation import Validation
from tests.training.test_trainer import SKELETON, OneConvolution, judged, trainer

CONFIG = config_from_dict(
    {"model": {"encoder": "resnet18", "input_size": [64, 64], "blocks": "srl_lo"}}, "test"
)


def checkpoint_of(config, path, skeleton=SKELETON):
    needed = {"format": 1, "model": {}, "epoch": 0, "config": config}
    needed["skeleton"] = skeleton.to_dict()
    colors = OneConvolution().colors()
    save_checkpoint(path, dict.fromkeys(KEYS) | needed | colors)
    return path


def test_another_config_is_refused_by_key(tmp_path, warnings):
    path = checkpoint_of(CONFIG.to_dict(), tmp_path / "a.pt")
    check_same_config(path, CONFIG, SKELETON)
    free = CONFIG.to_dict() | {"output": "elsewhere"}
    free["data"] = free["data"] | {"workers": 1, "skeleton": "the_same.yaml"}
    free["test"] = free["test"] | {"batch_size": 7, "boxes": "the_same.json"}
    check_same_config(path, config_from_dict(free, "test"), SKELETON)
    other = CONFIG.to_dict()
    other["train"] = other["train"] | {"lr": 0.5}
    with pytest.raises(CheckpointError, match=r"train.lr=0.5 \(was 0.001\); resume with the same"):
        check_same_config(path, config_from_dict(other, "test"), SKELETON)
    assert not warnings.text
    check_same_config(path, config_from_dict(other, "test"), SKELETON, allow_changed=True)
    assert "train.lr=0.5 (was 0.001); allowed by --allow-changed" in warnings.text


def test_a_checkpoint_from_before_a_key_resumes_as_if_it_had_the_default(tmp_path):
    older = CONFIG.to_dict()
    older["train"] = {**older["train"]}
    del older["train"]["recipe"], older["train"]["ohkm"]
    check_same_config(checkpoint_of(older, tmp_path / "a.pt"), CONFIG, SKELETON)


@pytest.mark.parametrize(
    ("key", "value"), [("flip", False), ("decoding", "dark"), ("oks_nms", None)]
)
def test_another_evaluation_is_refused(tmp_path, key, value):
    """The best epoch would be the best of two different numbers."""
    path = checkpoint_of(CONFIG.to_dict(), tmp_path / "a.pt")
    other = CONFIG.to_dict()
    other["test"] = other["test"] | {key: value}
    with pytest.raises(CheckpointError, match=rf"test.{key}={value!r} \(was"):
        check_same_config(path, config_from_dict(other, "test"), SKELETON)


THREE = Skeleton(
    name="three",
    keypoints=("nose", "ear_a", "ear_b"),
    pairs=(),
    edges=(("nose", "ear_a"), ("nose", "ear_b")),
    oks_sigmas=(0.067, 0.067, 0.067),
)
EDITS = {
    "sigmas": ({"oks_sigmas": (0.9, 0.067, 0.067)}, "oks_sigmas=['nose 0.9'] (was ['nose 0.067'])"),
    "pairs": ({"pairs": (("ear_a", "ear_b"),)}, "pairs=[['ear_a', 'ear_b']] (was [])"),
    "edges": ({"edges": (("nose", "ear_a"),)}, "edges=[] (was [['nose', 'ear_b']])"),
    "a name": (
        {"keypoints": ("nose", "ear_a", "mouth"), "edges": (("nose", "ear_a"), ("nose", "mouth"))},
        "keypoints=['mouth'] (was ['ear_b'])",
    ),
    "order": (
        {"keypoints": ("nose", "ear_b", "ear_a")},
        "keypoints=['ear_b', 'ear_a'] (was ['ear_a', 'ear_b'])",
    ),
    "upper body": ({"upper_body": ("nose",)}, "upper_body=['nose'] (was [])"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_skeleton_is_another_config(tmp_path, warnings, edit):
    path = checkpoint_of(CONFIG.to_dict(), tmp_path / "a.pt", THREE)
    changes, words = EDITS[edit]
    edited = replace(THREE, **changes)
    with pytest.raises(CheckpointError) as caught:
        check_same_config(path, CONFIG, edited)
    said = str(caught.value)
    assert f"was trained with another config: skeleton.{words}; resume with the same" in said
    assert said.endswith("or allow it with --allow-changed")
    allowed = check_same_config(path, CONFIG, edited, allow_changed=True)
    assert words in allowed[0]
    assert words in warnings.text


def test_what_changes_nothing_of_a_skeleton_is_no_change():
    pairs = (("a", "b"), ("c", "d"))
    one = Skeleton("one", tuple("abcde"), pairs, pairs, (UNIFORM_SIGMA,) * 5, tuple("abcd"))
    other = replace(
        one, name="x", pairs=pairs[::-1], edges=pairs[::-1], upper_body=tuple("dcba"), uniform_sigmas=True
    )  # fmt: skip
    assert skeleton_changes(one, other) == []


def a_run(folder, **options):
    """Adam with averaged weights: all the state that a run can have."""
    torch.manual_seed(0)
    model = OneConvolution()
    adam = torch.optim.Adam(model.parameters())
    return trainer(folder, model=model, optimizer=adam, ema=0.9, epochs=2, **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint in the middle of a run."""
    folder = tmp_path_factory.mktemp("run")
    breaks = Validation(lambda model, check_signal: 1 / 0, "AP", every=1)
    begun = a_run(folder, save_every=3, validation=breaks)
    with pytest.raises(ZeroDivisionError):
        begun.fit()
    path = folder / "last.pt"
    return path, torch.load(path, weights_only=True)


def test_an_evaluation_that_breaks_off_loses_no_step(saved, tmp_path):
    path, content = saved
    assert (content["epoch"], content["batch"], content["step"]) == (0, 4, 4)
    whole = a_run(tmp_path, validation=judged(0.5))
    whole.fit()
    second = a_run(tmp_path, validation=judged(0.5))
    second.resume(path)
    second.fit()
    assert torch.equal(second.step.model.layer.weight, whole.step.model.layer.weight)
    assert second.history == whole.history


def altered(content, *keys, by=None):
    """A copy with the value at these keys changed by a function; without it if there is none."""
    changed = copy.deepcopy(content)
    *above, last = keys
    place = functools.reduce(operator.getitem, above, changed)
    value = place.pop(last)
    if by:
        place[last] = by(value)
    return changed


WEIGHT = "layer.weight"
DAMAGES = {
    "weight missing": (lambda c: altered(c, "model", WEIGHT), f"{WEIGHT} is missing"),
    "weight too many": (
        lambda c: c | {"model": c["model"] | {"x": torch.ones(1)}},
        "x is unexpected",
    ),
    "half": (
        lambda c: altered(c, "model", WEIGHT, by=torch.Tensor.half),
        f"{WEIGHT} is torch.float16",
    ),
    "one more axis": (
        lambda c: altered(c, "model", WEIGHT, by=lambda t: t[None]),
        f"{WEIGHT} is torch.float32 \\(1, 17",
    ),
    "nan": (
        lambda c: altered(c, "model", WEIGHT, by=lambda t: t * torch.nan),
        r"1 tensors with nan or inf \(not finite\)",
    ),
    "average nan": (
        lambda c: altered(c, "ema", WEIGHT, by=lambda t: t * torch.inf),
        r"1 tensors with nan or inf \(not finite\)",
    ),
    "momentum nan": (
        lambda c: altered(c, "optimizer", "state", 0, "exp_avg", by=lambda t: t * torch.nan),
        r"1 tensors with nan or inf \(not finite\), such as optimizer\.",
    ),
    "no average": (lambda c: c | {"ema": None}, "train.ema was off"),
    "a parameter's momentum": (
        lambda c: altered(c, "optimizer", "state", 1, "exp_avg"),
        "state of parameter 1 has",
    ),
    "a parameter's state": (
        lambda c: altered(c, "optimizer", "state", 0),
        r"state of parameter 0 has \[\]",
    ),
    "momentum's shape": (
        lambda c: altered(c, "optimizer", "state", 0, "exp_avg", by=lambda t: t[:1]),
        r"exp_avg of parameter 0 is \(1, 3, 4, 4\)",
    ),
    "another optimizer": (
        lambda c: c | {"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))]).state_dict()},
        "groups are from another optimizer",
    ),
    "another group": (
        lambda c: altered(c, "optimizer", "param_groups", by=lambda g: [g[0] | {"params": [1, 0]}]),
        "groups have other parameters",
    ),
    "imported": (lambda c: c | {"optimizer": None}, "contains weights but no training state"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_state_that_is_not_whole_is_refused(saved, tmp_path, name):
    path, content = saved
    damage, words = DAMAGES[name]
    save_checkpoint(tmp_path / "a.pt", damage(content))
    with pytest.raises(CheckpointError, match=f"a.pt: .*{words}"):
        a_run(tmp_path).resume(tmp_path / "a.pt")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in LATER])
def test_every_key_is_needed(saved, tmp_path, key):
    """But for those that came later: files without them are as good (test_card.py)."""
    torch.save(altered(saved[1], key), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=rf"a.pt: .*missing \['{key}'\]"):
        a_run(tmp_path).resume(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"train": "0123"}}, "trained with other train persons (fingerprint 0123, now"),
        (
            {"data": {"train": "a", "truth": "b"}},
            "scored with other annotations (fingerprint b, now",
        ),
        ({"world_size": 3}, "trained with 3 process(es), now there are 1"),
    ],
)
def test_another_run_is_refused_unless_allowed(saved, tmp_path, warnings, change, words):
    path, content = saved
    save_checkpoint(tmp_path / "a.pt", content | change)
    run = a_run(tmp_path)
    run.facts = run.facts | {"data": {"train": "a", "truth": "c"}}
    with pytest.raises(CheckpointError, match="or allow it with --allow-changed") as error:
        run.resume(tmp_path / "a.pt")
    assert words in str(error.value)
    run.resume(tmp_path / "a.pt", allow_changed=True)
    assert words in warnings.text
    assert run.at.batch == 4


def test_batches_of_another_size_resume_at_the_same_person(saved, tmp_path):
    path, content = saved
    save_checkpoint(tmp_path / "a.pt", content | {"batch": 3})
    run = a_run(tmp_path, batch_size=2)
    run.resume(tmp_path / "a.pt")
    assert run.at.batch == 6


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "plain sgd"])
def test_every_parameter_of_a_network_has_its_state(name):
    """Otherwise a checkpoint of such a network would be refused."""
    model = create_model("resnet18", input_size=(64, 64), blocks="srl_lo")
    momentum = 0.0 if name == "plain sgd" else 0.9
    optimizer = build_optimizer(model, name.split()[-1], momentum=momentum)
    check_state(optimizer.state_dict(), optimizer, 0)
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    check_state(optimizer.state_dict(), optimizer, 1)
    if name != "plain sgd":
        with pytest.raises(ValueError, match="state of parameter 0 has"):
            check_state(optimizer.state_dict() | {"state": {}}, optimizer, 1)


def test_the_optimizers_options_are_the_configs(saved, tmp_path):
    """With --allow-changed they may be others than those saved."""
    path, content = saved
    changed = altered(content, "optimizer", "param_groups", by=lambda g: [g[0] | {"betas": "text"}])
    save_checkpoint(tmp_path / "a.pt", changed)
    run = a_run(tmp_path)
    run.resume(tmp_path / "a.pt")
    assert run.step.optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert torch.equal(
        run.step.optimizer.state_dict()["state"][0]["exp_avg"],
        content["optimizer"]["state"][0]["exp_avg"],
    )


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps_whatever_their_number(tmp_path):
    first = a_run(tmp_path, batch_size=2, save_every=4)
    first.step.require_finite = lambda step: 1 / 0 if step > 4 else None
    with pytest.raises(ZeroDivisionError):
        first.fit()
    second = a_run(tmp_path, batch_size=4)
    second.resume(tmp_path / "last.pt", allow_changed=True)
    begun = second.at.loss_sum
    assert (second.at.batch, second.at.losses) == (2, 4)
    later, agree = [], second._agree

    def heard(pending):
        later.extend(float(loss) for loss, *_ in second._losses[: len(second._losses) - pending])
        return agree(pending)

    second._agree = heard
    second.epochs = 1
    second.fit()
    assert len(later) == 2
    assert second.history[0]["loss"] == pytest.approx((begun + sum(later)) / 6)


class WithLearnedTransform(OneConvolution):
    """Its average of weights is not orthogonal by itself."""

    def __init__(self):
        super().__init__()
        self.block = SRL(17, size=(8, 8), transform="lo", ratio=1, groups=1)
        nn.init.ones_(self.block.alpha)

    def forward(self, images):
        return self.block(self.layer(images))


def test_an_average_saved_between_evaluations_is_orthogonal_and_resumes_to_the_bit(tmp_path):
    def a_run(folder, **options):
        folder.mkdir()
        torch.manual_seed(0)
        model = WithLearnedTransform()
        adam = torch.optim.Adam(model.parameters())
        return trainer(folder, model=model, optimizer=adam, ema=0.5, lr=0.01, **options)

    whole = a_run(tmp_path / "whole")
    whole.fit()
    stopped = a_run(tmp_path / "stopped", save_every=3)
    save = stopped.save

    def save_once(name):
        save(name)
        raise InterruptedError

    stopped.save = save_once
    with pytest.raises(InterruptedError):
        stopped.fit()
    saved = torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)
    p = saved["ema"]["block.transform.P"].double()
    assert (p.T @ p - torch.eye(8)).abs().max() <= 1e-6
    assert not torch.equal(p.float(), saved["model"]["block.transform.P"])
    second = a_run(tmp_path / "second")
    second.resume(tmp_path / "stopped" / "last.pt")
    second.fit()
    for name, tensor in whole.step.average.module.state_dict().items():
        assert torch.equal(second.step.average.module.state_dict()[name], tensor), name
