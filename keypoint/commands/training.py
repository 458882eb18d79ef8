"""The parts of training shared by both tasks: options, output folder, step, loop and resuming.

Each task adds its data, network, loss, evaluation and picture of a batch.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import keypoint
from keypoint import distributed
from keypoint.action.config import ActionConfig
from keypoint.commands import cli
from keypoint.commands.seeds import train_seeds
from keypoint.config.load import Config, dump_config
from keypoint.data.batches import TrainSampler, train_loader
from keypoint.data.report import DataReport, write_reports
from keypoint.drawing.curves import training_curves
from keypoint.files import write_json
from keypoint.pose.skeleton import Skeleton
from keypoint.training.log import check_logger
from keypoint.training.optimizer import build_optimizer, learning_rate
from keypoint.training.resume import check_same_config, shared
from keypoint.training.run_folder import RunFolder, finds_run
from keypoint.training.step import TrainingStep
from keypoint.training.trainer import Trainer
from keypoint.training.validation import Validation

AnyConfig = Config | ActionConfig


@dataclass(frozen=True)
class Prepared:
    """A training that has passed all checks.

    Attributes:
        trainer: The trainer, before its first epoch.
        reports: Counts of the data by split.
        skeleton: Skeleton of a keypoint network, else None.
        classes: Class names of a network that classifies, else None.
    """

    trainer: Trainer
    reports: dict[str, DataReport]
    skeleton: Skeleton | None = None
    classes: tuple[str, ...] | None = None


# Takes the device, and whether to load the initial weights.
Prepare = Callable[[torch.device, bool], Prepared]


def run(
    args: argparse.Namespace, config: AnyConfig, prepare: Prepare, curves: Sequence[str]
) -> None:
    """Train or resume in the config's output folder; with --seeds, in a subfolder for each.

    Args:
        args: Arguments from `parse`.
        config: Config with its output.
        prepare: Builds the training; raises if it is refused.
        curves: Names of the evaluation's numbers to draw over the epochs.
    """
    assert config.output is not None  # load_config fills it in
    if args.seeds is not None:
        train_seeds(args, config)
        return
    output = Path(config.output)
    resuming = finds_run(output, resume=args.resume, overwrite=args.overwrite)
    device = distributed.initialise(args.device, args.process_timeout)
    folder = RunFolder(output) if distributed.is_main() else None
    try:
        prepared = _prepare(args, config, prepare, device, resuming=resuming)
    except BaseException:
        if folder is not None:
            folder.withdraw()
        raise
    cli.keep_log()
    if folder is not None:  # a refused --resume must not change the run
        if args.overwrite:
            folder.clear()
        (output / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        write_reports(output, **prepared.reports)
    prepared.trainer.fit()
    distributed.finish()  # not after an error: it waits for the others, who wait for this one
    if folder is not None:
        write_results(prepared.trainer, output, curves)


def _prepare(
    args: argparse.Namespace,
    config: AnyConfig,
    prepare: Prepare,
    device: torch.device,
    *,
    resuming: bool,
) -> Prepared:
    """Prepare data, network and the run to resume, with all checks that may refuse them."""
    output = Path(config.output or "")
    is_main = distributed.is_main()
    cli.log_to(output if is_main else None, quiet=not is_main)
    distributed.require_same(
        shared(config) | {"finding last.pt in the output folder": resuming} | versions()
    )
    if is_main:
        check_logger(config.train.logger)
    torch.manual_seed(config.seed)
    prepared = prepare(device, not resuming)
    if resuming:
        changes = check_same_config(
            output / "last.pt",
            config,
            prepared.skeleton,
            classes=prepared.classes,
            allow_changed=args.allow_changed,
        )
        prepared.trainer.resume(
            output / "last.pt", allow_changed=args.allow_changed, changes=changes
        )
    elif args.resume:
        cli.logger.info("%s does not exist, starting", output / "last.pt")
    return prepared


def build_step(
    config: AnyConfig, model: nn.Module, loss: Callable[..., Tensor], *, nesterov: bool = False
) -> TrainingStep:
    """Return the training step: the network with its loss and optimizer.

    Args:
        config: Section `train` of the config.
        model: The network, on its device.
        loss: Loss, see `TrainingStep`.
        nesterov: Use Nesterov momentum with sgd.
    """
    train = config.train
    optimizer = build_optimizer(
        model,
        train.optimizer,
        lr=train.lr,
        weight_decay=train.weight_decay,
        momentum=train.sgd_momentum or 0.0,
        nesterov=nesterov,
    )
    return TrainingStep(
        model,
        optimizer=optimizer,
        loss=loss,
        accumulate=train.accumulate,
        amp=train.amp,
        channels_last=train.channels_last,
        compile_model=train.compile,
        ema=train.ema,
    )


def build_trainer(
    config: AnyConfig,
    step: TrainingStep,
    dataset: Dataset[Any],
    samples: int,
    *,
    facts: dict[str, Any],
    validation: Validation,
    picture: Callable[[Any, Any], Any],
) -> Trainer:
    """Return the training loop.

    Args:
        config: The whole config.
        step: The network with its loss and optimizer.
        dataset: Its `__getitems__` makes a batch of keys (epoch, index).
        samples: Length of the data set.
        facts: Keys of a checkpoint that depend on the task: `data`, `card`, and `skeleton` or
            `classes`.
        validation: Evaluates the network.
        picture: Draws a batch.
    """
    train = config.train
    sampler = TrainSampler(
        samples,
        train.batch_size,
        seed=config.seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
    cli.logger.info("%s", sampler.text())
    loader = train_loader(
        dataset, sampler, config.data.workers, pin_memory=step.device.type == "cuda"
    )
    return Trainer(
        step,
        loader=loader,
        sampler=sampler,
        learning_rate=partial(
            learning_rate,
            lr=train.lr,
            drops=train.drops,
            factor=train.lr_factor,
            warmup_steps=train.warmup_steps,
        ),
        epochs=train.epochs,
        output=Path(config.output or ""),
        facts={
            "config": config.to_dict(),
            "skeleton": None,
            "classes": None,
            "versions": versions(),
            **facts,
        },
        validation=validation,
        picture=picture,
        save_every=train.save_every,
        log_every=train.log_every,
        logger=train.logger,
    )


def write_results(trainer: Trainer, output: Path, curves: Sequence[str]) -> None:
    """Write the numbers and curves of all epochs, and log the best one."""
    write_json(output / "history.json", trainer.history)
    picture = training_curves(trainer.history, curves)
    cv2.imwrite(str(output / "curves.png"), picture[..., ::-1])
    if trainer.best and trainer.validation:
        metric, epoch = trainer.validation.metric, trainer.best["epoch"]
        value = trainer.best["metrics"][metric]
        cli.logger.info("best %s %.3f at epoch %d: %s", metric, value, epoch, output / "best.pt")


def versions() -> dict[str, str]:
    """Return the software versions stored in a checkpoint."""
    return {
        "keypoint": keypoint.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
