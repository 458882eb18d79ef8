"""The options of keypoint complexity for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.complexity import LEGEND

USUAL_CLASSES = 400  # of Kinetics

EPILOG = f"""examples:
  keypoint complexity --cfg c2d_res18_srl_fft4.yaml
      what each part of the network costs, and all of it
  keypoint complexity --cfg c2d_res50.yaml --classes 101 model.blocks=nl model.places=five
      of other classes, with other blocks: any key of the config can be changed here
  keypoint complexity --task action --paper-tables
      tables 8 and 9 of the SRL paper and 3, 5 and 6 of PNL's, printed and counted

Costs are those of one clip. There are two columns:
{LEGEND}
keypoint/models/complexity/__init__.py has the rules in full. Nothing is computed or written.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser(
        "keypoint complexity",
        "Count the parameters and multiply-adds of a network that classifies clips.",
        EPILOG,
    )
    cli.add_config(parser)
    parser.add_argument(
        "--classes",
        type=cli.whole_number(2),
        help=f"number of classes; by default those that the config lists, else {USUAL_CLASSES}",
    )
    parser.add_argument(
        "--paper-tables", action="store_true", help="the papers' printed numbers, and ours"
    )
    return parser.parse_intermixed_args(argv)
