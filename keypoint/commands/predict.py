"""Find keypoints on images and videos: keypoint predict --weights NAME --output DIR INPUT..."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keypoint import processes
from keypoint.checkpoint.generated import ONLY_GENERATED
from keypoint.commands import cli
from keypoint.commands.options.predict import BATCH_SIZE, MOST_THREADS, parse
from keypoint.commands.shares import chosen_share, log_share, predict_share
from keypoint.data.person_crops import CropPredictor
from keypoint.data.report import write_reports
from keypoint.data.synthetic.mark import are_generated
from keypoint.errors import ConfigError
from keypoint.export.onnx_predictor import OnnxPredictor
from keypoint.prediction.drawing import CROPS, PICTURES
from keypoint.prediction.inputs.find import Input, Inputs, find_inputs
from keypoint.prediction.job import Job, job_of_images, job_of_records
from keypoint.prediction.output import PredictOutput, require_free
from keypoint.prediction.persons.annotated import annotated_persons
from keypoint.prediction.persons.given import boxes_to_predict
from keypoint.prediction.run import predict, require_no_faults, stopped
from keypoint.prediction.shares.folder import SHARDS, Shards, require_no_shards
from keypoint.prediction.shares.split import Share
from keypoint.prediction.stream import detected_persons, whole_image


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    share = chosen_share(args.shard)
    require_effect(args)
    output: Path = args.output
    inputs = find_inputs(args.inputs, output, (PICTURES, CROPS, SHARDS))
    require_effect_on(args, inputs, share)
    given = (args.checkpoint, args.onnx, args.boxes, args.annotations)
    if share is None:
        require_no_shards(output)
    if share is None or not Shards(output, share.of).publishing.exists():
        require_free(output, args.overwrite, [Path(name) for name in given if name])
    if share is not None and args.shard is None:
        from keypoint.distributed import own_device

        args.device = str(own_device(args.device))
    if share is None:
        cli.log_to(output)
    else:
        log_share(args, share)
    if not args.onnx:
        args.checkpoint = cli.chosen_checkpoint(args)
    predictor = make_predictor(args)
    if share is None or share.number == 1:
        warn_of_photos(predictor, inputs)
    job = plan(args, inputs, predictor)
    if share is not None:
        predict_share(args, inputs, share, job, predictor, drawing(args, predictor), how(args))
        return
    cli.keep_log()
    for fault in inputs.faults:
        cli.logger.warning("%s", fault.text)
    results = PredictOutput(
        output,
        predictor.skeleton,
        category_id=job.category_id,
        overwrite=args.overwrite,
        **drawing(args, predictor),
    )
    with results:
        ended_by = predict(job, predictor, results, **how(args))
        if job.counts.files_used:
            results.finish()
        write_reports(output, **job.counts.reports())
    cli.print_result(job.counts.summary())
    require_no_faults(job.counts, output)
    if ended_by == signal.SIGTERM:
        raise stopped(ended_by, results.kept)


def drawing(args: argparse.Namespace, predictor: CropPredictor) -> dict[str, bool]:
    """Return the arguments of an output: what is drawn, and how."""
    names = ("pictures", "crops", "labels")
    return {name: getattr(args, name) for name in names} | {"udp": predictor.udp}


def how(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `run.predict`."""
    cores = max(1, (os.cpu_count() or 1) // processes.local_processes())
    names = ("pictures", "crops", "track", "smooth")
    return {name: getattr(args, name) for name in names} | {
        "threads": args.threads or min(MOST_THREADS, cores),
        "batch_size": args.batch_size or BATCH_SIZE,
    }


def require_effect(args: argparse.Namespace) -> None:
    """Refuse options without effect, if no file must be read to know it.

    Raises:
        ConfigError: An option is refused.
    """
    if args.boxes and not args.annotations:
        raise ConfigError(
            f"--boxes {args.boxes}: boxes refer to images by id; also give --annotations, a file "
            "with the id of each file_name (keypoint detect-boxes writes one, and "
            "keypoint convert from boxes that you drew)"
        )
    if args.labels and not args.pictures:
        raise ConfigError("--labels has no effect without --pictures; give both or neither")
    from_file = args.whole_image or (args.annotations and not args.boxes and not args.detector)
    if args.box_threshold is not None and from_file:
        raise ConfigError("--box-threshold has no effect, because no box has a score; leave it out")
    for option, instead in (
        ("flip", "give it to keypoint export"),
        ("decoding", "give it to keypoint export"),
        ("amp", "give --precision to keypoint export"),
        ("compile", "onnxruntime always optimises the network"),
    ):
        if args.onnx and getattr(args, option):
            raise ConfigError(
                f"--{option} has no effect with --onnx {args.onnx}: the exported network is fixed; "
                f"leave it out; {instead}"
            )


def require_effect_on(args: argparse.Namespace, inputs: Inputs, share: Share | None) -> None:
    """Refuse options that have no effect, or a bad effect, on these inputs.

    Raises:
        ConfigError: An option is refused.
    """
    if (args.track or args.smooth) and not any(one.is_video for one in inputs.found):
        raise ConfigError(
            f"--{'smooth' if args.smooth else 'track'} has no effect here, because no input is a "
            "video or a camera; leave it out"
        )
    if share and is_live(inputs.found):
        raise ConfigError(
            f"{share}: frames of a camera cannot be divided into shares; leave out --shard and "
            "torchrun"
        )
    if args.compile and args.batch_size is None and is_live(inputs.found):
        raise ConfigError(
            "--compile with a camera: each frame is padded to --batch-size persons, which is slow "
            "if it is large; give --batch-size N, with about as many persons as are seen"
        )


def is_live(inputs: Sequence[Input]) -> bool:
    """Return whether a camera is read."""
    return any(one.camera is not None for one in inputs)


def make_predictor(args: argparse.Namespace) -> CropPredictor:
    """Return the network given by --checkpoint or --onnx."""
    if args.onnx:
        predictor = OnnxPredictor.from_file(args.onnx, args.device)
        cli.logger.info("%s: %s", args.onnx, predictor.describe())
        return predictor
    from keypoint.commands.predict_by_torch import predictor_of

    return predictor_of(args)


def warn_of_photos(predictor: CropPredictor, inputs: Inputs) -> None:
    """Warn if a network trained only on generated figures is used on other inputs."""
    if getattr(predictor, "only_generated", False):  # a file of keypoint export does not contain it
        others = any(one.is_video for one in inputs.found)
        if others or not are_generated(one.path for one in inputs.found):
            cli.logger.warning("warning: %s", ONLY_GENERATED)


def plan(args: argparse.Namespace, inputs: Inputs, predictor: CropPredictor) -> Job:
    """Choose the files to read, their ids, and the source of the persons' boxes.

    Raises:
        DataError: The annotation or boxes file cannot be used with these inputs.
        CheckpointError: The detector's weights cannot be used.
    """
    file, skeleton = args.annotations, predictor.skeleton
    if args.boxes:
        persons = boxes_to_predict(args.boxes, file, skeleton, args.box_threshold)
        return job_of_records(inputs, persons, file)
    if args.whole_image:
        return job_of_images(inputs, whole_image, "whole images", file)
    if file and not args.detector:
        return job_of_records(inputs, annotated_persons(file, skeleton), file)
    from keypoint.commands.predict_by_torch import detector_of

    return job_of_images(inputs, detected_persons(detector_of(args)), "detected", file)
