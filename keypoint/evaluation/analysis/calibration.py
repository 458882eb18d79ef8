"""The reliability of the scores of persons and keypoints.

Source: Ronchi and Perona 2017, section 3.2: a result's best score is its OKS with the person it
belongs to, 0 if there is none. Different here: persons are assigned greedily by descending OKS, not
by the maximum sum; COCOeval does the same with such scores, and AP is then the share of persons
found at each threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.persons import Pairs, Truth

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same score.

    Attributes:
        low: Lowest score.
        high: Highest score.
        count: Number of predictions.
        mean: Mean similarity, 0 to 1.
        near: Share with a similarity of at least 0.5.
    """

    low: float
    high: float
    count: int
    mean: float
    near: float


def reliability(
    scores: NDArray[np.float64], similarity: NDArray[np.float64], bins: int = BINS
) -> list[Bin]:
    """Similarity by score, in bins of equal count (they differ by one at most).

    Equal counts instead of equal widths, because scores of detector boxes accumulate near 0, and
    scores of other toolkits have any range.

    Args:
        scores: (N,).
        similarity: (N,) OKS or ks.
        bins: Maximum number of bins; empty ones are left out.

    Returns:
        Bins by rising score; none for N = 0.
    """
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        Bin(
            low=float(scores[part].min()),
            high=float(scores[part].max()),
            count=len(part),
            mean=float(similarity[part].mean()),
            near=float((similarity[part] >= 0.5).mean()),
        )
        for part in parts
    ]


def best_scores(
    truth: Truth, pairs: Pairs, similarity: NDArray[np.float64], num_results: int
) -> NDArray[np.float64]:
    """(R,) the OKS of each result with the person assigned to it; a person is assigned once.

    `similarity` is the OKS (P,) of the pairs, `num_results` is R. Ignored annotations are not
    assigned.
    """
    counts = np.flatnonzero(~truth.ignored[pairs.truth] & (similarity > 0))
    result, person, likeness = pairs.result[counts], pairs.truth[counts], similarity[counts]
    best = np.zeros(num_results)
    order = np.argsort(-likeness, kind="stable")
    result, person, likeness = result[order], person[order], likeness[order]
    while len(result):
        # A pair that is each other's first choice belongs together in any case.
        first_of_result = np.zeros(len(result), dtype=bool)
        first_of_result[np.unique(result, return_index=True)[1]] = True
        first_of_person = np.zeros(len(person), dtype=bool)
        first_of_person[np.unique(person, return_index=True)[1]] = True
        given = first_of_result & first_of_person
        best[result[given]] = likeness[given]
        left = ~np.isin(result, result[given]) & ~np.isin(person, person[given])
        result, person, likeness = result[left], person[left], likeness[left]
    return best
