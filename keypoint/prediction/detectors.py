"""The detector that a command line names, and the score from which its boxes count."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from keypoint.errors import ConfigError
from keypoint.prediction.detector import DETECTORS, load_detector

DETECTOR_SCORE = 0.5  # boxes below it are seldom persons


def named_detector(given: str, score_threshold: float = DETECTOR_SCORE) -> nn.Module:
    """A detector in eval mode, on the CPU.

    Args:
        given: NAME of `DETECTORS` (its weights are downloaded at the first use; "torchvision" is
            the first of them), FILE of weights of the first, or NAME:FILE.
        score_threshold: Boxes below it are dropped.

    Raises:
        ConfigError: No such name and no such file.
        CheckpointError: The weights cannot be used.
    """
    name, colon, file = given.partition(":")
    if name == "torchvision":  # whose best one comes first
        name = DETECTORS[0]
    if name in DETECTORS:
        return load_detector(name, Path(file) if colon else None, score_threshold=score_threshold)
    if not Path(given).exists():
        raise ConfigError(
            f"--detector {given}: no such file, and no name of a detector; there are "
            f"{', '.join(DETECTORS)}"
        )
    return load_detector(DETECTORS[0], Path(given), score_threshold=score_threshold)
