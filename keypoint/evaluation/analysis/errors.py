"""The kind of error of each keypoint, and the AP that fixing each kind of error would give.

Source: Ronchi and Perona 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose
Estimation", section 3.1, and their code (coco-analyze). With ks the similarity to a labelled
keypoint (similarity.py), each labelled keypoint of a paired person is one of

    good       ks to its own place >= 0.85, as near as two human annotators come
    jitter     0.5 <= ks < 0.85
    inversion  ks < 0.5, but ks >= 0.5 to its left or right partner on the same person
    swap       ks < 0.5, but ks >= 0.5 to the same keypoint or its partner on another person
    miss       near none of these

If an inversion and a swap are both possible, the nearer one counts, and the inversion if they are
equal, as in coco-analyze. That code also looks for the nearest one before it checks the keypoint's
own place, which turns some jitters into inversions and swaps; the paper's order is kept here. Other
persons are all annotations of the image with that keypoint labelled, including crowds.

Fixing moves a keypoint to its annotated place; coco-analyze moves it only to the limit of the next
better kind, so its gains are smaller. OKS-NMS and scores are unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.persons import Pairs, Results, Truth
from keypoint.evaluation.scoring import average_precision
from keypoint.evaluation.similarity import keypoint_similarity, person_similarity

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
UNLABELLED = -1
GOOD_KS, NEAR_KS = 0.85, 0.5
FIXING_ORDER = (MISS, SWAP, INVERSION, JITTER)  # coco-analyze's


def error_kinds(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    own: Pairs,
    oks_sigmas: Sequence[float],
    flip_indices: Sequence[int],
) -> NDArray[np.int64]:
    """(N, K) the kind of each keypoint, a place in `KINDS`, -1 if it is not labelled.

    `pairs` are all pairs by image, `own` N pairs of a result and the person it is compared with;
    `flip_indices` has for each keypoint its partner, or itself.
    """
    shape = (len(own.result), truth.labelled.shape[1])
    to_own = _near(truth, results, own, oks_sigmas, range(shape[1]))
    to_partner = _near(truth, results, own, oks_sigmas, flip_indices)

    # The pairs of the same results with all others on their images.
    place = np.full(len(results.scores), -1, dtype=np.int64)
    place[own.result] = np.arange(shape[0])
    mine = np.full(len(results.scores), -1, dtype=np.int64)
    mine[own.result] = own.truth
    other = (place[pairs.result] >= 0) & (pairs.truth != mine[pairs.result])
    others = Pairs(pairs.result[other], pairs.truth[other])
    to_others = np.zeros(shape)
    for towards in (range(shape[1]), flip_indices):
        near = _near(truth, results, others, oks_sigmas, towards)
        np.maximum.at(to_others, place[others.result], near)

    elsewhere = np.where(to_partner >= to_others, INVERSION, SWAP)
    kinds = np.where(np.maximum(to_partner, to_others) >= NEAR_KS, elsewhere, MISS)
    kinds = np.where(to_own >= NEAR_KS, JITTER, kinds)
    kinds = np.where(to_own >= GOOD_KS, GOOD, kinds)
    return np.where(truth.labelled[own.truth], kinds, UNLABELLED)


def count_kinds(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K, 5) how many keypoints of each name are of each kind."""
    return np.stack([(kinds == kind).sum(axis=0) for kind in range(len(KINDS))], axis=1)


def fix(
    truth: Truth,
    results: Results,
    own: Pairs,
    kinds: NDArray[np.int64],
    wanted: Collection[int],
) -> Results:
    """The results with every keypoint of the wanted kinds at its annotated place."""
    wrong = np.isin(kinds, list(wanted))[..., None]
    keypoints = results.keypoints.copy()
    keypoints[own.result] = np.where(wrong, truth.keypoints[own.truth], keypoints[own.result])
    return replace(results, keypoints=keypoints)


def ap_if_fixed(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    own: Pairs,
    kinds: NDArray[np.int64],
    oks_sigmas: Sequence[float],
    wanted: Collection[int],
) -> tuple[float | None, NDArray[np.float64]]:
    """AP with the wanted kinds fixed, and the (P,) OKS of the pairs then."""
    fixed = fix(truth, results, own, kinds, wanted)
    similarity = person_similarity(truth, fixed, pairs, oks_sigmas)
    return average_precision(truth, fixed, pairs, similarity).ap, similarity


def _near(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    oks_sigmas: Sequence[float],
    towards: Sequence[int],
) -> NDArray[np.float64]:
    """(P, K) similarity of each keypoint to keypoint `towards[k]`, 0 if that has no label."""
    columns = [
        np.where(
            truth.labelled[pairs.truth, target],
            keypoint_similarity(truth, results, pairs, oks_sigmas, k, target),
            0.0,
        )
        for k, target in enumerate(towards)
    ]
    return np.stack(columns, axis=1)
