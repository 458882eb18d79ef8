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
      a published network, downloaded once (keypoint weights lists them); draws every person
  keypoint predict --checkpoint best.pt --output out photo.jpg another.png
      a detector finds the persons; torchvision downloads its weights once
  keypoint predict --checkpoint best.pt --output out --pictures holiday
      images and videos of a folder and its subfolders; draws all persons in out/pictures
  keypoint predict --checkpoint best.pt --output out --pictures --flip 'clips/*.mp4'
      videos that match a pattern, each drawn as a video; --flip is more accurate, twice the time
  keypoint predict --checkpoint best.pt --output out --pictures --smooth clip.mp4
      persons keep their numbers from frame to frame, and keypoints are smoothed over time
  keypoint predict --checkpoint best.pt --output out --pictures --track camera
      the first camera (camera:1 is the second) until Ctrl-C
  keypoint predict --checkpoint best.pt --output out --whole-image --crops crops
      one person fills each image; draws each crop and its heatmaps in out/crops
  keypoint predict --checkpoint best.pt --output out --detector fasterrcnn.pth street.mp4
      a detector's weights in a file (of {DETECTORS[0]}; NAME:FILE for another one)
  keypoint predict --checkpoint best.pt --output out --detector {HOG} street.jpg
      a detector without a network: finds whole, standing persons, and misses many
      (docs/guides/photos-and-videos.md)
  keypoint predict --checkpoint best.pt --output out --annotations instances.json \\
      --boxes boxes.json images
      boxes of another detector; the annotation file contains the ids of the images. Boxes with a
      score under {GIVEN_SCORE} and duplicates (IoU over {GIVEN_OVERLAP} with a better box) are
      left out and counted, unless no box has a score or all scores are equal. A box that is
      completely outside its image is reported, and the exit status is 3
  keypoint predict --checkpoint best.pt --output out --annotations person_keypoints.json images
      the boxes of the annotated persons, or all boxes of a file without keypoints
  keypoint predict --onnx model.onnx --output out photo.jpg
      a network that keypoint export wrote, run by onnxruntime
  torchrun --nproc_per_node 2 -m keypoint predict --checkpoint best.pt --output out holiday
      two GPUs share the images and videos; the output is the same as from one process
  keypoint predict --checkpoint best.pt --output out \\
      --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT holiday
      one share, in a job of sbatch --array=1-8; the task that finishes last merges all shares
  keypoint predict --checkpoint best.pt --output out -- -x.jpg
      a file whose name starts with a dash

Writes to DIR: records.jsonl, one line with a JSON object for each image or frame, in their order:
file, size, boxes, keypoints and scores (empty lists if no person is found); results.json, the same
in COCO's results format; data_report.json, the outcome for every file; log.txt.

A keypoint's score is the peak of its heatmap, about 0 (absent) to 1 (certain); it is not a
probability. Keypoints with a score up to 0.2 are written, but neither drawn nor tracked.

Images and frames are numbered from 1 in the order of the inputs (a broken image keeps its number).
With --annotations, images have the ids and must have the sizes of that file, and are used as
stored. Otherwise photos are turned upright by their EXIF orientation, and keypoints refer to the
upright photo.

From a camera the newest frame is used; the frames before it are counted as skipped. A video drawn
from a camera keeps the times of its frames. Ctrl-C ends the command; all results are kept.

A file that cannot be read is reported and counted, all others are processed, and the exit status
is 3. A share is kept in DIR/shards until all shares are merged. To continue a share that was
interrupted, run the same command again; shares of other inputs, weights or options are refused.
Existing results are not overwritten without --overwrite. URLs are refused; only weights are
downloaded.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    description = "Find the keypoints of persons on images and videos."
    parser = cli.parser("keypoint predict", cli.with_action("predict", description), EPILOG)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image, video, folder, pattern, or camera")
    network = cli.add_network(parser)
    network.add_argument("--onnx", type=Path, metavar="FILE", help="a file of keypoint export")
    cli.add_output_folder(parser, "made if it does not exist")
    persons = parser.add_mutually_exclusive_group()
    persons.add_argument("--whole-image", action="store_true", help="one person fills each image")
    persons.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="COCO detections; needs --annotations (keypoint convert makes both from drawn boxes)",
    )
    cli.add_detector(persons, "the first, also called torchvision")
    add(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotations or image_info: the ids of the images, and the boxes of the persons "
        "if there is no other source of boxes",
    )
    cli.add_box_threshold(parser, f"{DETECTOR_SCORE} for a detector, {GIVEN_SCORE} for a file")
    add("--pictures", action="store_true", help="draw every image and video")
    add(
        "--labels", action="store_true", help="also draw the names of keypoints, indices of persons"
    )
    add("--crops", action="store_true", help="draw each person's heatmaps")
    add("--track", action="store_true", help="number the persons of a video consistently")
    add("--smooth", action="store_true", help="like --track, and smooth the keypoints over time")
    cli.add_flip(parser)
    cli.add_decoding(parser)
    cli.add_device(parser)
    add("--amp", choices=("bf16", "fp16"), help="compute in half precision")
    add(
        "--compile",
        action="store_true",
        help="compile the network: takes half a minute, and gains little on a CPU",
    )
    cli.add_batch_size(parser, f"persons at a time; default: {BATCH_SIZE}")
    add(
        "--threads",
        type=cli.whole_number(1),
        metavar="N",
        help=f"threads that decode images; default: one per core, up to {MOST_THREADS}, divided "
        "among the processes of torchrun",
    )
    add(
        "--shard",
        type=share_option,
        metavar="NUMBER/OF",
        help="process only this share of the inputs (1/4, 2/4, 3/4 or 4/4); the command that "
        "finishes last merges all shares",
    )
    cli.add_overwrite(parser, "replace results in DIR, including finished parts of a share")
    return parser


def share_option(text: str) -> Share:
    """Parse --shard."""
    try:
        return parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
