"""The options of keypoint export for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.export.card import INPUTS

EPILOG = """examples:
  keypoint export --checkpoint output/mine/best.pt --output mine.onnx
      ONNX: uint8 clips in, the probability of each class out
  keypoint export --checkpoint output/mine/best.pt --output mine.onnx --input float32
      for runtimes that cannot take bytes
  keypoint export --checkpoint output/mine/best.pt --output mine.pt2
      torch.export; torch.export.load opens it

Input: (B, T, H, W, 3) uint8 RGB, or (B, 3, T, H, W) float32 RGB from 0 to 1, with any B, the number
of frames T of the training and the crop size of the test. The exported network includes mean, std
and color order of the weights. Outputs: logits, and scores, the softmax probabilities (B, classes).
The mean of the scores over the clips of a video is its score in keypoint test. The file contains
the classes and how the test chooses and crops clips: ONNX in metadata_props, torch.export in the
extra file keypoint.json; keypoint info prints them.

Before OUTPUT appears, the file is read again, run with batches of 1 and 3, and compared with the
checkpoint's network. ONNX files contain SRL-FFT as matrix products.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint export", "Export a checkpoint's network to ONNX or torch.export.", EPILOG
    )
    cli.add_network(parser)
    cli.add_output_file(parser, "its suffix chooses the format: .onnx or .pt2")
    parser.add_argument(
        "--input", choices=INPUTS, default="uint8", help="type of the clips; default: uint8"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
