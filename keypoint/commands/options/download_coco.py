"""The options of keypoint download-coco."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.data.download.archives import BASE_URL, SPLITS

EPILOG = """examples:
  keypoint download-coco train val
      for training: 20.4 GB of archives, and the same again unpacked
  keypoint download-coco --root /data/coco val
      only validation images and annotations: 1.1 GB

Run the same command again to resume an interrupted download. The zip files are kept next to the
unpacked folders; you may delete them afterwards.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint download-coco", "Download, check and unpack COCO 2017.", EPILOG)
    parser.add_argument(
        "--root", type=Path, default=Path("data/coco"), help="output folder; default: data/coco"
    )
    parser.add_argument(
        "--base-url", default=BASE_URL, help=f"address of a mirror; default: {BASE_URL}"
    )
    parser.add_argument(
        "splits", nargs="+", metavar="SPLIT", choices=sorted(SPLITS), help="splits to download"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
