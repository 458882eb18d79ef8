"""The options of keypoint import-weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli

EPILOG = """examples:
  keypoint import-weights pose_resnet_50_256x192.pth.tar --input-size 256 192 --output sb50.pt
      a file of SimpleBaseline or the HRNet repository; then keypoint test --checkpoint sb50.pt
  keypoint import-weights td-hm_res50_8xb64-210e_coco-256x192.pth --input-size 256 192 \\
      --output mm50.pt
      a file of mmpose 0.x or 1.x
  keypoint import-weights pose_hrnet_w32_256x192.pth --input-size 256 192 --output hrnet32.pt
      HRNet, from the HRNet repository or mmpose
  keypoint import-weights pose_resnet_50_256x256.pth.tar --input-size 256 256 --output mpii.pt \\
      data.skeleton=mpii16
      another skeleton
  keypoint import-weights sb50.pt --partial --output sb50_srl3.pt model.blocks=srl_fft
      adds blocks to trained weights; until it is trained, the output is the same to the bit

The toolkit, the network and the number of keypoints are read from the file, and from mmpose's files
often the color order. Checkpoints and files of keypoint export-weights contain everything below as
well (export-weights: of the skeleton only the names). A contradiction is an error, another input
size a warning. Everything else is an option or a default:
  input size    --input-size; the file's name usually contains it; a wrong one lowers AP silently
  skeleton      coco17; another one with data.skeleton=
  color order   for SimpleBaseline's names: BGR, each channel normalised with the mean of its index
                (blue with 0.485), as in SimpleBaseline and in pose_resnet of the HRNet repository.
                For all others: RGB. --color-order if the training differed (HRNet's repository
                with COLOR_RGB: true)
  codec         heatmap; model.codec=udp if the training used it (mmpose's UDPHeatmap, UDP-Pose)
  heatmap sigma 2 at width 192, in proportion; otherwise model.heatmap_sigma=
  caffe style   not supported: SimpleBaseline's two files of that name have the stride in another
                layer; they load and give a low AP

No code in the file is run. All tensors must fit; with --partial, blocks may be missing. A report on
all tensors is written next to OUTPUT, with the suffix .json.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint import-weights",
        "Turn weights of SimpleBaseline, the HRNet repository, mmpose or this toolkit into a "
        "checkpoint for keypoint test.",
        EPILOG,
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="weights, written by torch.save or safetensors"
    )
    cli.add_output_file(parser, "the checkpoint to write")
    cli.add_config(parser, "a config, instead of the one derived from the file and --input-size")
    parser.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="input size of the training"
    )
    parser.add_argument(
        "--color-order",
        choices=("bgr", "rgb"),
        help="color order the weights expect; default: see above",
    )
    parser.add_argument(
        "--partial", action="store_true", help="blocks may be missing; they start as the identity"
    )
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
