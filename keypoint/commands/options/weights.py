"""The options of keypoint weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.checkpoint.zoo import HOME
from keypoint.commands import cli
from keypoint.models.weights.by_name import (
    AP10K,
    BASE_URL,
    COCO,
)

EPILOG = f"""examples:
  keypoint weights
      list all of them
  keypoint weights --json
      for programs: with addresses and the conditions of AP
  keypoint predict --weights hrnet_w32_384x288_udp --output out photo.jpg
      downloads them at the first use

AP and AR are as published, in percent: on {COCO};
with the skeleton ap10k17, on the {AP10K}.
Files are downloaded from {BASE_URL} to the folder that is
printed below the table; {HOME} sets another one. A file is used only if its SHA-256 begins
with the digits in its name. You may also put files there yourself, under their original names.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint weights", "List published weights by name.", EPILOG)
    parser.add_argument("--json", action="store_true", help="print JSON, with all details")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
