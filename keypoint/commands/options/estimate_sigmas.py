"""The options of keypoint estimate-sigmas."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

EPILOG = """examples:
  keypoint estimate-sigmas --skeleton sign.yaml anna.json ben.json
      one file of each annotator for the same images; equal ids are the same object
  keypoint estimate-sigmas --skeleton sign.yaml --key object all.json
      one file; annotations of an image with equal "object" are the same object

Prints a table, and the oks_sigmas to put into the skeleton's YAML file. With 100 objects, each
annotated twice, the standard error of a sigma is 5 %. COCO used 5,000 images.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint estimate-sigmas",
        "Estimate OKS sigmas from objects annotated several times.",
        EPILOG,
    )
    cli.add_skeleton(parser, "oks_sigmas may be left out", required=True)
    parser.add_argument(
        "--key", default="id", help="the annotations' key that identifies the object; default: id"
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="COCO keypoint annotations"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
