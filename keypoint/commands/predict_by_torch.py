"""The part of keypoint predict that needs torch: the network of a checkpoint, and a detector.

An exported network with given boxes needs neither, and starts several times as fast.
"""

from __future__ import annotations

import argparse

from torch import nn

from keypoint.commands import cli
from keypoint.commands.options.predict import BATCH_SIZE
from keypoint.distributed import choose_device
from keypoint.prediction.names import DETECTOR_SCORE, DETECTORS
from keypoint.prediction.predictor import Predictor
from keypoint.training.step import AMP_DTYPES


def predictor_of(args: argparse.Namespace) -> Predictor:
    """Return the network of --checkpoint."""
    return Predictor.from_checkpoint(
        args.checkpoint,
        args.device,
        args.flip,
        AMP_DTYPES[args.amp],
        (args.batch_size or BATCH_SIZE) if args.compile else None,
        cli.chosen_decoding(args),
    )


def detector_of(args: argparse.Namespace) -> nn.Module:
    """Return the detector of --detector, or the first one, on its device."""
    from keypoint.prediction.detector import load_detector  # torchvision, not for a network

    threshold = DETECTOR_SCORE if args.box_threshold is None else args.box_threshold
    detector = load_detector(args.detector or DETECTORS[0], threshold)
    return detector.to(choose_device(args.device))
