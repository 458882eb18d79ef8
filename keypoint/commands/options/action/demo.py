"""The options of keypoint demo for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """
Two stick figures raise an arm each, at different times. Four classes: do both raise the arm on the
same side, and which one is first? Writes to output/echo:
  data/            5000 clips as lossless videos, a folder per class
  classes.jpg      clips of each class, with a description
  frames.pth       weights of a 2-D network that recognises the poses of single frames
  none/ nl/ ..     one run each, as keypoint train and keypoint test write it
  table.md         accuracy of each run

Keys of the config apply to all four runs: keypoint demo --task action train.epochs=10 seed=1
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint demo --task action",
        "Generate clips, train a network with each of four blocks, and compare them.",
        EPILOG,
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted demo")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for keypoint train")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
