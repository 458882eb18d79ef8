"""The options of keypoint sweep."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

LOG = "sweep.log"  # output of a run, if several run at a time

EPILOG = f"""examples:
  keypoint sweep demo_blocks.yaml --dry-run
      print one line for each run, keypoint train ... && keypoint test ..., for a scheduler
  keypoint sweep demo_blocks.yaml
      run them one after the other, then print the table of keypoint compare
  keypoint sweep demo_blocks.yaml --resume --jobs 2
      continue after an interruption, two runs at a time; finished runs are kept
  keypoint sweep demo_blocks.yaml train.epochs=2 output=output/short
      a key of all runs, and another folder; seeds=[0,1] gives other seeds

A sweep file is a path, or the bare name of one under configs/:
  cfg: demo.yaml                # config of all runs: next to this file, or as --cfg finds it
  output: output/demo_blocks    # each run is in OUTPUT/POINT/seedN; default: output/<file>
  set: {{train.epochs: 12}}       # optional: keys of all runs
  seeds: [0, 1, 2]
  grid:                         # axes; all points are compared with the first point
    blocks:                     # named points, each with any number of keys
      none: {{model.blocks: none}}
      two: {{model.blocks.deconv1: srl_fft, model.blocks.deconv2: srl_fft}}
    train.lr: [1e-3, 2e-3]      # or one key: points lr=1e-3 and lr=2e-3
  test: [--analyse]             # optional: options of keypoint test

last.pt is tested, because best.pt is chosen by the number that is compared. All runs are checked
before the first one starts. With --jobs, the output of a run goes to {LOG} in its folder. Writes
compare.md, runs.csv and runs.png to OUTPUT.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    parser = cli.parser(
        "keypoint sweep", "Train and test a grid of configs with several seeds.", EPILOG
    )
    parser.add_argument("file", metavar="FILE", help="a sweep file, or its name under configs/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of all runs"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print one line for each run that is not finished"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep finished runs, continue interrupted ones"
    )
    cli.add_overwrite(parser, "start over in folders that contain other runs")
    parser.add_argument(
        "--jobs",
        type=cli.whole_number(1),
        default=1,
        metavar="N",
        help="runs at a time, each with its share of the cores; default: %(default)s",
    )
    cli.add_device(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
