"""Train a network on videos: keypoint train --cfg c2d_resnet50_kinetics.yaml [key=value ...]."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from keypoint import distributed
from keypoint.action.checkpoint import count_videos
from keypoint.action.config import ActionConfig, load_action_config
from keypoint.action.data.augment import (
    ClipAugmentation,
    names_with_sides,
    usual_flip_probability,
)
from keypoint.action.data.batches import TrainClips
from keypoint.action.data.videos import Videos, load_videos
from keypoint.action.evaluation.protocol import TestProtocol, protocol_of
from keypoint.action.evaluation.report import accuracy_of, save_test
from keypoint.action.evaluation.run import conditions_of, evaluate_videos
from keypoint.action.networks.build import create_model
from keypoint.action.networks.network import ActionNetwork
from keypoint.action.training import clip_loss, training_picture
from keypoint.checkpoint.card import trained_on
from keypoint.checkpoint.provenance import code_commit
from keypoint.commands import cli, training
from keypoint.commands.options.action.train import parse
from keypoint.config.load import find_config
from keypoint.data.video import silence_decoder
from keypoint.errors import DataError
from keypoint.training.step import AMP_DTYPES
from keypoint.training.validation import Validation


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    silence_decoder()
    config = load_action_config(find_config(args.cfg), args.overrides)
    training.run(args, config, partial(prepare, config), curves=("top1", "top5", "mean_class"))


def prepare(config: ActionConfig, device: torch.device, weights: bool) -> training.Prepared:
    """Read and check the data, and build the network; `weights` loads the initial weights."""
    protocol = protocol_of(config)
    data = load_data(config)  # first: weights may have to be downloaded for the network
    augmentation = build_augmentation(config, data.classes)
    model = build_model(config, len(data.classes), device, weights=weights)
    step = training.build_step(
        config, model, partial(clip_loss, model=model), nesterov=config.train.sgd_nesterov
    )
    log_step(config)
    trainer = training.build_trainer(
        config,
        step,
        TrainClips(data.train, protocol.sampling, augmentation, config.seed),
        len(data.train),
        facts={
            "classes": list(data.classes),
            "data": data.fingerprints(),
            "card": trained_on(
                code_commit(), train=count_videos(data.train), test=count_videos(data.test)
            ),
        },
        validation=build_validation(config, protocol, data),
        picture=partial(training_picture, classes=data.classes),
    )
    reports = {"train": data.train.report, "test": data.test.report}
    return training.Prepared(trainer, reports, classes=data.classes)


@dataclass(frozen=True)
class Data:
    """Videos to train and to test on, of the same classes."""

    train: Videos
    test: Videos

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.classes

    def fingerprints(self) -> dict[str, str]:
        """Return the facts stored in a checkpoint."""
        return {"train": self.train.fingerprint(), "test": self.test.fingerprint()}


def load_data(config: ActionConfig) -> Data:
    """Read and check both lists before training starts; no video is opened.

    Raises:
        DataError: A list is unreadable or faulty, a video is missing, or no video to test on has a
            label.
        ConfigError: Processes have read different videos.
    """
    given, root = config.data, Path(config.data.root)
    policy: Any = {"on_bad": given.on_bad, "max_bad": given.max_bad}
    train = load_videos(Path(given.train_list), root, part="train", classes=given.classes, **policy)
    test = load_videos(Path(given.val_list), root, part="val", classes=train.classes, **policy)
    if not (test.labels >= 0).any():
        raise DataError(
            f"{test.report.source}: no video has a label, so no accuracy can choose the best "
            "epoch; give data.val_list with labels"
        )
    data = Data(train, test)
    distributed.require_same(
        {f"the {split} videos": name for split, name in data.fingerprints().items()}
    )
    cli.logger.info("train %s\ntest  %s", train.report, test.report)
    for report in (train.report, test.report):
        for note in report.notes:
            cli.logger.warning("%s: %s", report.source, note)
    return data


def build_model(
    config: ActionConfig, num_classes: int, device: torch.device, *, weights: bool
) -> ActionNetwork:
    """Return the network on its device; `weights` loads the initial weights."""
    start: Any = {}
    if weights:
        start = config.model.start()
    return create_model(**config.model.arguments(num_classes, config.clips.frames), **start).to(
        device
    )


def log_step(config: ActionConfig) -> None:
    """Log the number of clips in a step; the learning rate is not scaled to it."""
    train, devices = config.train, distributed.world_size()
    cli.logger.info(
        "%d clips per step (train.batch_size %d x %d device%s x train.accumulate %d), train.lr %g",
        train.batch_size * devices * train.accumulate,
        train.batch_size,
        devices,
        "s" if devices > 1 else "",
        train.accumulate,
        train.lr,
    )


def build_augmentation(config: ActionConfig, classes: Sequence[str]) -> ClipAugmentation:
    """Return the augmentation, and log how it treats classes that name a side."""
    augment = config.augment
    flip, sides = augment.flip_probability, names_with_sides(classes)
    if flip is None:
        flip = usual_flip_probability(classes)
    if sides and distributed.is_main():
        told = "; set augment.flip_probability=0 if mirroring a clip changes its class"
        cli.logger.log(
            logging.WARNING if flip else logging.INFO,
            "%d classes name a side, such as %r: %s",
            len(sides),
            sides[0],
            f"{flip:.0%} of the clips are mirrored{told}" if flip else "no clip is mirrored",
        )
    return ClipAugmentation(
        config.model.input_size,
        crop=augment.crop,
        short_side=augment.short_side,
        flip_probability=flip,
    )


def build_validation(config: ActionConfig, protocol: TestProtocol, data: Data) -> Validation:
    """Score by top1; accuracies and scores go to the output folder."""

    def evaluate(
        network: ActionNetwork, check_signal: Callable[[], None]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        scores = evaluate_videos(
            network,
            data.test,
            protocol,
            batch_size=config.test.batch_size,
            workers=config.data.workers,
            amp_dtype=AMP_DTYPES[config.train.amp],
            conditions=conditions_of(config),
            after_batch=check_signal,
        )
        if distributed.is_main():
            save_test(Path(config.output or ""), scores)
        file = Path(str(scores.conditions["list"])).name
        return accuracy_of(scores).metrics(), {**scores.conditions, "list": file}

    return Validation(evaluate, metric="top1", every=config.train.evaluate_every)
