"""The options of keypoint make-sign-data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint make-sign-data --output output/signs/data
  keypoint train --cfg signs.yaml
  keypoint test --checkpoint output/signs/best.pt --pictures 12

Writes sign.yaml (the skeleton), annotations/signs_{train,val}.json and images/: an example of a
data set for your own object.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint make-sign-data", "Generate road signs with their four corners annotated.", EPILOG
    )
    cli.add_output_folder(parser, "new or empty")
    cli.add_generated_images(parser, train=400, val=100)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
