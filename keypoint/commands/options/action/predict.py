"""The options of keypoint predict for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.action.evaluation.scores import FILE
from keypoint.action.prediction.defaults import BATCH_SIZE
from keypoint.commands import cli
from keypoint.prediction.names import RECORDS

EPILOG = f"""examples:
  keypoint predict --checkpoint best.pt --output out clip.mp4
      the five best classes of a video
  keypoint predict --checkpoint best.pt --output out --pictures clips
      all videos of a folder and those below it, each drawn with its best classes in out/pictures
  keypoint predict --checkpoint best.pt --output out 'clips/*.mp4'
      videos that match a pattern

The classes and the choice of clips are those of the checkpoint. Random clips are chosen by a file's
name, so that its scores are the same each time.

Writes to DIR: {RECORDS}, a JSON object per line for each video, with file, frames and the five best
classes; {FILE}, the scores of all classes as a NumPy archive; data_report.json, the fate of every
file; log.txt.

A file that cannot be read is named and counted, all others are processed, and the exit status is 3.
Existing results are not overwritten without --overwrite.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint predict", "Find the class of videos.", EPILOG)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="video, folder or pattern")
    cli.add_network(parser)
    cli.add_output_folder(parser, "made if it does not exist")
    add("--pictures", action="store_true", help="draw every video with its best classes")
    cli.add_device(parser)
    cli.add_batch_size(parser, f"clips (default: {BATCH_SIZE})", BATCH_SIZE)
    cli.add_overwrite(parser, "replace results in DIR")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
