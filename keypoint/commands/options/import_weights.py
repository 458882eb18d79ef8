"""The options of keypoint import-weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

EPILOG = """examples:
  keypoint import-weights pose_resnet_50_256x192.pth.tar --input-size 256 192 --output sb50.pt
      SimpleBaseline's or the HRNet repository's file; then keypoint test --checkpoint sb50.pt
  keypoint import-weights td-hm_res50_8xb64-210e_coco-256x192.pth --input-size 256 192 \\
      --output mm50.pt
      mmpose's, 0.x or 1.x
  keypoint import-weights pose_hrnet_w32_256x192.pth --input-size 256 192 --output hrnet32.pt
      the HRNet repository's HRNet; mmpose's as well
  keypoint import-weights pose_resnet_50_256x256.pth.tar --input-size 256 256 --output mpii.pt \\
      data.skeleton=mpii16
      another skeleton
  keypoint import-weights sb50.pt --partial --output sb50_srl3.pt model.blocks=srl_fft
      blocks added to trained weights; the output stays the same to the bit until it is trained

The file itself says its toolkit, network and number of keypoints, mmpose's often the colours; an
export from here or a checkpoint says everything below as well (an export the skeleton's names
only). A contradiction is an error, another input size a warning.
Everything else is asked for or assumed:
  input size    --input-size, as the file's name usually says; a wrong one costs AP silently
  skeleton      coco17; another by data.skeleton=
  colour order  SimpleBaseline's names: BGR, each channel normalised with the mean of its place
                (blue with 0.485), as it and the HRNet repository's pose_resnet do. All others: RGB.
                --color-order if you know it better (HRNet's repository with COLOR_RGB: true)
  codec         heatmap; model.codec=udp if it was trained so (mmpose's UDPHeatmap, UDP-Pose)
  heatmap sigma 2 at width 192, in proportion; model.heatmap_sigma= otherwise
  caffe style   SimpleBaseline's two files of that name have the stride elsewhere: they load and
                give a low AP; they are not supported

No code in the file is run. Everything must fit, except the blocks with --partial. A report of all
tensors is written next to OUTPUT, with the ending .json.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.parser(
        "keypoint import-weights",
        "Turn weights of SimpleBaseline, the HRNet repository, mmpose or this toolkit into a "
        "checkpoint that keypoint test takes alone.",
        EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of torch.save, or safetensors")
    cli.add_output_file(parser, "the checkpoint to write")
    cli.add_config(parser, "a config, instead of the one derived from the file and --input-size")
    parser.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="as the file was trained with"
    )
    parser.add_argument("--color-order", choices=("bgr", "rgb"), help="instead of the usual one")
    parser.add_argument(
        "--partial", action="store_true", help="blocks may be missing, and start as the identity"
    )
    return parser.parse_intermixed_args(argv)
