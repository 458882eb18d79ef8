"""The options of keypoint check-data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

EPILOG = """examples:
  keypoint check-data --cfg res50_256x192.yaml data.root=/data/coco
      both splits of a config, and the boxes of test.boxes
  keypoint check-data --annotations my.json --images pictures --skeleton my_skeleton.yaml
      one annotation file
  keypoint check-data --cfg my.yaml data.on_bad=skip data.max_bad=0.01
      the same check, for training with these keys

All files are read, all images are decoded, and all faults are reported at once. A FAULT stops
training or testing; "skipped" marks what data.on_bad=skip leaves out; a warning marks data that are
probably wrong but are used. Every fault is listed by id and file in
OUTPUT/data_report.json. OUTPUT/check_data.jpg shows random persons with numbered keypoints: check
that each number is on the part of its name.
Exit status: 0, or 3 if a fault would stop training or testing.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    description = cli.with_action("check-data", "Report all faults of a data set.")
    parser = cli.parser("keypoint check-data", description, EPILOG)
    cli.add_config(parser)
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE", help="without --cfg: COCO keypoints JSON"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="without --cfg: the folder of its images"
    )
    cli.add_skeleton(parser, "only without --cfg; default: coco17")
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE", help="without --cfg: a detector's JSON (optional)"
    )
    cli.add_pictures(parser, 24, "persons to draw; default: 24")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
