"""The options of keypoint predict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.prediction.names import DETECTOR_SCORE, DETECTORS, GIVEN_OVERLAP, GIVEN_SCORE, HOG
from keypoint.prediction.shares.split import Share, parse_share

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
      without a network: finds whole, standing persons, and misses many
  keypoint predict --checkpoint best.pt --output out --annotations instances.json \\
      --boxes boxes.json images
      boxes of another detector; the annotation file says which image has which id. Boxes of a
      score under {GIVEN_SCORE} and doubles (IoU over {GIVEN_OVERLAP} with a better box) are left
      out and counted, unless no box has a score or all have the same. One wholly outside its
      image is named, and the exit status is 3
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


def share_option(text: str) -> Share:
    """The type of --shard."""
    try:
        return parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
