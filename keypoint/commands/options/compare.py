"""The options of keypoint compare."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.action.evaluation.compare import LEAST_GAIN
from keypoint.action.evaluation.scores import FILE
from keypoint.commands import cli
from keypoint.evaluation.runs.files import HISTORY, METRICS

MARKDOWN, CSV, PICTURE = "compare.md", "compare.csv", "compare.png"
RUNS_CSV, RUNS_PICTURE, IMAGES_CSV = "runs.csv", "runs.png", "images.csv"

EPILOG = f"""examples:
  keypoint compare output/none/seed* output/srl_fft/seed*
      two configs with several seeds each: mean, standard deviation, and the difference with its
      95 % interval over the seeds
  keypoint compare output/res50_256x192 output/res50_256x192_srl3
      one run of each: the interval is a bootstrap over the images of the test set
  keypoint compare output/c2d_resnet50 output/c2d_resnet50_srl5
      action recognition: also the classes whose accuracy differs by {LEAST_GAIN} or more
  keypoint compare output/mfnet output/mfnet_pnl1 output/mfnet_nl1 --output output/compared
      three runs, as in Fig. 4 of the PNL paper; tables and pictures are written to files
  keypoint compare base/{FILE} other/{FILE} --least-gain 0.1
      only the scores files of two tests of action recognition

A run is a folder with {METRICS} (keypoint test writes it) or {HISTORY}. Runs whose configs differ
only in the seed are one group; all other groups are compared with the first. Runs that were
measured with different boxes, images, flip or clips are refused, because their numbers cannot be
compared. If all runs were tested with --analyse, keypoints and kinds of error are compared too.

The published numbers of the same network (docs/reference/results.md) are printed below COCO
numbers, if the run was trained and measured in the same way; otherwise a note lists the
differences.

Prints Markdown tables. With --output DIR also writes {MARKDOWN}, {RUNS_CSV} and {RUNS_PICTURE}; for
single runs of keypoints {IMAGES_CSV} (the change of each image); and for action recognition {CSV}
(all classes) and {PICTURE} (bars of the classes that differ).
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    parser = cli.parser("keypoint compare", "Compare runs, with intervals.", EPILOG)
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"folder of a run, or its {FILE}")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="compare even if the numbers were measured under different conditions",
    )
    parser.add_argument(
        "--least-gain",
        type=cli.share,
        default=LEAST_GAIN,
        metavar="SHARE",
        help="action recognition: list classes that differ by at least this; default: %(default)s",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="also write files to this folder"
    )
    cli.add_overwrite(parser, "replace the files in DIR")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
