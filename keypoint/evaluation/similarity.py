"""Similarity of a predicted keypoint, and of a predicted person, to the annotated one.

Source: COCO's keypoint metric as COCOeval.computeOks has it. Keypoint similarity is
ks = exp(-d^2 / (2 area (2 sigma)^2)), OKS its mean over the labelled keypoints. An annotation
without a labelled keypoint is judged by its box: by the distance of all keypoints to a box of three
times the size around it. Different here: all pairs of a data set at once, one keypoint at a time,
so that memory stays at a few numbers per pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.persons import Pairs, Results, Truth


def keypoint_similarity(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    oks_sigmas: Sequence[float],
    predicted: int,
    annotated: int,
) -> NDArray[np.float64]:
    """(P,) similarity of keypoint `predicted` of each result to `annotated` of its annotation.

    The fall-off is that of the annotated person and keypoint. The value is meaningless if the
    keypoint is not labelled.
    """
    dx, dy = (
        results.keypoints[:, predicted, axis][pairs.result]
        - truth.keypoints[:, annotated, axis][pairs.truth]
        for axis in (0, 1)
    )
    return _fall_off(dx, dy, truth.area[pairs.truth], oks_sigmas[annotated])


def person_similarity(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    oks_sigmas: Sequence[float],
    outside: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """(P,) OKS of each pair, in [0, 1].

    Args:
        truth: Annotations; the labelled keypoints count.
        results: Predicted persons.
        pairs: Pairs of results and annotations.
        oks_sigmas: (K,).
        outside: (P,) the `box_similarity` of the pairs if it is known; None computes it if
            necessary.
    """
    total = np.zeros(len(pairs.truth))
    for k in np.flatnonzero(truth.labelled.any(axis=0)).tolist():
        similarity = keypoint_similarity(truth, results, pairs, oks_sigmas, k, k)
        total += np.where(truth.labelled[:, k][pairs.truth], similarity, 0.0)
    count = truth.labelled.sum(axis=1)[pairs.truth]
    by_box = count == 0
    oks = total / np.maximum(count, 1)
    if by_box.any():
        if outside is None:
            some = Pairs(pairs.result[by_box], pairs.truth[by_box])
            oks[by_box] = box_similarity(truth, results, some, oks_sigmas)
        else:
            oks[by_box] = outside[by_box]
    return np.asarray(oks)


def box_similarity(
    truth: Truth, results: Results, pairs: Pairs, oks_sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """(P,) similarity of a result to an annotation by the box only; 1 is inside."""
    corner, size = truth.bbox_xywh[pairs.truth, :2], truth.bbox_xywh[pairs.truth, 2:]
    low, high = corner - size, corner + 2 * size  # P 2
    area = truth.area[pairs.truth]
    total = np.zeros(len(pairs.truth))
    for k, sigma in enumerate(oks_sigmas):
        found = results.keypoints[:, k][pairs.result]
        distance = np.maximum(low - found, 0) + np.maximum(found - high, 0)
        total += _fall_off(distance[:, 0], distance[:, 1], area, sigma)
    return total / len(oks_sigmas)


def _fall_off(
    dx: NDArray[np.float64], dy: NDArray[np.float64], area: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # 1e200 px away: infinitely far, similarity 0
        squared = dx**2 + dy**2
        exponent = squared / (2 * sigma) ** 2 / (area + np.spacing(1)) / 2
    return np.asarray(np.exp(-exponent))
