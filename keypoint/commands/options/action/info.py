"""The options of keypoint info for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint info --checkpoint output/mine/best.pt
      network, classes, training, accuracy and its conditions, limits
  keypoint info --checkpoint output/mine/best.pt --json
      the same for programs
  keypoint info --checkpoint model.onnx
      a file of keypoint export (also .pt2): its classes, inputs and outputs

No code in the file is run, and no network connection is opened.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint info", "Print the model card of a checkpoint.", EPILOG)
    cli.add_checkpoint(parser, "best.pt, last.pt, or an exported file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
