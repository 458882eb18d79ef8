"""AP of keypoint results on images drawn again: how sure a difference of two networks is.

The networks are matched with the persons once, as COCOeval matches image by image; each draw then
counts an image as often as it was drawn and reads AP from the same curve, so that a thousand draws
take seconds. Both networks are scored on the same draw: the difference is paired.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import annotations_to_score
from keypoint.data.persons import Annotations
from keypoint.errors import DataError
from keypoint.evaluation.analysis.scoring import Scored, score_results
from keypoint.evaluation.persons import as_arrays, pair_all, read_truth
from keypoint.evaluation.results import read_results
from keypoint.evaluation.runs.statistics import DRAWS, Difference, bootstrap_difference
from keypoint.evaluation.similarity import person_similarity
from keypoint.evaluation.validate import check_results
from keypoint.pose.skeleton import Skeleton

SEED = 0  # of the draws, so that a comparison repeats itself


def score_file(
    annotations: str | Path | dict[str, Any] | Annotations,
    results: str | Path,
    skeleton: Skeleton,
    ap: float | None = None,
) -> Scored:
    """Score a results file, ready to be scored again on drawn images.

    Args:
        annotations: A file or its content, or what `read_annotations` with `scored` returns.
        results: In COCO's form.
        skeleton: Its OKS sigmas.
        ap: The AP that the file should have, 0 to 1; None if it is not known.

    Raises:
        DataError: Either side is faulty, or the AP is another.
    """
    checked = annotations_to_score(annotations, skeleton.num_keypoints)
    truth = read_truth(checked)
    content = check_results(read_results(results), str(results), checked, repeats=True)
    found = as_arrays(content, truth)
    pairs = pair_all(truth, found)
    similarity = person_similarity(truth, found, pairs, skeleton.oks_sigmas)
    scored = score_results(truth, found, pairs, similarity)
    measured = scored.average_precision().ap
    if measured is None:
        raise DataError(f"{checked.source}: no person to score against, so there is no AP")
    if ap is not None and abs(measured - ap) > 1e-6:
        raise DataError(
            f"{results}: its AP against {checked.source} is {measured:.4f}, and the run's is "
            f"{ap:.4f}: they are not of the same test; run keypoint test again"
        )
    return scored


def ap_difference(first: Scored, second: Scored, draws: int = DRAWS) -> Difference:
    """AP of the second less that of the first, with a bootstrap interval over the images.

    Only images with a person that counts, or a result, are drawn: others change no AP.

    Raises:
        ValueError: They are not of the same persons, or fewer than two images count.
    """
    if not np.array_equal(first.persons, second.persons):
        raise ValueError("results scored against other persons; score both against the same file")
    used = first.persons > 0
    for each in (first, second):
        used[each.image] = True
    rows = np.flatnonzero(used)

    def difference(counts: NDArray[np.int64]) -> float:
        times = np.zeros(len(used), np.int64)
        times[rows] = counts
        one, other = (each.average_precision(times).ap for each in (first, second))
        return (other or 0.0) - (one or 0.0)  # None: no person was drawn, and both lack an AP

    return bootstrap_difference(difference, len(rows), seed=SEED, draws=draws)
