"""The quality of each keypoint: OKS-AP of it alone, and PCK.

OKS-AP of a keypoint: COCO's AP as if no other keypoint were annotated. OKS is then the similarity
of that keypoint; persons without a label of it are ignored, neither hit nor miss; matching,
thresholds and the limit of 20 results per image are unchanged.

PCK at a: the share of labelled keypoints that lie within a times the longer side of the person's
annotated box (Yang and Ramanan 2013, section 6.2, with boxes around the keypoints). All counted
persons are included; for those without a result, all keypoints are missed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.curves import Scored
from keypoint.evaluation.persons import Pairs, Results, Truth
from keypoint.evaluation.scoring import AveragePrecision, read_ap, score_results
from keypoint.evaluation.similarity import box_similarity, person_similarity

PCK_SHARES = (0.05, 0.1, 0.2)


def keypoint_ap(
    truth: Truth, results: Results, pairs: Pairs, oks_sigmas: Sequence[float]
) -> list[AveragePrecision]:
    """OKS-AP of each of K keypoints alone; None in all three if no person has it labelled."""
    return [read_ap(scored) for scored in score_keypoints(truth, results, pairs, oks_sigmas)]


def score_keypoints(
    truth: Truth, results: Results, pairs: Pairs, oks_sigmas: Sequence[float]
) -> list[Scored]:
    """Match the results once for each of K keypoints alone."""
    outside = box_similarity(truth, results, pairs, oks_sigmas)
    scored = []
    for k in range(truth.labelled.shape[1]):
        alone = truth.only(k)
        similarity = person_similarity(alone, results, pairs, oks_sigmas, outside)
        scored.append(score_results(alone, results, pairs, similarity))
    return scored


def labelled_counts(truth: Truth) -> NDArray[np.int64]:
    """(K,) on how many persons that count each keypoint is labelled."""
    return np.asarray(truth.labelled[~truth.ignored].sum(axis=0), dtype=np.int64)


def count_within(truth: Truth, results: Results, own: Pairs, share: float) -> NDArray[np.int64]:
    """(K,) labelled keypoints of the own pairs within `share` of the longer box side."""
    with np.errstate(over="ignore"):
        offset = results.keypoints[own.result] - truth.keypoints[own.truth]  # N K 2
        distance = np.sqrt((offset**2).sum(axis=2))
    limit = share * truth.bbox_xywh[own.truth, 2:].max(axis=1, initial=0.0)  # N
    within = (distance <= limit[:, None]) & truth.labelled[own.truth]
    return np.asarray(within.sum(axis=0), dtype=np.int64)
