"""The options of keypoint complexity."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

LEGEND = """
paper   counted as in the SRL paper's tables: layers, with a deconvolution at its output size (4
        times too much), and blocks by formulas, without alpha, w, b, P and Q. G is 2^30
true    all parameters; every multiplication of a forward pass in training mode, float32 on a CPU,
        with attention and FFTs (2.5 N log2 N, half if real), batch norms folded. G is 10^9
"""
EPILOG = f"""examples:
  keypoint complexity --cfg res50_384x288_srl3.yaml
      the cost of each part of the network, and the sum
  keypoint complexity --cfg res50_256x192.yaml model.input_size=[384,288] model.blocks=nl
      another size and another block: any key of the config can be changed here
  keypoint complexity --paper-tables
      tables 2, 3, 8 and 9 of the SRL paper and 3, 5 and 6 of the PNL paper: printed and counted
  keypoint complexity --cfg c2d_res18_srl_fft4.yaml
      a network for action recognition (see keypoint complexity --task action --help)

Costs are for one image or clip, in two columns:
{LEGEND}
keypoint/models/complexity/__init__.py documents all rules. No network is run and no file is
written.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint complexity", "Count the parameters and multiply-adds of a network.", EPILOG
    )
    cli.add_config(parser)
    parser.add_argument(
        "--paper-tables", action="store_true", help="compare with the numbers printed in the papers"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
