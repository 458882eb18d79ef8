"""The options of keypoint info."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint info
      this installation: versions, device, threads, whether compiled code is in use
  keypoint info --checkpoint output/demo/best.pt
      network, training, AP with all its conditions, limits
  keypoint info --checkpoint output/demo/best.pt --json
      the same for programs
  keypoint info --checkpoint pose_resnet_50_256x192.pth.tar
      weights of other toolkits: network and toolkit
  keypoint info --weights hrnet_w32_384x288_udp
      a published network: address, AP and its conditions, licence
  keypoint info --checkpoint model.onnx
      a file of keypoint export (also .pt2): its inputs and outputs

The card is Markdown. To share a network, put the card next to the checkpoint as README.md.
Predictor.from_pretrained takes the folder, from disk or from the Hugging Face Hub (pip install
keypoint[hub]):
  mkdir mine
  cp output/demo/best.pt mine/model.pt
  keypoint info --checkpoint mine/model.pt > mine/README.md
  hf upload USER/NAME mine

Add the licence of the weights; checkpoints do not contain it. No code in the file is run. With
--checkpoint, no network connection is opened.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint info", "Print the model card of a checkpoint, or what is installed here.", EPILOG
    )
    text = "best.pt, last.pt, weights of other toolkits, or an exported file"
    cli.add_network(parser, text, required=False)
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
