"""Serve a web page that finds keypoints on pictures: keypoint app --checkpoint FILE."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence

from keypoint.app.page import Finder
from keypoint.app.server import is_loopback, require_gradio, serve
from keypoint.checkpoint.generated import ONLY_GENERATED
from keypoint.commands import cli
from keypoint.prediction.detector import DETECTORS, HOG, load_detector
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import detected_persons, whole_image

EPILOG = f"""examples:
  keypoint app --checkpoint output/demo/best.pt
      the demo's network; a picture shows one person, unless boxes are drawn on it
  keypoint app --weights NAME
      a published network, by its name; or a folder with model.pt
  keypoint app --checkpoint best.pt --detector {DETECTORS[0]}
      persons by a detector, whose weights torchvision downloads once
  keypoint app --checkpoint best.pt --detector fasterrcnn.pth --flip
      a detector from a file (of {DETECTORS[0]}; NAME:FILE for another one)
  keypoint app --checkpoint best.pt --detector {HOG}
      without network: finds whole, standing persons, and misses many

Only this machine can reach the page, unless --host says otherwise; there is no password. Pictures
are JPEG, PNG, BMP or WebP files of up to 64 MiB, turned upright by their EXIF orientation. They lie
in a temporary folder of this user, and are deleted after an hour and when the server ends (Ctrl-C).
The page needs gradio: pip install -e ".[app]". It sends no request to any other machine.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    require_gradio()
    predictor = Predictor.from_checkpoint(
        cli.chosen_checkpoint(args), args.device, args.flip, decoding=cli.chosen_decoding(args)
    )
    if predictor.only_generated:
        cli.logger.warning("warning: %s", ONLY_GENERATED)
    finder = Finder(predictor, whole_image, "Without boxes, the picture is taken for one person")
    if args.detector:
        detector = load_detector(args.detector).to(predictor.device)
        finder = Finder(predictor, detected_persons(detector), "A detector finds the persons")
    if not is_loopback(args.host):
        cli.logger.warning(
            "--host %s: everyone who can reach this machine over the network can use the page; "
            "there is no password",
            args.host,
        )
    with serve(finder, args.host, args.port) as address:
        print(f"Open {address} in a browser; Ctrl-C ends the server.", flush=True)
        threading.Event().wait()


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line, and check what needs no file."""
    parser = cli.parser(
        "keypoint app", "Serve a web page that finds keypoints on pictures.", EPILOG
    )
    cli.add_network(parser)
    cli.add_detector(parser, "one person fills each picture")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument(
        "--port", type=cli.whole_number(1), default=7860, help="to listen at (%(default)s)"
    )
    cli.add_flip(parser)
    cli.add_decoding(parser)
    cli.add_device(parser)
    return parser.parse_args(argv)
