"""The options of keypoint explain for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.explain import make_parser

EPILOG = """examples:
  keypoint explain --checkpoint best.pt --output seen clip.mp4
      the row of every block for the middle of the middle frame, of the middle clip of a test
  keypoint explain --checkpoint best.pt --output seen --at 120,80 --frame 5 clip.mp4
      for a pixel of the video's frames, in the clip's sixth frame
  keypoint explain --checkpoint best.pt --output seen --site layer3.1 clip.mp4
      of one block; a site is a block's, or any submodule's name that gives a map

A picture a site, 000001_clip_SITE.png, shows up to eight frames side by side: the query (ring) with
the five strongest regions of the block's row (of pnl a color each scale), the rows as heat, and the
receptive field of the site's middle, with random weights and after training: by Luo et al. on
random clips, and by RepLKNet on this one. The number under a frame is its share. The table has the
weights of the five, entropy, and the mean distance in pixels and frames of the network's input.
docs/guides/explaining.md says what each block's row is.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser("clip.mp4", "Show what the blocks of a network attend to.", EPILOG)
    parser.add_argument(
        "--frame", type=cli.whole_number(0), metavar="N", help="of the clip; default: the middle"
    )
    return parser.parse_args(argv)
