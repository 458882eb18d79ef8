"""The options of keypoint export."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.export.card import INPUTS, OUTPUTS, PRECISIONS

MOST_CROPS = 256  # of --annotations; half of them calibrate, more make little difference

EPILOG = f"""examples:
  keypoint export --checkpoint best.pt --output model.onnx
      ONNX: uint8 crops in, keypoints, scores and heatmaps out; for keypoint predict --onnx
  keypoint export --checkpoint best.pt --output model.onnx --flip
      averages with the mirrored crop: more accurate, twice the time
  keypoint export --checkpoint best.pt --output model.onnx --input float32 --outputs heatmaps
      only the network and its normalisation, for runtimes that cannot decode
  keypoint export --checkpoint best.pt --output model.onnx --precision int8 \\
      --annotations person_keypoints_val2017.json --images val2017
      convolutions in 8 bits, calibrated on crops of the first {MOST_CROPS} annotated persons
  keypoint export --weights res50_256x192 --output res50.onnx
      a published network, downloaded once (keypoint weights lists them)
  keypoint export --checkpoint best.pt --output model.pt2
      torch.export; torch.export.load opens it

Input: (B, H, W, 3) uint8 RGB, or (B, 3, H, W) float32 RGB from 0 to 1, with any B. The exported
network includes mean, std and color order of the weights. A crop is a person's box, enlarged about
its center to the input's aspect ratio and then by 1.25. Keypoints are in pixels of the crop. The
file contains these facts and the skeleton: ONNX in metadata_props, torch.export in the extra file
keypoint.json.

Before OUTPUT appears, the file is read again, run with batches of 1 and 3, and compared with the
checkpoint's network. With --precision fp16 or int8 they differ; the shift of the keypoints is
printed.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint export", "Export a checkpoint's network to ONNX or torch.export.", EPILOG
    )
    add = parser.add_argument
    cli.add_network(parser)
    cli.add_output_file(parser, "its suffix chooses the format: .onnx or .pt2")
    add("--input", choices=INPUTS, default="uint8", help="type of the crops; default: uint8")
    add(
        "--outputs",
        choices=list(OUTPUTS),
        default="keypoints",
        help="keypoints with scores and heatmaps, or only heatmaps; default: keypoints",
    )
    cli.add_flip(parser)
    cli.add_decoding(parser)
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="number format of the network; default: float32",
    )
    add(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO keypoints JSON of persons to calibrate int8 and to compare on",
    )
    add("--images", type=Path, metavar="DIR", help="the folder of their images")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_args(argv)
