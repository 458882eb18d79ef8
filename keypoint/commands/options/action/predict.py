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
      all videos of a folder and its subfolders; draws each with its best classes in out/pictures
  keypoint predict --checkpoint best.pt --output out 'clips/*.mp4'
      videos that match a pattern

The classes and the choice of clips are those of the checkpoint. Random clips are seeded by the name
of the file, so its scores are the same each time.

Writes to DIR: {RECORDS}, one line with a JSON object for each video: file, frames and the five best
classes; {FILE}, the scores of all classes as a NumPy archive; data_report.json, the outcome for
every file; log.txt.

A file that cannot be read, or a given one that is not a video, is reported and counted, all others
are processed, and the exit status is 3. In folders, files that are not videos are only counted.
Existing results are not overwritten without --overwrite.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    parser = cli.parser("keypoint predict", "Find the class of videos.", EPILOG)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="video, folder or pattern")
    cli.add_network(parser)
    cli.add_output_folder(parser, "made if it does not exist")
    add("--pictures", action="store_true", help="draw every video with its best classes")
    cli.add_device(parser)
    cli.add_batch_size(parser, f"clips at a time; default: {BATCH_SIZE}", BATCH_SIZE)
    cli.add_overwrite(parser, "replace results in DIR")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
