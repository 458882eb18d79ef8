"""The options of keypoint complexity for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.complexity import LEGEND

USUAL_CLASSES = 400  # of Kinetics

EPILOG = f"""examples:
  keypoint complexity --cfg c2d_res18_srl_fft4.yaml
      the cost of each part of the network, and the sum
  keypoint complexity --cfg c2d_res50.yaml --classes 101 model.blocks=nl model.places=five
      another number of classes and other blocks: any key of the config can be changed here
  keypoint complexity --task action --paper-tables
      tables 8 and 9 of the SRL paper and 3, 5 and 6 of the PNL paper: printed and counted

Costs are for one clip, in two columns:
{LEGEND}
keypoint/models/complexity/__init__.py documents all rules. No network is run and no file is
written.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint complexity",
        "Count the parameters and multiply-adds of a network that classifies clips.",
        EPILOG,
    )
    cli.add_config(parser)
    parser.add_argument(
        "--classes",
        type=cli.whole_number(2),
        metavar="N",
        help=f"number of classes; default: those of data.classes, else {USUAL_CLASSES}",
    )
    parser.add_argument(
        "--paper-tables", action="store_true", help="compare with the numbers printed in the papers"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
