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

Input (B, T, H, W, 3) uint8 RGB, or (B, 3, T, H, W) float32 RGB from 0 to 1; any B, the frames T of
the training and the crop size of the test. Mean, std and colour order of the weights are inside.
Outputs: scores, the softmax probabilities (B, classes), whose mean over the clips of a video is its
score in keypoint test; and logits. The file names its classes and says how the test chooses and
cuts clips: ONNX in metadata_props, torch.export in the extra file keypoint.json; keypoint info
prints it.

The file is read again, run at batches of 1 and 3 and compared with the checkpoint's network before
it gets its name. SRL-FFT stands in ONNX as matrix products.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser(
        "keypoint export", "Export a checkpoint's network to ONNX or torch.export.", EPILOG
    )
    cli.add_network(parser)
    cli.add_output_file(parser, "its suffix chooses the form: .onnx or .pt2")
    parser.add_argument(
        "--input", choices=INPUTS, default="uint8", help="type of the clips; default: uint8"
    )
    return parser.parse_args(argv)
