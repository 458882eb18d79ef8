"""The options of keypoint app."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.prediction.names import DETECTORS, HOG

EPILOG = f"""examples:
  keypoint app --checkpoint output/demo/best.pt
      the demo's network; one person fills each picture, unless boxes are drawn on it
  keypoint app --weights NAME
      a published network, by its name; or a folder with model.pt
  keypoint app --checkpoint best.pt --detector {DETECTORS[0]}
      a detector finds the persons; torchvision downloads its weights once
  keypoint app --checkpoint best.pt --detector fasterrcnn.pth --flip
      a detector's weights in a file (of {DETECTORS[0]}; NAME:FILE for another one)
  keypoint app --checkpoint best.pt --detector {HOG}
      a detector without a network: finds whole, standing persons, and misses many

Without --host, only this machine can reach the page; there is no password. Pictures are JPEG, PNG,
BMP or WebP files of up to 64 MiB, turned upright by their EXIF orientation. They are kept in a
temporary folder and deleted after an hour or when the server ends (Ctrl-C).
The page needs gradio: pip install -e ".[app]". It sends no request to any other machine.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = cli.parser(
        "keypoint app", "Serve a web page that finds keypoints on pictures.", EPILOG
    )
    cli.add_network(parser)
    cli.add_detector(parser, "one person fills each picture")
    parser.add_argument(
        "--host",
        metavar="NAME",
        default="127.0.0.1",
        help="address to listen on; default: %(default)s",
    )
    parser.add_argument(
        "--port",
        type=cli.whole_number(1),
        metavar="N",
        default=7860,
        help="port to listen on; default: %(default)s",
    )
    cli.add_flip(parser)
    cli.add_decoding(parser)
    cli.add_device(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line, and check what needs no file."""
    return make_parser().parse_args(argv)
