"""The options of keypoint detect-boxes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

BATCH_SIZE = 4  # images
BOX_THRESHOLD = 0.05

EPILOG = """examples:
  keypoint detect-boxes --annotations data/coco/annotations/person_keypoints_val2017.json \\
      --images data/coco/val2017 --output boxes.json
      then: keypoint test --checkpoint best.pt test.boxes=boxes.json
  keypoint detect-boxes --annotations image_info_test-dev2017.json --images test2017 --output b.json
      images of test-dev, which have no annotations
  keypoint detect-boxes --images holiday --output boxes.json
      any folder; boxes_images.json lists the ids of the images

Published numbers use other boxes (person AP 56.4 on val2017), so an AP with these boxes cannot be
compared with them. --detector hog finds far fewer persons than the others; use it for a first look.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint detect-boxes", "Detect persons and write their boxes as COCO results.", EPILOG
    )
    parser.add_argument(
        "--images", required=True, type=Path, metavar="DIR", help="the folder of the images"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotations or image_info that lists the images; default: all in the folder",
    )
    cli.add_output_file(parser, "JSON file to write")
    cli.add_detector(parser, "the first; torchvision downloads its weights once")
    cli.add_box_threshold(parser, f"{BOX_THRESHOLD}", BOX_THRESHOLD)
    cli.add_batch_size(parser, f"images at a time; default: {BATCH_SIZE}", BATCH_SIZE)
    cli.add_device(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
