"""The options of keypoint make-clip-data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

TRAIN_CLIPS, VAL_CLIPS = 4000, 1000

EPILOG = """examples:
  keypoint make-clip-data --output output/echo
  keypoint train --cfg echo.yaml model.blocks=srl_fft
  keypoint sweep echo_blocks.yaml --jobs 2

Writes DIR/data (lossless videos, a folder per class), DIR/frames.pth (weights of a 2-D network that
recognises the poses of single frames; training starts from it) and DIR/classes.jpg. Complete files
are kept. docs/explanation/echo.md describes the set.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint make-clip-data", "Generate clips of stick figures.", EPILOG)
    cli.add_output_folder(parser, "made if it does not exist")
    number = cli.whole_number(4)
    parser.add_argument(
        "--train",
        type=number,
        metavar="N",
        default=TRAIN_CLIPS,
        help="clips to train on; default: %(default)s",
    )
    parser.add_argument(
        "--val",
        type=number,
        metavar="N",
        default=VAL_CLIPS,
        help="clips to test on; default: %(default)s",
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
