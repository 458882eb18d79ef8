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
      all of them
  keypoint weights --json
      with addresses and the conditions of AP, for programs
  keypoint predict --weights hrnet_w32_384x288_udp --output out photo.jpg
      downloads it at the first use

AP and AR are as published, in percent: of {COCO};
with the skeleton ap10k17 of {AP10K}.
A file comes from {BASE_URL}, is used only if its SHA-256
begins as its name says, and is kept in the folder named below the table. {HOME} sets another
one. A copy that you put there under the file's own name is used as well.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser("keypoint weights", "List published weights by name.", EPILOG)
    parser.add_argument("--json", action="store_true", help="as JSON, with all facts")
    return parser.parse_args(argv)
