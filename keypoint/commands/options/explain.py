"""The options of keypoint explain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

RANDOM_INPUTS = 20  # Luo et al.

EPILOG = """examples:
  keypoint explain --checkpoint best.pt --output seen photo.jpg
      the attention of every block at the keypoint of the highest score; one person fills the photo
  keypoint explain --checkpoint best.pt --output seen --keypoint left_wrist \\
      --box 40,20,110,280 photo.jpg
      another keypoint, of the person in a box (x, y, width, height in pixels of the photo)
  keypoint explain --checkpoint best.pt --output seen --at 70,90 --site deconv1 photo.jpg
      one block, at a pixel of the photo; a site is the name of a block or of any other submodule,
      for which only the receptive field is drawn
  keypoint explain --checkpoint best.pt --output seen clip.mp4
      a network that classifies videos: the frames of a clip, side by side

Draws one picture for each site, 000001_photo_SITE.png, with two lines. A row is the weights with
which a block sums all positions for one query (docs/guides/explaining.md has the definitions). The
first line shows the network's input: the query (ring) with the five strongest regions of the row
(pnl: one color for each scale), and the row as a heat map (dot, concatenation and cgnl: warm for
positive weights, cold for negative ones). The second line shows the effective receptive field of
the middle of the site, with random weights and after training: by Luo et al. on random inputs, and
by RepLKNet on this input, with the squares that contain 20, 30, 50 and 99 % of it. The table lists
the weights of the five regions, the entropy of the row divided by its maximum (1: uniform), and
the mean distance in pixels of the network's input.
"""


def make_shared(takes: str, epilog: str) -> argparse.ArgumentParser:
    """Return the parser with the options of both tasks."""
    description = "Show what the blocks of a network attend to."
    parser = cli.parser("keypoint explain", description, epilog)
    parser.add_argument("input", type=Path, metavar="INPUT", help=takes)
    cli.add_checkpoint(parser)
    cli.add_output_folder(parser, "for the pictures; made if it does not exist")
    parser.add_argument("--at", metavar="X,Y", help="query at this pixel of the input")
    parser.add_argument(
        "--site", metavar="SITE", help="name of a block or submodule; default: all blocks"
    )
    parser.add_argument(
        "--random-inputs",
        type=cli.whole_number(1),
        default=RANDOM_INPUTS,
        metavar="N",
        help="random inputs for the receptive field by Luo et al.; fewer are faster and noisier; "
        "default: %(default)s",
    )
    cli.add_device(parser)
    cli.add_overwrite(parser, "replace pictures in DIR")
    return parser


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = make_shared("a photo", EPILOG)
    parser.add_argument(
        "--keypoint",
        metavar="NAME",
        help="query at this keypoint as found by the network; default: the one of highest score",
    )
    parser.add_argument(
        "--box", metavar="X,Y,W,H", help="box of the person; default: the whole photo"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
