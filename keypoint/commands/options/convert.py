"""The options of keypoint convert."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.data.convert.forms import READERS

VAL_SHARE = 0.1

EPILOG = """examples:
  keypoint convert photos --to coco --output pets
      a folder of labelme's JSON files and their images
  keypoint convert annotations.xml --to coco --output pets --images photos
      CVAT's XML, with the images or videos in another folder
  keypoint convert project --to coco --output mice --val-share 0.2
      a DeepLabCut project; whole videos with a fifth of its images are for validation
  keypoint convert labels.slp --to coco --output flies
      SLEAP; needs pip install "keypoint[convert]"
  keypoint convert new_photos --to coco --output new_boxes
      photos on which only boxes are drawn, for keypoint predict

INPUT is the unpacked export of labelme, CVAT (XML 1.1 for images and for video, COCO keypoints),
COCO Annotator, Ultralytics, DeepLabCut, SLEAP or Label Studio. The tool is recognised by the
content of its files.

Writes OUTPUT/train.json and val.json (COCO keypoints), skeleton.yaml, config.yaml to start from,
and convert_report.json, which lists what was left out and why. Images stay where they are; frames
of videos and images inside label files are written to OUTPUT/images. Then:
  keypoint check-data --cfg OUTPUT/config.yaml
  keypoint train --cfg OUTPUT/config.yaml

If no keypoint is labelled but boxes are, it writes them instead, as OUTPUT/ids.json and
OUTPUT/boxes.json. Then, with the folder of the images:
  keypoint predict --checkpoint best.pt --output found --annotations OUTPUT/ids.json \\
      --boxes OUTPUT/boxes.json FOLDER
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint convert", "Convert a labelling tool's files to COCO keypoints.", EPILOG
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help="the tool's file or folder")
    parser.add_argument("--to", required=True, choices=["coco"], help="the format to write")
    cli.add_output_folder(parser, "for the data set or the boxes; new or empty")
    cli.add_overwrite(parser, "replace the files of an earlier conversion")
    parser.add_argument(
        "--from",
        dest="form",
        choices=list(READERS),
        help="the tool that wrote INPUT; default: recognised by its content",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the images or videos; default: INPUT's",
    )
    parser.add_argument(
        "--category",
        metavar="NAME",
        help="the class to convert, if keypoints of classes differ or there are only boxes",
    )
    parser.add_argument(
        "--val-share",
        type=cli.share,
        metavar="SHARE",
        help=f"share of images for validation, if the export has no split; default: {VAL_SHARE}",
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
