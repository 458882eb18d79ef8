"""The options of keypoint explain for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.explain import make_shared

EPILOG = """examples:
  keypoint explain --checkpoint best.pt --output seen clip.mp4
      the attention of every block at the middle of the middle frame; the clip is the middle one of
      a test
  keypoint explain --checkpoint best.pt --output seen --at 120,80 --frame 5 clip.mp4
      at a pixel of the video, in the sixth frame of the clip
  keypoint explain --checkpoint best.pt --output seen --site layer3.1 clip.mp4
      one block; a site is the name of a block or of any other submodule whose output is a map

Draws one picture for each site, 000001_clip_SITE.png, with up to eight frames side by side. A row
is the weights with which a block sums all positions for one query (docs/guides/explaining.md has
the definitions). The lines show the query (ring) with the five strongest regions of the row (pnl:
one color for each scale), the row as a heat map, and the receptive field of the middle of the site,
with random weights and after training: by Luo et al. on random clips, and by RepLKNet on this one.
The number under a frame is its share. The table lists the weights of the five regions, the entropy,
and the mean distance in pixels and frames of the network's input.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = make_shared("a video", EPILOG)
    parser.add_argument(
        "--frame",
        type=cli.whole_number(0),
        metavar="N",
        help="frame of the clip, from 0; default: the middle",
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
