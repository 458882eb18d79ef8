"""The options of keypoint check-data for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint check-data --cfg my_videos.yaml
      both splits of a config with `task: action`
  keypoint check-data --cfg my_videos.yaml data.on_bad=skip data.max_bad=0.01
      the same, as training with these keys would see it

Every video is read from its first frame to its last. A FAULT stops training or testing; a warning
is probably wrong and used as it is. Everything is in OUTPUT/data_report.json, frames of some videos
with their class in OUTPUT/check_data.jpg.
Videos that cannot be read are named in OUTPUT/bad_videos.txt. To leave them out, put this file into
the folder data.root, and train and test with data.on_bad=skip.
Exit status 0, or 3 if something would stop training or testing.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser("keypoint check-data", "Read every video of a data set once.", EPILOG)
    cli.add_config(parser, required=True)
    cli.add_pictures(parser, 12, "videos to draw; default: 12")
    return parser.parse_intermixed_args(argv)
