"""The options of keypoint export-weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.models.weights.toolkits import COLOR_ORDERS

EPILOG = """examples:
  keypoint export-weights --checkpoint output/res50_256x192/best.pt \\
      --format simple_baseline --output pose_resnet_50_256x192.pth
      for SimpleBaseline, and for pose_resnet in HRNet's repository
  keypoint export-weights --checkpoint output/res50_256x192/best.pt --format mmpose \\
      --output res50.pth
      for mmpose 1.x: TopdownPoseEstimator with ResNet or HRNet and HeatmapHead
  keypoint export-weights --checkpoint output/hrnet/best.pt --format hrnet \\
      --output pose_hrnet_w32.pth
      for pose_hrnet in HRNet's repository

The color order is changed to the other toolkit's by permuting the input channels of the first
convolution, which is exact. The other settings that the toolkit needs are printed; without them AP
is lower. A network with blocks cannot run there and is refused. keypoint import-weights reads the
file back exactly: the metadata of the state dict contain the color order, codec, decoding, sigma
and input size.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint export-weights",
        "Write a checkpoint's weights under another toolkit's names.",
        EPILOG,
    )
    cli.add_checkpoint(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=sorted(COLOR_ORDERS),
        help="the toolkit that will read the file",
    )
    cli.add_output_file(parser, "the file to write")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
