"""Train a keypoint network: keypoint train --cfg res50_384x288_srl3.yaml [key=value ...]."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

import keypoint
from keypoint import distributed
from keypoint.checkpoint.card import trained_on
from keypoint.checkpoint.provenance import code_commit
from keypoint.commands import cli
from keypoint.config.load import describe_keys, dump_config, find_config, load_config
from keypoint.config.recipe import recipe_card, step_card
from keypoint.data.annotations import read_annotations
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset, TrainSampler, train_loader
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import find_split, load_persons, select_persons
from keypoint.data.image_files import require_image_files
from keypoint.data.report import write_reports
from keypoint.drawing.curves import training_curves
from keypoint.errors import ConfigError
from keypoint.evaluation.published import measured_under
from keypoint.evaluation.run import evaluate_model
from keypoint.files import write_json
from keypoint.models import SimpleBaseline, create_model
from keypoint.pose.skeleton import load_skeleton
from keypoint.training.losses import build_loss
from keypoint.training.optimization import build_optimizer, learning_rate
from keypoint.training.resume import check_same_config, shared
from keypoint.training.run_folder import RunFolder
from keypoint.training.step import AMP_DTYPES
from keypoint.training.stop_signal import StopSignal
from keypoint.training.trainer import Trainer

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
  keypoint train --cfg res50_256x192.yaml --resume
      go on after an interruption, as if there had been none
  torchrun --nproc_per_node 8 tools/train.py --cfg res50_256x192.yaml
      the same on 8 GPUs; the batch size is per GPU (docs/distributed.md)

The output folder gets last.pt, best.pt, config.yaml, log.txt, data_report.json, history.json,
curves.png and tensorboard events.

keys of a config, with default and what is allowed:
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint train", "Train a keypoint network from a config.", EPILOG + describe_keys()
    )
    cli.add_config(parser, required=True)
    parser.add_argument(
        "--resume", action="store_true", help="go on from output/last.pt if it is there"
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
        raise ConfigError("--resume goes on with a run, --overwrite begins anew; give one of them")
    if args.allow_changed and not args.resume:
        raise ConfigError("--allow-changed has no effect without --resume")
    config = load_config(find_config(args.cfg), args.overrides)
    output = Path(config.output)
    last = output / "last.pt"
    there = [name for name in ("last.pt", "best.pt", "history.json") if (output / name).exists()]
    if there and not args.resume and not args.overwrite:
        raise ConfigError(
            f"{output} holds another run; --resume goes on with it, --overwrite begins anew, "
            "output=DIR goes elsewhere"
        )
    if there and args.resume and not last.exists():
        raise ConfigError(
            f"{output} holds {' and '.join(there)} of another run, but no last.pt to resume from; "
            "--overwrite begins anew, output=DIR goes elsewhere"
        )
    device = distributed.initialise(args.device, args.process_timeout)
    folder = RunFolder(output) if distributed.is_main() else None
    cli.log_to(output, quiet=not distributed.is_main())
    resuming = args.resume and last.exists()
    distributed.require_same(
        shared(config) | {"finding last.pt in the output folder": resuming} | versions()
    )
    torch.manual_seed(config.seed)
    skeleton = load_skeleton(config.data.skeleton, Path(config.data.root))

    train_files = find_split(
        Path(config.data.root), config.data.train_annotations, config.data.train_images, "train2017"
    )
    val_files = find_split(
        Path(config.data.root), config.data.val_annotations, config.data.val_images, "val2017"
    )
    model = create_model(
        config.model.encoder,
        blocks=config.model.blocks,
        input_size=config.model.input_size,
        num_keypoints=skeleton.num_keypoints,
        encoder_stride=config.model.encoder_stride,
        dilated=config.model.dilated,
        weights=None if resuming else config.model.weights,
        partial_weights=config.model.partial_weights and not resuming,
        codec=config.model.codec,
        heatmap_sigma=config.model.heatmap_sigma,
    ).to(device)
    model.codec.decoding(config.test.decoding)  # refused now, not after the first epoch
    augmentation = Augmentation(
        PersonCrop(
            codec=model.codec,
            flip_indices=skeleton.flip_indices,
            scale=config.augment.scale,
            rotation=config.augment.rotation,
            rotation_probability=config.augment.rotation_probability,
            flip_probability=config.augment.flip_probability,
            half_body_probability=config.augment.half_body_probability,
            upper_body=skeleton.upper_body_indices,
        ),
        config.augment.transforms,
    )

    loss = build_loss(
        skeleton.keypoints,
        ohkm=config.train.ohkm,
        keypoint_weights=config.train.keypoint_weights,
        device=device,
    )

    policy: Any = {"on_bad": config.data.on_bad, "max_bad": config.data.max_bad}
    persons = load_persons(*train_files, skeleton, **policy)
    truth = read_annotations(*val_files, skeleton, scored=True, **policy)
    if config.test.boxes is None:
        val_persons = select_persons(truth)
    else:
        threshold = config.test.box_score_threshold
        val_persons = read_boxes(Path(config.test.boxes), truth, threshold, **policy)
    # Now, not after the first epoch.
    for records in (persons, val_persons):
        require_image_files(records)
    data = {"train": persons.fingerprint(), "test": val_persons.fingerprint()}
    distributed.require_same({f"the {split} persons": name for split, name in data.items()})
    cli.logger.info("train %s\ntest  %s", persons.report, val_persons.report)
    cli.logger.info("recipe %s", recipe_card(config))
    step, speaks_against_lr = step_card(config, distributed.world_size())
    warned = speaks_against_lr and distributed.is_main()
    cli.logger.log(logging.WARNING if warned else logging.INFO, "%s", step)
    sampler = TrainSampler(
        len(persons),
        config.train.batch_size,
        seed=config.seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
    dataset = TrainDataset(persons, augmentation, config.seed)
    loader = train_loader(dataset, sampler, config.data.workers, pin_memory=device.type == "cuda")

    # Not the trainer itself: as a ring of references it would keep the workers to the very end,
    # when they can only be killed.
    stop_signal = StopSignal()

    def evaluate(network: SimpleBaseline) -> tuple[dict[str, float], dict[str, Any]]:
        evaluation = evaluate_model(
            network,
            persons=val_persons,
            annotations=truth,
            skeleton=skeleton,
            batch_size=config.test.batch_size,
            workers=config.data.workers,
            flip=config.test.flip,
            decoding=config.test.decoding,
            amp_dtype=AMP_DTYPES[config.train.amp],
            nms=config.test.oks_nms,
            nms_threshold=config.test.oks_nms_threshold,
            keypoint_threshold=config.test.keypoint_threshold,
            after_batch=stop_signal.check,
        )
        if distributed.is_main():
            evaluation.save(output)
        return evaluation.metrics, measured_under(evaluation.conditions, config.train.amp)

    trainer = Trainer(
        model,
        loader=loader,
        sampler=sampler,
        optimizer=build_optimizer(
            model,
            config.train.optimizer,
            lr=config.train.lr,
            weight_decay=config.train.weight_decay,
            momentum=config.train.sgd_momentum or 0.0,
        ),
        learning_rate=partial(
            learning_rate,
            lr=config.train.lr,
            drops=config.train.drops,
            factor=config.train.lr_factor,
            warmup_steps=config.train.warmup_steps,
        ),
        loss=loss,
        epochs=config.train.epochs,
        output=output,
        evaluate=evaluate,
        evaluate_every=config.train.evaluate_every,
        save_every=config.train.save_every,
        log_every=config.train.log_every,
        accumulate=config.train.accumulate,
        amp=config.train.amp,
        channels_last=config.train.channels_last,
        compile_model=config.train.compile,
        ema=config.train.ema,
        card={
            "config": config.to_dict(),
            "skeleton": skeleton.to_dict(),
            "versions": versions(),
            "data": data,
            "card": trained_on(code_commit(), train=persons, test=val_persons),
        },
        stop_signal=stop_signal,
    )
    if resuming:
        changes = check_same_config(last, config, allow_changed=args.allow_changed)
        trainer.resume(last, allow_changed=args.allow_changed, changes=changes)
    elif args.resume:
        cli.logger.info("%s: not there, beginning anew", last)
    if folder is not None:  # a refused --resume has changed nothing of the run
        if args.overwrite:
            folder.clear()
        (output / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        write_reports(output, train=persons.report, test=val_persons.report)
    best = trainer.fit()
    distributed.finish()  # not after an error: it waits for the others, who wait for this one
    if distributed.is_main():
        write_json(output / "history.json", trainer.history)
        cv2.imwrite(str(output / "curves.png"), training_curves(trainer.history)[..., ::-1])
        if best:
            cli.logger.info(
                "best AP %.3f at epoch %d: %s",
                best["metrics"]["AP"],
                best["epoch"],
                output / "best.pt",
            )


def versions() -> dict[str, str]:
    """What made a checkpoint."""
    return {
        "keypoint": keypoint.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
