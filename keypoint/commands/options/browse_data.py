"""The options of keypoint browse-data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint browse-data --cfg res50_256x192.yaml data.root=/data/coco
      8 persons, each augmented three times
  keypoint browse-data --cfg my.yaml --pictures 20 seed=7 augment.flip_probability=1
      20 other persons, all mirrored

A row is one person in epochs 0, 1 and 2, exactly as training with this config and seed sees it:
the crop with its keypoints, and next to it the target heatmaps. A number is the keypoint's index in
the skeleton; the names are on top. Check that each number is on the part of its name, that the
person's left is orange on mirrored crops too, and that skin is not blue (a wrong color order). The
picture is OUTPUT/browse_data.jpg.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint browse-data", "Draw augmented training crops with their targets.", EPILOG
    )
    cli.add_config(parser, required=True)
    cli.add_pictures(parser, 8, "persons to draw; default: 8", least=1)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
