"""The options of keypoint download-coco."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.data.download.archives import BASE_URL, SPLITS

EPILOG = """examples:
  keypoint download-coco train val
      for training: 20.4 GB of archives, and as much again unpacked
  keypoint download-coco --root /data/coco val
      validation images and annotations alone: 1.1 GB

An interrupted download is resumed by the same command. Nothing is deleted: the zip files stay next
to the folders they were unpacked into, and may be removed afterwards.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser("keypoint download-coco", "Download, check and unpack COCO 2017.", EPILOG)
    parser.add_argument(
        "--root", type=Path, default=Path("data/coco"), help="folder; default: data/coco"
    )
    parser.add_argument("--base-url", default=BASE_URL, help=f"a mirror's; default: {BASE_URL}")
    parser.add_argument("splits", nargs="+", choices=sorted(SPLITS), help="images with annotations")
    return parser.parse_args(argv)
