"""The trainer knows no task: a linear classifier, judged by accuracy and by its error."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from keypoint.data.batches import TrainSampler
from keypoint.errors import CheckpointError, NumericsError
from keypoint.training.step import TrainingStep
from keypoint.training.trainer import Trainer
from keypoint.training.validation import Validation
from tests.training.test_trainer import FACTS


@dataclass
class Points:
    """A batch of points with their class."""

    x: torch.Tensor
    label: torch.Tensor
    numbers: list[int]

    def __len__(self):
        return len(self.x)

    def origin(self):
        return f"points {self.numbers}"


class Plane:
    """Points of a plane, with the side of a line that they are on; a loader by keys."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.x = torch.tensor(np.random.default_rng(0).normal(size=(64, 2)), dtype=torch.float32)
        self.label = (self.x @ torch.tensor([1.0, -2.0]) > 0.3).long()

    def __iter__(self):
        for keys in self.sampler:
            rows = [index for _, index in keys]
            yield Points(self.x[rows], self.label[rows], rows)


class Classifier(nn.Linear):
    def colors(self):
        return {"color_order": "rgb", "mean": [0.0] * 3, "std": [1.0] * 3}

    def set_colors(self, color_order, mean, std):
        assert (color_order, mean, std) == tuple(self.colors().values())


def loss(forward, batch):
    return cross_entropy(forward(batch.x), batch.label)


def run(output, metric="accuracy", higher_is_better=True, epochs=4, rate=None, **options):
    torch.manual_seed(0)
    model = Classifier(2, 2)
    sampler = TrainSampler(64, 16, seed=0)
    plane = Plane(sampler)

    def evaluate(network, check_signal):
        assert not network.training
        with torch.no_grad():
            right = (network(plane.x).argmax(1) == plane.label).float().mean().item()
        return {"accuracy": right, "error": 1 - right}, {"points": 64}

    step = TrainingStep(model, optimizer=torch.optim.Adam(model.parameters()), loss=loss, **options)
    return Trainer(
        step,
        loader=plane,
        sampler=sampler,
        learning_rate=rate or (lambda step, epoch: 0.1),
        epochs=epochs,
        output=output,
        facts=FACTS,
        validation=Validation(evaluate, metric, higher_is_better, every=1),
        picture=lambda network, batch: np.zeros((4, 4, 3), np.uint8),
        log_every=1,
    )


@pytest.mark.parametrize(("metric", "higher_is_better"), [("accuracy", True), ("error", False)])
def test_a_classifier_learns_and_its_best_epoch_is_kept(tmp_path, metric, higher_is_better):
    trainer = run(tmp_path, metric, higher_is_better)
    best = trainer.fit()
    values = [record["metrics"][metric] for record in trainer.history]
    wanted = max(values) if higher_is_better else min(values)
    assert best["metrics"][metric] == wanted
    assert best["metrics"]["accuracy"] > 0.9
    assert best["epoch"] == values.index(wanted) + 1
    assert torch.load(tmp_path / "best.pt", weights_only=True)["epoch"] == best["epoch"]
    assert trainer.history[0]["conditions"] == {"points": 64}


@pytest.mark.parametrize("options", [{}, {"ema": 0.8}, {"accumulate": 3}], ids=str)
def test_a_resumed_run_equals_a_whole_one(tmp_path, options):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = run(tmp_path / "whole", **options)
    whole.fit()
    run(tmp_path / "parts", epochs=2, **options).fit()
    second = run(tmp_path / "parts", **options)
    second.resume(tmp_path / "parts" / "last.pt")
    second.fit()
    assert second.history == whole.history
    assert torch.equal(second.step.model.weight, whole.step.model.weight)


def test_a_run_judged_by_another_metric_is_not_resumed(tmp_path):
    run(tmp_path, epochs=1).fit()
    content = torch.load(tmp_path / "last.pt")
    content["best"] = {"epoch": 1, "metrics": {"AP": 0.5}}
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: its best epoch has no accuracy"):
        run(tmp_path).resume(tmp_path / "last.pt")


def test_a_loss_that_is_not_finite_names_the_samples_of_the_task(tmp_path):
    with pytest.raises(NumericsError, match=r"the loss is nan at step 1, .*, points \[\d+, \d+"):
        run(tmp_path, rate=lambda step, epoch: float("nan")).fit()
