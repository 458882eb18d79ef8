"""Train a keypoint network: keypoint train --cfg res50_384x288_srl3.yaml [key=value ...]."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypoint import distributed
from keypoint.checkpoint.card import count_persons, trained_on
from keypoint.checkpoint.provenance import code_commit
from keypoint.checkpoint.zoo import named_weights
from keypoint.commands import cli, training
from keypoint.commands.options.train import parse
from keypoint.config.load import Config, find_config, load_config
from keypoint.config.recipe import recipe_card, step_card
from keypoint.data.annotations import read_annotations
from keypoint.data.audit.skeletons import check_skeleton
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainBatch, TrainDataset
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import find_split, load_persons, select_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.persons import Annotations, Persons
from keypoint.evaluation.published import measured_under
from keypoint.evaluation.run import evaluate_model
from keypoint.models import PoseNetwork, create_model
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.training.keypoints import keypoint_loss, training_picture
from keypoint.training.losses import build_loss
from keypoint.training.step import AMP_DTYPES, Forward
from keypoint.training.validation import Validation


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    config = load_config(find_config(args.cfg), args.overrides)
    training.run(args, config, partial(prepare, config), curves=("AP", "AP50", "AR"))


def prepare(config: Config, device: torch.device, weights: bool) -> training.Prepared:
    """Read and check the data, and build the network; `weights` loads the initial weights."""
    skeleton = load_skeleton(config.data.skeleton, Path(config.data.root))
    distributed.require_same({"the skeleton": skeleton.to_dict()})
    check_skeleton(skeleton, mirrored=config.augment.flip_probability > 0 or config.test.flip)
    data = load_data(config, skeleton)  # first: weights may have to be downloaded for the network
    model = build_model(config, skeleton, device, weights=weights)
    augmentation = build_augmentation(config, skeleton, model.codec)
    step = training.build_step(config, model, build_loss_of(config, skeleton, model))
    log_recipe(config, len(data.train))
    trainer = training.build_trainer(
        config,
        step,
        TrainDataset(data.train, augmentation, config.seed),
        len(data.train),
        facts={
            "skeleton": skeleton.to_dict(),
            "data": data.fingerprints(),
            "card": trained_on(
                code_commit(), train=count_persons(data.train), test=count_persons(data.test)
            ),
        },
        validation=build_validation(config, skeleton, data),
        picture=partial(training_picture, skeleton=skeleton),
    )
    reports = {"train": data.train.report, "test": data.test.report}
    return training.Prepared(trainer, reports, skeleton=skeleton)


@dataclass(frozen=True)
class Data:
    """Persons to train on, boxes to test on, and the annotations to score with."""

    train: Persons
    test: Persons
    annotations: Annotations

    def fingerprints(self) -> dict[str, str]:
        """Return the facts stored in a checkpoint: persons by split, and the annotations."""
        return {
            "train": self.train.fingerprint(),
            "test": self.test.fingerprint(),
            "truth": self.annotations.fingerprint(),
        }


def load_data(config: Config, skeleton: Skeleton) -> Data:
    """Read and check both splits, before training starts.

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
    """Return the network on its device; `weights` loads the initial weights."""
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
    """Return the augmentation, which cuts and augments the crop of a person."""
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


def build_loss_of(
    config: Config, skeleton: Skeleton, model: PoseNetwork
) -> Callable[[Forward, TrainBatch], Tensor]:
    """Return the loss of a batch of crops."""
    heatmap_loss = build_loss(
        skeleton.keypoints,
        ohkm=config.train.ohkm,
        keypoint_weights=config.train.keypoint_weights,
        device=model.pixel_mean.device,
    )
    return partial(keypoint_loss, model=model, heatmap_loss=heatmap_loss)


def log_recipe(config: Config, num_crops: int) -> None:
    """Log differences from the recipe; warn if the learning rate does not fit the batch."""
    cli.logger.info("recipe %s", recipe_card(config))
    step, speaks_against_lr = step_card(config, distributed.world_size(), num_crops)
    warned = speaks_against_lr and distributed.is_main()
    cli.logger.log(logging.WARNING if warned else logging.INFO, "%s", step)


def build_validation(config: Config, skeleton: Skeleton, data: Data) -> Validation:
    """Score by AP; results and numbers go to the output folder."""
    output = Path(config.output or "")

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
