"""The options of keypoint demo for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """
Two stick figures raise an arm each, at different times. Four classes: do both raise the arm on the
same side, and who is first? It writes to output/echo:
  data/            5000 clips as lossless videos, a folder per class
  classes.jpg      clips of each class, with what happens in them
  frames.pth       weights of a 2-D network that knows the poses of single frames
  none/ nl/ ..     a run each, as keypoint train and keypoint test write it
  table.md         what each of them has learned

Keys of the config change all four trainings: keypoint demo --task action train.epochs=10 seed=1
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser(
        "keypoint demo --task action",
        "Generate clips, train a network with each of four blocks, and compare them.",
        EPILOG,
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted demo")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for keypoint train")
    return parser.parse_intermixed_args(argv)
