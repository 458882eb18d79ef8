"""Serve a web page that finds keypoints on pictures: keypoint app --checkpoint FILE."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from keypoint.app.page import Finder
from keypoint.app.server import is_loopback, require_gradio, serve
from keypoint.checkpoint.generated import ONLY_GENERATED
from keypoint.commands import cli
from keypoint.commands.options.app import parse
from keypoint.prediction.detector import load_detector
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import detected_persons, whole_image


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
    finder = Finder(predictor, whole_image, "Without boxes, one person fills the picture")
    if args.detector:
        detector = load_detector(args.detector).to(predictor.device)
        finder = Finder(predictor, detected_persons(detector), "A detector finds the persons")
    if not is_loopback(args.host):
        cli.logger.warning(
            "--host %s: anyone who can reach this machine over the network can use the page; "
            "there is no password",
            args.host,
        )
    with serve(finder, args.host, args.port) as address:
        print(f"Open {address} in a browser; Ctrl-C ends the server.", flush=True)
        threading.Event().wait()
