"""Find keypoints on images and videos: keypoint predict --weights NAME --output DIR INPUT..."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keypoint.checkpoint.generated import ONLY_GENERATED
from keypoint.commands import cli
from keypoint.commands.shares import chosen_share, log_share, predict_share, share_option
from keypoint.data.person_crops import CropPredictor
from keypoint.data.report import write_reports
from keypoint.data.synthetic.mark import are_generated
from keypoint.distributed import choose_device, local_processes, own_device
from keypoint.errors import ConfigError
from keypoint.export.onnx_predictor import OnnxPredictor
from keypoint.prediction.detector import DETECTOR_SCORE, DETECTORS, HOG, load_detector
from keypoint.prediction.drawing import CROPS, PICTURES
from keypoint.prediction.inputs import Input, Inputs, find_inputs
from keypoint.prediction.job import Job, job_of_images, job_of_records
from keypoint.prediction.output import PredictOutput, require_free
from keypoint.prediction.persons.annotated import annotated_persons
from keypoint.prediction.persons.given import GIVEN_SCORE, OVERLAP, boxes_to_predict
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.run import predict, require_no_faults, stopped
from keypoint.prediction.shares.folder import SHARDS, Shards, require_no_shards
from keypoint.prediction.shares.split import Share
from keypoint.prediction.stream import detected_persons, whole_image
from keypoint.training.step import AMP_DTYPES

BATCH_SIZE = 32  # persons
MOST_THREADS = 8

EPILOG = f"""examples:
  keypoint predict --weights res50_256x192 --output out --pictures photo.jpg
      a published network, downloaded once (keypoint weights lists them), and every person drawn
  keypoint predict --checkpoint best.pt --output out photo.jpg another.png
      persons by a detector, whose weights torchvision downloads once
  keypoint predict --checkpoint best.pt --output out --pictures holiday
      a folder with those below it, images and videos; with all persons drawn in out/pictures
  keypoint predict --checkpoint best.pt --output out --pictures --flip 'clips/*.mp4'
      videos that match a pattern, each drawn as a video; --flip takes twice the time and is better
  keypoint predict --checkpoint best.pt --output out --pictures --smooth clip.mp4
      persons keep their numbers from frame to frame, and keypoints are smoothed over time
  keypoint predict --checkpoint best.pt --output out --pictures --track camera
      the first camera (camera:1 is the second) until Ctrl-C
  keypoint predict --checkpoint best.pt --output out --whole-image --crops crops
      images that show one person each; with each crop and its heatmaps in out/crops
  keypoint predict --checkpoint best.pt --output out --detector fasterrcnn.pth street.mp4
      a detector from a file (of {DETECTORS[0]}; NAME:FILE for another one)
  keypoint predict --checkpoint best.pt --output out --detector {HOG} street.jpg
      without network: finds whole, standing persons, and misses many (docs/prediction.md)
  keypoint predict --checkpoint best.pt --output out --annotations instances.json \\
      --boxes boxes.json images
      boxes of another detector; the annotation file says which image has which id. Boxes of a
      score under {GIVEN_SCORE} and doubles (IoU over {OVERLAP} with a better box) are left out and
      counted, unless no box has a score or all have the same. One wholly outside its image is
      named, and the exit status is 3
  keypoint predict --checkpoint best.pt --output out --annotations person_keypoints.json images
      the boxes of the annotated persons; all boxes of a file without keypoints
  keypoint predict --onnx model.onnx --output out photo.jpg
      a network that keypoint export wrote, run by onnxruntime
  torchrun --nproc_per_node 2 -m keypoint predict --checkpoint best.pt --output out holiday
      on two GPUs, each with its share of the images and videos; the output is that of one process
  keypoint predict --checkpoint best.pt --output out \\
      --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT holiday
      one share, in a job of sbatch --array=1-8; the task that does the last share merges all
  keypoint predict --checkpoint best.pt --output out -- -x.jpg
      a name that begins with a dash

Writes to DIR: records.jsonl, a JSON object per line for each image or frame, in their order: file,
size, boxes, keypoints and scores, empty lists if no person is found; results.json, the same in the
form of COCO's results; data_report.json, the fate of every file; log.txt.

A keypoint's score is the peak of its heatmap: about 0 (not there) to 1 (sure), not a probability.
Keypoints up to 0.2 are written, but neither drawn nor tracked.

Images and frames are numbered from 1 in the order of the inputs (a broken image keeps its number).
With --annotations they have its ids, are taken as stored, and must have the sizes it says. Without,
photos are turned upright by their EXIF orientation, and keypoints refer to the upright photo.

A camera gives its newest frame; those that came in the meantime are counted as passed over. A video
of it keeps its time. Ctrl-C ends it, with everything written.

A file that cannot be read is named and counted, all others are processed, and the exit status is 3.
A share is kept in DIR/shards until all are merged. The same command again continues what was
stopped or lost and keeps what is done; shares of other inputs, weights or options are refused.
Existing results are not overwritten without --overwrite. URLs are refused: nothing but weights is
downloaded.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = make_parser().parse_args(argv)
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
    print(job.counts.summary())
    require_no_faults(job.counts, output)
    if ended_by == signal.SIGTERM:
        raise stopped(ended_by, results.kept)


def drawing(args: argparse.Namespace, predictor: CropPredictor) -> dict[str, bool]:
    """Arguments of an output: what is drawn, and how."""
    names = ("pictures", "crops", "labels")
    return {name: getattr(args, name) for name in names} | {"udp": predictor.udp}


def how(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `run.predict`."""
    cores = max(1, (os.cpu_count() or 1) // local_processes())
    names = ("pictures", "crops", "track", "smooth")
    return {name: getattr(args, name) for name in names} | {
        "threads": args.threads or min(MOST_THREADS, cores),
        "batch_size": args.batch_size or BATCH_SIZE,
    }


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint predict", "Find the keypoints of persons on images and videos.", EPILOG
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image, video, folder, pattern, or camera")
    network = cli.add_network(parser)
    network.add_argument("--onnx", type=Path, metavar="FILE", help="a file of keypoint export")
    cli.add_output_folder(parser, "made if it does not exist")
    persons = parser.add_mutually_exclusive_group()
    persons.add_argument("--whole-image", action="store_true", help="one person fills each image")
    persons.add_argument(
        "--boxes", type=Path, metavar="FILE", help="COCO detections; needs --annotations"
    )
    cli.add_detector(persons, "the first, also called torchvision")
    add(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotations or image_info: ids of the images, and without another source the "
        "boxes of the persons",
    )
    cli.add_box_threshold(parser, f"{DETECTOR_SCORE} for a detector, {GIVEN_SCORE} for a file")
    add("--pictures", action="store_true", help="draw every image and video")
    add("--labels", action="store_true", help="with the keypoints' names and the persons' indices")
    add("--crops", action="store_true", help="draw each person's heatmaps")
    add("--track", action="store_true", help="number persons through a video")
    add("--smooth", action="store_true", help="number them, and smooth their keypoints over time")
    cli.add_flip(parser)
    cli.add_decoding(parser)
    cli.add_device(parser)
    add("--amp", choices=("bf16", "fp16"), help="compute in half precision")
    add(
        "--compile",
        action="store_true",
        help="compile the network: takes half a minute at first, and gains little on a CPU",
    )
    cli.add_batch_size(parser, f"persons (default: {BATCH_SIZE})")
    add(
        "--threads",
        type=cli.whole_number(1),
        metavar="N",
        help=f"threads that decode images; default: one per core, up to {MOST_THREADS}, a part of "
        "them under torchrun",
    )
    add(
        "--shard",
        type=share_option,
        metavar="NUMBER/OF",
        help="do this share of the inputs (1/4, 2/4, 3/4 or 4/4); the last one merges all",
    )
    cli.add_overwrite(parser, "replace results in DIR, and what is done of a share")
    return parser


def require_effect(args: argparse.Namespace) -> None:
    """Refuse options without effect, as far as that needs no file.

    Raises:
        ConfigError: Names the option.
    """
    if args.boxes and not args.annotations:
        raise ConfigError(
            f"--boxes {args.boxes}: its boxes name images by id; give --annotations too, a file "
            "that says which file_name has which id (keypoint detect-boxes writes one)"
        )
    if args.labels and not args.pictures:
        raise ConfigError("--labels has no effect without --pictures; give both or neither")
    from_file = args.whole_image or (args.annotations and not args.boxes and not args.detector)
    if args.box_threshold is not None and from_file:
        raise ConfigError("--box-threshold has no effect here, no box has a score; leave it out")
    for option, instead in (
        ("flip", "give it to keypoint export"),
        ("decoding", "give it to keypoint export"),
        ("amp", "give --precision to keypoint export"),
        ("compile", "onnxruntime does that by itself"),
    ):
        if args.onnx and getattr(args, option):
            raise ConfigError(
                f"--{option} has no effect with --onnx {args.onnx}, which holds what it does: "
                f"leave it out here; {instead}"
            )


def require_effect_on(args: argparse.Namespace, inputs: Inputs, share: Share | None) -> None:
    """Refuse options that have no effect, or a bad one, on these inputs.

    Raises:
        ConfigError: Names the option.
    """
    if (args.track or args.smooth) and not any(one.is_video for one in inputs.found):
        raise ConfigError(
            f"--{'smooth' if args.smooth else 'track'} has no effect here, no input is a video or "
            "a camera; leave it out"
        )
    if share and is_live(inputs.found):
        raise ConfigError(
            f"{share} of a camera: its frames come once and cannot be shared; leave out --shard "
            "and torchrun"
        )
    if args.compile and args.batch_size is None and is_live(inputs.found):
        raise ConfigError(
            "--compile with a camera: each frame is filled up to the number of persons that the "
            "network is compiled for; give --batch-size, about as many as are seen"
        )


def is_live(inputs: Sequence[Input]) -> bool:
    """Whether a camera is read."""
    return any(one.camera is not None for one in inputs)


def make_predictor(args: argparse.Namespace) -> Predictor | OnnxPredictor:
    """The network that --checkpoint or --onnx names."""
    if args.onnx:
        predictor = OnnxPredictor.from_file(args.onnx, args.device)
        cli.logger.info("%s: %s", args.onnx, predictor.describe())
        return predictor
    return Predictor.from_checkpoint(
        args.checkpoint,
        args.device,
        args.flip,
        AMP_DTYPES[args.amp],
        (args.batch_size or BATCH_SIZE) if args.compile else None,
        cli.chosen_decoding(args),
    )


def warn_of_photos(predictor: Predictor | OnnxPredictor, inputs: Inputs) -> None:
    """Warn if a network that has seen generated figures only is given anything else."""
    if isinstance(predictor, Predictor) and predictor.only_generated:
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
    threshold = DETECTOR_SCORE if args.box_threshold is None else args.box_threshold
    detector = load_detector(args.detector or DETECTORS[0], threshold)
    detector = detector.to(choose_device(args.device))
    return job_of_images(inputs, detected_persons(detector), "detected", file)
