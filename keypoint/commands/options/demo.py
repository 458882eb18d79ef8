"""The options of keypoint demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    description = "Generate a small data set, train and test on it, and draw predictions."
    parser = cli.parser("keypoint demo", cli.with_action("demo", description))
    parser.add_argument("--resume", action="store_true", help="continue an interrupted demo")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for keypoint train")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
