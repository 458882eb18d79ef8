"""Top-1 of two tests on videos drawn again: how sure their difference is on other such videos.

The bootstrap of `keypoint.evaluation.runs.statistics`, over the videos that both tests have; both
are scored on the same draw.
"""

from __future__ import annotations

import numpy as np

from keypoint.action.evaluation.compare import align
from keypoint.action.evaluation.scores import VideoScores
from keypoint.evaluation.runs.statistics import DRAWS, Difference, bootstrap_difference

SEED = 0  # of the draws, so that a comparison repeats itself


def top1_difference(
    names: tuple[str, str], first: VideoScores, second: VideoScores, draws: int = DRAWS
) -> Difference:
    """Top-1 of the second less that of the first, with a bootstrap interval over the videos.

    Raises:
        DataError: They are not of the same videos, classes and labels, or none has a label.
    """
    first = first.labelled()
    second = align(names[0], first, names[1], second)
    one, other = (
        (test.scores.argmax(axis=1) == test.labels).astype(np.float64) for test in (first, second)
    )
    apart, videos = other - one, len(first)
    return bootstrap_difference(
        lambda times: float(times @ apart) / videos, videos, seed=SEED, draws=draws
    )
