"""Bootstrap over the videos of two tests: the interval of their difference on other such videos.

Uses the bootstrap of `keypoint.evaluation.runs.statistics`. Both tests are scored on the same draw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keypoint.action.evaluation.accuracy import TOP, rank_labels
from keypoint.action.evaluation.compare import align
from keypoint.action.evaluation.scores import VideoScores
from keypoint.evaluation.runs.statistics import DRAWS, Difference, bootstrap_differences

SEED = 0  # seed of the draws, so that a comparison can be repeated exactly


def differences_on_videos(
    names: tuple[str, str], first: VideoScores, second: VideoScores, draws: int = DRAWS
) -> dict[str, Difference]:
    """Return accuracies of the second minus those of the first, with bootstrap intervals.

    Returns:
        Differences by the names of `Accuracy.metrics`. A class without a drawn video is not part
        of a draw's `mean_class`.

    Raises:
        DataError: They differ in videos, classes or labels, or no video has a label.
    """
    first = first.labelled()
    second = align(names[0], first, names[1], second)
    labels, classes = first.labels, len(first.classes)
    ranks = [rank_labels(test.scores, labels) for test in (first, second)]
    top1, top5 = (
        (ranks[1] < top).astype(np.float64) - (ranks[0] < top) for top in (1, TOP)
    )  # N, 1 if only the second is right, -1 if only the first is

    def difference(times: NDArray[np.int64]) -> dict[str, float]:
        count = np.bincount(labels, times, classes)  # C
        apart = np.bincount(labels, times * top1, classes)[count > 0] / count[count > 0]
        found = {"top1": float(times @ top1) / len(labels), "mean_class": float(apart.mean())}
        return found | ({"top5": float(times @ top5) / len(labels)} if classes > TOP else {})

    return bootstrap_differences(difference, len(labels), seed=SEED, draws=draws)
