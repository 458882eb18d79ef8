"""The options of keypoint sweep."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

LOG = "sweep.log"  # what a run prints, if several print at a time

EPILOG = f"""examples:
  keypoint sweep demo_blocks.yaml --dry-run
      one line a run, keypoint train ... && keypoint test ..., for a scheduler
  keypoint sweep demo_blocks.yaml
      run them one after the other, then print the table of keypoint compare
  keypoint sweep demo_blocks.yaml --resume --jobs 2
      continue after an interruption, two at a time; what is done is left as it is
  keypoint sweep demo_blocks.yaml train.epochs=2 output=output/short
      a key of all runs, and another folder; seeds=[0,1] gives other seeds

A sweep file is a path, or the bare name of one under configs/:
  cfg: demo.yaml                # what all runs share: a file next to this one, or as --cfg finds it
  output: output/demo_blocks    # each run is in OUTPUT/POINT/seedN; default: output/<file>
  set: {{train.epochs: 12}}       # optional: keys of all runs
  seeds: [0, 1, 2]
  grid:                         # axes; all points are compared with the first of each
    blocks:                     # named points, each with any number of keys
      none: {{model.blocks: none}}
      two: {{model.blocks.deconv1: srl_fft, model.blocks.deconv2: srl_fft}}
    train.lr: [1e-3, 2e-3]      # or one key: points lr=1e-3 and lr=2e-3
  test: [--analyse]             # optional: words of keypoint test

The test is of last.pt: best.pt is chosen by the number that is compared. All is checked before the
first run begins. With --jobs what a run prints goes to {LOG} in its folder. OUTPUT gets compare.md,
runs.csv and runs.png.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint sweep", "Train and test a grid of configs with several seeds.", EPILOG
    )
    parser.add_argument("file", metavar="FILE", help="a sweep file, or its name under configs/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of all runs"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print a line for each run that is not done"
    )
    parser.add_argument(
        "--resume", action="store_true", help="do what is not done, and continue what has begun"
    )
    cli.add_overwrite(parser, "start over in folders that hold other runs")
    parser.add_argument(
        "--jobs",
        type=cli.whole_number(1),
        default=1,
        metavar="N",
        help="runs at a time, each with its share of the cores (%(default)s)",
    )
    cli.add_device(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
