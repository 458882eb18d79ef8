"""The options of keypoint make-person-data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint make-person-data --output output/evidence/persons
  keypoint train --cfg persons_tiny.yaml model.encoder_stride=8 model.blocks=srl_fft
  keypoint sweep field.yaml

Writes annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/, as in COCO.
Image i of a split depends only on the seed and i: a smaller set is the beginning of a larger one.
A folder that contains the same complete set is kept.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser("keypoint make-person-data", "Generate persons in COCO's layout.", EPILOG)
    cli.add_output_folder(parser, "new or empty, or an earlier set of this command")
    cli.add_generated_images(parser, train=1500, val=400)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
