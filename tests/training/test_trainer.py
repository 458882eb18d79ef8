"""The loop by itself, for keypoints, on a network of one convolution and made-up batches."""

import itertools
import math
import os
import signal
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from keypoint.data.batches import TrainBatch, TrainSampler
from keypoint.errors import ConfigError, NumericsError
from keypoint.models import SimpleBaseline
from keypoint.pose.codec import Codec
from keypoint.pose.heatmap import encode
from keypoint.pose.skeleton import load_skeleton
from keypoint.training.keypoints import keypoint_loss, training_picture
from keypoint.training.losses import heatmap_loss
from keypoint.training.step import TrainingStep
from keypoint.training.stop_signal import Interrupted
from keypoint.training.trainer import Trainer
from keypoint.training.validation import Validation

SKELETON = load_skeleton("coco17")
SIZE = (32, 32)


class OneConvolution(nn.Module):
    """As much of SimpleBaseline's face as the trainer looks at."""

    color_order, input_size = "rgb", SIZE
    codec = Codec(SIZE, heatmap_sigma=1.0)
    set_colors, colors = SimpleBaseline.set_colors, SimpleBaseline.colors

    def __init__(self):
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(3), persistent=False)
        self.register_buffer("pixel_std", torch.ones(3), persistent=False)
        self.layer = nn.Conv2d(3, 17, 4, stride=4)

    def normalize(self, crops):
        return crops.permute(0, 3, 1, 2) / 255

    def forward(self, images):
        return self.layer(images)


class MadeUp:
    """A loader of batches that depend on the keys alone."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        for keys in self.sampler:
            rngs = [np.random.default_rng(key) for key in keys]
            yield TrainBatch(
                crops=torch.tensor(
                    np.stack([rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for rng in rngs])
                ),
                keypoints_crop=torch.tensor(
                    np.stack([rng.uniform(0, 32, (17, 2)) for rng in rngs])
                ),
                visibility=torch.tensor(
                    np.stack([rng.integers(0, 3, 17, dtype=np.uint8) for rng in rngs])
                ),
                image_ids=torch.tensor([1000 + index for _, index in keys]),
            )


FACTS = {
    "config": {},
    "skeleton": SKELETON.to_dict(),
    "versions": {},
    "data": {"train": "a"},
    "card": {},
}


def judged(*answers, **options):
    """A validation that answers these APs, the last one for ever."""
    aps = itertools.chain(answers, itertools.repeat(answers[-1]))
    return Validation(lambda model, check: ({"AP": next(aps)}, {}), "AP", **{"every": 1} | options)


def trainer(
    output, batch_size=4, lr=0.1, model=None, rate=None, optimizer=None, loss=heatmap_loss,
    accumulate=1, amp=None, ema=None, **options,
):  # fmt: skip
    torch.manual_seed(0)
    model = model or OneConvolution()
    sampler = TrainSampler(16, batch_size, seed=0)
    step = TrainingStep(
        model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=1.0),
        loss=partial(keypoint_loss, model=model, heatmap_loss=loss),
        accumulate=accumulate,
        amp=amp,
        channels_last=True,
        ema=ema,
    )
    return Trainer(
        step,
        loader=MadeUp(sampler),
        sampler=sampler,
        learning_rate=rate or (lambda step, epoch: lr),
        output=output,
        facts=FACTS,
        picture=partial(training_picture, skeleton=SKELETON),
        **{"epochs": 2, "log_every": 1} | options,
    )


def by_hand(epochs, batch_size, lr=0.1):
    """The same training written out."""
    torch.manual_seed(0)
    model = OneConvolution()
    sampler = TrainSampler(16, batch_size, seed=0)
    weights = []
    for epoch in range(epochs):
        sampler.set_position(epoch)
        for batch in MadeUp(sampler):
            target, weight = encode(batch.keypoints_crop, batch.visibility > 0, (8, 8), 1.0)
            loss = heatmap_loss(model(model.normalize(batch.crops)), target, weight)
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= lr * parameter.grad
            weights.append(model.layer.weight.detach().clone())
    return weights


def test_equals_a_loop_written_out(tmp_path):
    run = trainer(tmp_path)
    run.fit()
    torch.testing.assert_close(run.step.model.layer.weight, by_hand(2, 4)[-1])
    assert run.at.step == 8
    assert [record["epoch"] for record in run.history] == [1, 2]


def test_accumulated_batches_equal_one_large_one(tmp_path):
    run = trainer(tmp_path, batch_size=2, accumulate=4)
    run.fit()
    torch.testing.assert_close(run.step.model.layer.weight, by_hand(2, 8)[-1])
    assert run.at.step == 4


def test_the_last_group_of_an_epoch_may_be_smaller(tmp_path):
    run = trainer(tmp_path, batch_size=4, accumulate=3, epochs=1)
    run.fit()
    assert run.at.step == 2
    assert math.isfinite(run.history[0]["loss"])


def test_average_of_weights_by_its_formula(tmp_path):
    run = trainer(tmp_path, ema=0.8)
    run.fit()
    steps = by_hand(2, 4)
    average = steps[0]
    for weight in steps[1:]:
        average = 0.8 * average + 0.2 * weight
    evaluated = run.step.evaluated_model()
    torch.testing.assert_close(evaluated.layer.weight, average)


def test_learning_rate_follows_step_and_epoch(tmp_path):
    seen = []
    run = trainer(tmp_path, rate=lambda step, epoch: seen.append((step, epoch)) or 0.1)
    run.fit()
    assert sorted(set(seen)) == [(step, step // 4) for step in range(8)]


class Breaks(OneConvolution):
    """Answers nan at the k-th batch."""

    def __init__(self, at):
        super().__init__()
        self.calls, self.at = 0, at

    def forward(self, images):
        self.calls += self.training  # pictures for tensorboard are drawn in eval mode
        answer = super().forward(images)
        return answer * math.nan if self.training and self.calls == self.at else answer


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_a_loss_that_is_not_finite_names_step_and_images_and_is_never_saved(tmp_path, at):
    run = trainer(tmp_path, model=Breaks(at), save_every=1)
    with pytest.raises(
        NumericsError, match=rf"the loss is nan at step {at - 1}, .*image ids \[10\d\d"
    ) as error:
        run.fit()
    sampler = TrainSampler(16, 4, seed=0)
    sampler.set_position((at - 1) // 4)
    ids = [1000 + index for _, index in list(sampler)[(at - 1) % 4]]
    assert str(ids) in str(error.value)
    if (tmp_path / "last.pt").exists():
        saved = torch.load(tmp_path / "last.pt", weights_only=True)
        assert torch.isfinite(saved["model"]["layer.weight"]).all()
        assert saved["step"] < at


@pytest.mark.parametrize(("higher_is_better", "best"), [(True, (5, 0.5)), (False, (4, 0.2))])
def test_best_takes_neither_minus_one_nor_nan(tmp_path, higher_is_better, best):
    validation = judged(
        math.nan, 0.3, -1.0, 0.2, 0.5, 0.5, math.inf, higher_is_better=higher_is_better
    )
    epoch, value = best
    found = trainer(tmp_path, epochs=7, validation=validation).fit()
    assert found == {"epoch": epoch, "metrics": {"AP": value}}
    assert torch.load(tmp_path / "best.pt", weights_only=True)["epoch"] == epoch


def test_each_epoch_but_the_last_says_how_long_the_rest_takes(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="keypoint")
    clock = iter(range(0, 240, 60))  # at the start, and after each epoch
    watch = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr("keypoint.training.trainer.time", watch)
    trainer(tmp_path, epochs=3).fit()
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert [line.partition("; ")[2] for line in lines] == [
        "about 02:00 to go",
        "about 01:00 to go",
        "",
    ]


def test_the_last_epoch_is_always_evaluated(tmp_path):
    run = trainer(tmp_path, epochs=5, validation=judged(0.1, every=2))
    run.fit()
    assert [record["epoch"] for record in run.history if "metrics" in record] == [2, 4, 5]


@pytest.mark.parametrize("ema", [None, 0.9])
def test_resume_takes_the_colours_of_the_weights_that_training_began_with(tmp_path, ema):
    """`model.weights` sets them, and a resumed run does not read that file again."""
    begun = OneConvolution()
    begun.set_colors("bgr", (0.1, 0.3, 1 / 3), (0.7, 0.9, 1 / 255))
    first = trainer(tmp_path, model=begun, epochs=1, ema=ema)
    first.fit()
    second = trainer(tmp_path, epochs=2, ema=ema)
    second.resume(tmp_path / "last.pt")
    for network in (second.step.model, second.step.evaluated_model()):
        assert network.color_order == "bgr"
        assert torch.equal(network.pixel_mean, begun.pixel_mean)
        assert torch.equal(network.pixel_std, begun.pixel_std)


def test_tensorboard_has_what_it_should(tmp_path):
    numbers = {"AP": 0.4, "AR": 0.5}
    trainer(tmp_path, validation=Validation(lambda *_: (numbers, {}), "AP", every=1)).fit()
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()
    assert {
        "train/loss", "train/lr", "train/epoch_loss", "val/AP", "val/AR", "val/best_AP",
        "time/images_per_second", "time/data_share", "time/compute_share",
    } <= set(tags["scalars"])  # fmt: skip
    assert tags["images"] == ["train/crops"]
    assert "config/text_summary" in tags["tensors"]
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 9))
    shares = [events.Scalars(f"time/{kind}_share")[-1].value for kind in ("data", "compute")]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains(tmp_path, amp):
    run = trainer(tmp_path, amp=amp, epochs=3)
    run.fit()
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert run.step.model.layer.weight.dtype == torch.float32


def test_the_loss_of_a_batch_is_the_heatmap_loss_that_was_given():
    weights = torch.linspace(0.5, 2, 17)
    given = partial(heatmap_loss, hardest=3, keypoint_weights=weights)
    model, batch = OneConvolution(), next(iter(MadeUp(TrainSampler(16, 4, seed=0))))
    target, weight = encode(batch.keypoints_crop, batch.visibility > 0, (8, 8), 1.0)
    expected = given(model(batch.crops.permute(0, 3, 1, 2) / 255), target, weight)
    loss = keypoint_loss(model, batch, model=model, heatmap_loss=given)
    torch.testing.assert_close(loss, expected)


class Refuses(OneConvolution):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, images):
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "does not fit into memory (CUDA"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "does not fit into"),
        (ValueError("Expected more than 1 value per channel when"), "leaves BatchNorm one value"),
    ],
)
def test_a_batch_that_torch_refuses_is_reported_by_its_key(tmp_path, error, words):
    with pytest.raises(ConfigError) as caught:
        trainer(tmp_path, model=Refuses(error)).fit()
    assert str(caught.value).startswith(f"train.batch_size=4 {words}")


def test_other_errors_of_a_step_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="of the code"):
        trainer(tmp_path, model=Refuses(RuntimeError("a fault of the code"))).fit()


class BadGradient(OneConvolution):
    """A finite loss whose gradient is nan: 0 times the infinite slope of a root at 0."""

    def forward(self, images):
        answer = super().forward(images)
        return answer + 0 * torch.sqrt(self.layer.weight.sum() * 0) if self.training else answer


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    run = trainer(tmp_path, model=BadGradient(), save_every=1)
    with pytest.raises(NumericsError, match=r"layer\.weight is nan or inf after step 1, although"):
        run.fit()
    assert not (tmp_path / "last.pt").exists()


def test_a_signal_during_the_evaluation_ends_it_and_no_step_is_lost(tmp_path):
    reached = []

    def evaluate(model, check_signal):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("one batch")
        check_signal()
        reached.append("the next")

    run = trainer(tmp_path, validation=Validation(evaluate, "AP", every=1))
    with pytest.raises(Interrupted):
        run.fit()
    assert reached == ["one batch"]
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert (saved["epoch"], saved["batch"], saved["step"], saved["history"]) == (0, 4, 4, [])


def test_a_resumed_run_keeps_the_numbers_of_tensorboard(tmp_path):
    trainer(tmp_path, epochs=1, validation=judged(0.4)).fit()
    second = trainer(tmp_path, epochs=2, validation=judged(0.4))
    second.resume(tmp_path / "last.pt")
    second.fit()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 9))
    for tag in ("val/AP", "train/epoch_loss"):
        assert [event.step for event in events.Scalars(tag)] == [4, 8]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_worker_that_dies_with_a_signal_is_the_signals(tmp_path, stopped):
    def evaluate(model, check_signal):
        if stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    run = trainer(tmp_path, validation=Validation(evaluate, "AP", every=1))
    with pytest.raises(Interrupted if stopped else RuntimeError):
        run.fit()
