"""The options of keypoint complexity."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

LEGEND = """
paper   as the SRL paper's tables count: layers, a deconvolution at its output size (4 times too
        much), blocks by formulas; without alpha, w, b, P, Q. G is 2^30
true    all parameters; every multiplication of a forward pass in training mode, float32 on a CPU,
        with attention and FFTs (2.5 N log2 N, half if real), batch norms folded. G is 10^9
"""
EPILOG = f"""examples:
  keypoint complexity --cfg res50_384x288_srl3.yaml
      what each part of the network costs, and all of it
  keypoint complexity --cfg res50_256x192.yaml model.input_size=[384,288] model.blocks=nl
      at another size, with another block: any key of the config can be changed here
  keypoint complexity --paper-tables
      tables 2, 3, 8 and 9 of the SRL paper and 3, 5 and 6 of PNL's, printed and counted
  keypoint complexity --cfg c2d_res18_srl_fft4.yaml
      of a network of action recognition (keypoint complexity --task action --help)

Costs are those of one image or clip. There are two columns:
{LEGEND}
keypoint/models/complexity/__init__.py has the rules in full. Nothing is computed or written.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser(
        "keypoint complexity", "Count the parameters and multiply-adds of a network.", EPILOG
    )
    cli.add_config(parser)
    parser.add_argument(
        "--paper-tables", action="store_true", help="the papers' printed numbers, and ours"
    )
    return parser.parse_intermixed_args(argv)
