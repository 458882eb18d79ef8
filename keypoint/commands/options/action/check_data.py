"""The options of keypoint check-data for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint check-data --cfg my_videos.yaml
      both splits of a config with `task: action`
  keypoint check-data --cfg my_videos.yaml data.on_bad=skip data.max_bad=0.01
      the same check, for training with these keys

Every video is read from its first frame to its last. A FAULT stops training or testing; "skipped"
marks what data.on_bad=skip leaves out; a warning marks data that are probably wrong but are used.
OUTPUT/data_report.json lists everything; OUTPUT/check_data.jpg shows frames of some videos with
their class.
Videos that cannot be read are listed in OUTPUT/bad_videos.txt. To leave them out, copy this file to
the folder data.root, and train and test with the keys that are printed.
Exit status: 0, or 3 if a fault would stop training or testing.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint check-data", "Read every video of a data set once.", EPILOG)
    cli.add_config(parser, required=True)
    cli.add_pictures(parser, 12, "videos to draw; default: 12")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
