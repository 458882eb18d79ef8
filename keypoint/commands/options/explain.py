"""The options of keypoint explain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

RANDOM_INPUTS = 20  # Luo et al.

EPILOG = """examples:
  keypoint explain --checkpoint best.pt --output seen photo.jpg
      the row of every block for the keypoint with the highest score; one person fills the photo
  keypoint explain --checkpoint best.pt --output seen --keypoint left_wrist \\
      --box 40,20,110,280 photo.jpg
      for another keypoint, of the person in a box (x, y, width, height in pixels of the photo)
  keypoint explain --checkpoint best.pt --output seen --at 70,90 --site deconv1 photo.jpg
      for a pixel of the photo, of one block; a site is a block's, or any submodule's name, which
      has a receptive field even without a block
  keypoint explain --checkpoint best.pt --output seen clip.mp4
      of a network that classifies videos: a clip, its frames side by side

A picture for each site, 000001_photo_SITE.png, has two lines. First what the network sees: the
query (ring) with the five strongest regions of the block's row (of pnl a color each scale), and the
row as heat (of dot, concatenation and cgnl warm for positive, cold for negative weights). Then the
effective receptive field of the site's middle, with random weights and after training: by Luo et
al. on random inputs, and by RepLKNet on this input, with the squares that hold 20, 30, 50 and
99 % of it. The table has the weights of the five, the entropy of the row by its largest (1: all
alike), and the mean distance in pixels of the network's input. docs/guides/explaining.md says
what the row of each block is, and what it does not show.
"""


def make_parser(takes: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The options of both tasks."""
    parser = cli.parser("keypoint explain", description, epilog)
    parser.add_argument("input", type=Path, metavar="INPUT", help=takes)
    cli.add_checkpoint(parser)
    cli.add_output_folder(parser, "for the pictures; made if it does not exist")
    parser.add_argument("--at", metavar="X,Y", help="query at this pixel of the input")
    parser.add_argument("--site", metavar="SITE", help="of one block, or a submodule; default: all")
    parser.add_argument(
        "--random-inputs",
        type=cli.whole_number(1),
        default=RANDOM_INPUTS,
        metavar="N",
        help="for the receptive field by Luo et al. (%(default)s); fewer are faster and noisier",
    )
    cli.add_device(parser)
    cli.add_overwrite(parser, "replace pictures in DIR")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser("photo.jpg", "Show what the blocks of a network attend to.", EPILOG)
    parser.add_argument(
        "--keypoint", metavar="NAME", help="query where the network finds it; default: the best"
    )
    parser.add_argument("--box", metavar="X,Y,W,H", help="the person; default: the whole photo")
    return parser.parse_args(argv)
