"""Train a keypoint network: keypoint train --cfg res50_384x288_srl3.yaml [key=value ...]."""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

import keypoint
from keypoint import distributed
from keypoint.checkpoint.card import trained_on
from keypoint.checkpoint.provenance import code_commit
from keypoint.checkpoint.zoo import named_weights
from keypoint.commands import cli
from keypoint.config.load import Config, describe_keys, dump_config, find_config, load_config
from keypoint.config.recipe import recipe_card, step_card
from keypoint.data.annotations import read_annotations
from keypoint.data.audit.skeletons import check_skeleton
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset, TrainSampler, train_loader
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import find_split, load_persons, select_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.persons import Annotations, Persons
from keypoint.data.report import DataReport, write_reports
from keypoint.drawing.curves import training_curves
from keypoint.errors import ConfigError
from keypoint.evaluation.published import measured_under
from keypoint.evaluation.run import evaluate_model
from keypoint.files import write_json
from keypoint.models import PoseNetwork, create_model
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.training.keypoints import keypoint_loss, training_picture
from keypoint.training.losses import build_loss
from keypoint.training.optimizer import build_optimizer, learning_rate
from keypoint.training.resume import check_same_config, shared
from keypoint.training.run_folder import RunFolder, finds_run
from keypoint.training.step import AMP_DTYPES, TrainingStep
from keypoint.training.trainer import Trainer
from keypoint.training.validation import Validation

EPILOG = """examples:
  keypoint train --cfg demo.yaml
      train on the generated demo set (make demo writes it)
  keypoint train --cfg res50_256x192_srl3.yaml data.root=/coco
      the paper's SRL-FFT row on COCO
  keypoint train --cfg res50_256x192.yaml train.epochs=1 train.amp=bf16 output=output/smoke
      keys of the config can be changed here
  keypoint train --cfg res50_256x192_srl3.yaml model.weights=pose_resnet_50.pth \\
      model.partial_weights=true
      blocks added to trained weights; the network starts with exactly their output
  keypoint train --cfg res50_256x192.yaml model.weights=mmpose/res50_256x192
      from published weights, downloaded once (keypoint weights lists them)
  keypoint train --cfg res50_256x192.yaml --resume
      continue after an interruption, as if there had been none
  torchrun --nproc_per_node 8 tools/train.py --cfg res50_256x192.yaml
      the same on 8 GPUs; the batch size is per GPU (docs/distributed.md)

The output folder gets last.pt, best.pt, config.yaml, log.txt, data_report.json, history.json,
curves.png and tensorboard events.

keys of a config, with default and what is allowed:
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    config = load_config(find_config(args.cfg), args.overrides)
    assert config.output is not None  # load_config fills it in
    output = Path(config.output)
    resuming = finds_run(output, resume=args.resume, overwrite=args.overwrite)
    device = distributed.initialise(args.device, args.process_timeout)
    folder = RunFolder(output) if distributed.is_main() else None
    try:
        trainer, reports = prepare(args, config, device, resuming=resuming)
    except BaseException:
        if folder is not None:
            folder.withdraw()
        raise
    cli.keep_log()
    if folder is not None:  # a refused --resume has changed nothing of the run
        if args.overwrite:
            folder.clear()
        (output / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        write_reports(output, **reports)
    trainer.fit()
    distributed.finish()  # not after an error: it waits for the others, who wait for this one
    if folder is not None:
        write_results(trainer, output)


def prepare(
    args: argparse.Namespace, config: Config, device: torch.device, *, resuming: bool
) -> tuple[Trainer, dict[str, DataReport]]:
    """All that may be refused: data, network and the run to resume.

    Returns:
        The training, ready to begin, and the counts of the data by split.
    """
    output = Path(config.output or "")
    is_main = distributed.is_main()
    cli.log_to(output if is_main else None, quiet=not is_main)
    distributed.require_same(
        shared(config) | {"finding last.pt in the output folder": resuming} | versions()
    )

    torch.manual_seed(config.seed)
    skeleton = load_skeleton(config.data.skeleton, Path(config.data.root))
    distributed.require_same({"the skeleton": skeleton.to_dict()})
    check_skeleton(skeleton, mirrored=config.augment.flip_probability > 0 or config.test.flip)
    data = load_data(config, skeleton)  # first: weights may have to be downloaded for the network
    model = build_model(config, skeleton, device, weights=not resuming)
    augmentation = build_augmentation(config, skeleton, model.codec)
    step = build_step(config, skeleton, model)
    log_recipe(config)
    trainer = build_trainer(config, skeleton, step, augmentation, data, output)
    if resuming:
        changes = check_same_config(
            output / "last.pt", config, skeleton, allow_changed=args.allow_changed
        )
        trainer.resume(output / "last.pt", allow_changed=args.allow_changed, changes=changes)
    elif args.resume:
        cli.logger.info("%s: does not exist, starting over", output / "last.pt")
    return trainer, {"train": data.train.report, "test": data.test.report}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = cli.parser(
        "keypoint train", "Train a keypoint network from a config.", EPILOG + describe_keys()
    )
    cli.add_config(parser, required=True)
    parser.add_argument(
        "--resume", action="store_true", help="continue from output/last.pt if it exists"
    )
    parser.add_argument(
        "--allow-changed",
        action="store_true",
        help="with --resume: although the config, the persons or the number of processes changed",
    )
    cli.add_overwrite(parser, "start over in a folder that holds another run")
    cli.add_device(parser)
    cli.add_process_timeout(parser)
    args = parser.parse_intermixed_args(argv)
    if args.resume and args.overwrite:
        raise ConfigError("--resume continues a run, --overwrite starts over; give one of them")
    if args.allow_changed and not args.resume:
        raise ConfigError("--allow-changed has no effect without --resume")
    return args


@dataclass(frozen=True)
class Data:
    """Persons to train on, boxes to test on, and the annotations to score against."""

    train: Persons
    test: Persons
    annotations: Annotations

    def fingerprints(self) -> dict[str, str]:
        """As a checkpoint has them: persons by split, and what results are scored against."""
        return {
            "train": self.train.fingerprint(),
            "test": self.test.fingerprint(),
            "truth": self.annotations.fingerprint(),
        }


def load_data(config: Config, skeleton: Skeleton) -> Data:
    """Read and check both splits, before anything is trained.

    Raises:
        DataError: A file is unreadable or faulty, or an image is missing.
        ConfigError: Processes have read different persons.
    """
    given, root = config.data, Path(config.data.root)
    train_files = find_split(root, given.train_annotations, given.train_images, "train2017")
    val_files = find_split(root, given.val_annotations, given.val_images, "val2017")
    policy: Any = {"on_bad": given.on_bad, "max_bad": given.max_bad}
    chosen: Any = {"category": given.category, **policy}
    train = load_persons(*train_files, skeleton, **chosen)
    annotations = read_annotations(*val_files, skeleton, scored=True, **chosen)
    if config.test.boxes is None:
        test = select_persons(annotations)
    else:
        threshold = config.test.box_score_threshold
        test = read_boxes(Path(config.test.boxes), annotations, threshold, **policy)
    for persons in (train, test):
        require_image_files(persons)
    data = Data(train, test, annotations)
    distributed.require_same(
        {f"the {split} persons": name for split, name in data.fingerprints().items()}
    )
    cli.logger.info("train %s\ntest  %s", train.report, test.report)
    return data


def build_model(
    config: Config, skeleton: Skeleton, device: torch.device, *, weights: bool
) -> PoseNetwork:
    """The network on its device; with `weights`, filled with those that training starts from."""
    start: Any = {}
    if weights:
        start = {
            key: getattr(config.model, key) for key in ("weights", "partial_weights", "new_head")
        }
        start["weights"] = named_weights(config.model.weights)
    model = create_model(**config.model.arguments(skeleton.num_keypoints), **start).to(device)
    model.codec.decoding(config.test.decoding)  # refused now, not after the first epoch
    return model


def build_augmentation(config: Config, skeleton: Skeleton, codec: Codec) -> Augmentation:
    """Cuts and augments the crop of a person."""
    augment = config.augment
    crop = PersonCrop(
        codec=codec,
        flip_indices=skeleton.flip_indices,
        scale=augment.scale,
        rotation=augment.rotation,
        rotation_probability=augment.rotation_probability,
        flip_probability=augment.flip_probability,
        half_body_probability=augment.half_body_probability,
        upper_body=skeleton.upper_body_indices,
    )
    return Augmentation(crop, augment.transforms)


def build_step(config: Config, skeleton: Skeleton, model: PoseNetwork) -> TrainingStep:
    """The network with its loss and optimizer."""
    train = config.train
    heatmap_loss = build_loss(
        skeleton.keypoints,
        ohkm=train.ohkm,
        keypoint_weights=train.keypoint_weights,
        device=model.pixel_mean.device,
    )
    optimizer = build_optimizer(
        model,
        train.optimizer,
        lr=train.lr,
        weight_decay=train.weight_decay,
        momentum=train.sgd_momentum or 0.0,
    )
    return TrainingStep(
        model,
        optimizer=optimizer,
        loss=partial(keypoint_loss, model=model, heatmap_loss=heatmap_loss),
        accumulate=train.accumulate,
        amp=train.amp,
        channels_last=train.channels_last,
        compile_model=train.compile,
        ema=train.ema,
    )


def log_recipe(config: Config) -> None:
    """Log what differs from the recipe; warn of a step that its learning rate is not made for."""
    cli.logger.info("recipe %s", recipe_card(config))
    step, speaks_against_lr = step_card(config, distributed.world_size())
    warned = speaks_against_lr and distributed.is_main()
    cli.logger.log(logging.WARNING if warned else logging.INFO, "%s", step)


def build_trainer(
    config: Config,
    skeleton: Skeleton,
    step: TrainingStep,
    augmentation: Augmentation,
    data: Data,
    output: Path,
) -> Trainer:
    """The training loop over the persons of `data`."""
    train = config.train
    sampler = TrainSampler(
        len(data.train),
        train.batch_size,
        seed=config.seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
    loader = train_loader(
        TrainDataset(data.train, augmentation, config.seed),
        sampler,
        config.data.workers,
        pin_memory=step.device.type == "cuda",
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
        output=output,
        facts={
            "config": config.to_dict(),
            "skeleton": skeleton.to_dict(),
            "versions": versions(),
            "data": data.fingerprints(),
            "card": trained_on(code_commit(), train=data.train, test=data.test),
        },
        validation=build_validation(config, skeleton, data, output),
        picture=partial(training_picture, skeleton=skeleton),
        save_every=train.save_every,
        log_every=train.log_every,
    )


def build_validation(config: Config, skeleton: Skeleton, data: Data, output: Path) -> Validation:
    """Score by AP; results and numbers go to the output folder."""

    def evaluate(
        network: PoseNetwork, check_signal: Callable[[], None]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        evaluation = evaluate_model(
            network,
            persons=data.test,
            annotations=data.annotations,
            skeleton=skeleton,
            amp_dtype=AMP_DTYPES[config.train.amp],
            **config.evaluation_arguments(),
            after_batch=check_signal,
        )
        if distributed.is_main():
            evaluation.save(output)
        return evaluation.metrics, measured_under(evaluation.conditions, config.train.amp)

    return Validation(evaluate, metric="AP", every=config.train.evaluate_every)


def write_results(trainer: Trainer, output: Path) -> None:
    """Write the numbers and curves of all epochs, and log the best one."""
    write_json(output / "history.json", trainer.history)
    cv2.imwrite(str(output / "curves.png"), training_curves(trainer.history)[..., ::-1])
    if trainer.best:
        ap, epoch = trainer.best["metrics"]["AP"], trainer.best["epoch"]
        cli.logger.info("best AP %.3f at epoch %d: %s", ap, epoch, output / "best.pt")


def versions() -> dict[str, str]:
    """The software that makes a checkpoint."""
    return {
        "keypoint": keypoint.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
