"""The annotated person that each result is compared with.

Source: Ronchi and Perona 2017, section 3 and their code (coco-analyze, `oksLocThrs`): COCOeval's
greedy matching at OKS 0.1, far below the thresholds of AP, so that bad predictions are looked at
too. Different here: if each result was made from the ground-truth box of a person, that person
is known and no matching is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.analysis.scoring import match
from keypoint.evaluation.persons import Pairs, Truth

PAIRING_OKS = 0.1


def pair_by_similarity(
    truth: Truth, pairs: Pairs, similarity: NDArray[np.float64], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """COCOeval's matching at OKS 0.1: the best-scored results choose first.

    Args:
        truth: Annotations.
        pairs: Of results and annotations.
        similarity: (P,) their OKS.
        rank: (R,) place of each result in its image.

    Returns:
        (R,) row of the truth, -1 for none; it may be an ignored annotation.
    """
    return np.asarray(match(truth, pairs, similarity, rank, np.array([PAIRING_OKS]))[0])


def pair_by_id(truth: Truth, annotation_ids: Sequence[int]) -> NDArray[np.int64]:
    """The person whose box each result was made from.

    Args:
        truth: Annotations.
        annotation_ids: (R,) of the results.

    Returns:
        (R,) row of the truth.

    Raises:
        ValueError: An id that is not in the truth, or is given twice.
    """
    row_of_id = {key: row for row, key in enumerate(truth.ids)}
    unknown = [key for key in annotation_ids if key not in row_of_id]
    if unknown or len(set(annotation_ids)) != len(annotation_ids):
        given = f"{len(unknown)} are unknown ({unknown[:3]})" if unknown else "some are given twice"
        raise ValueError(f"annotation_ids: {given}; give each result its own annotation's id")
    return np.array([row_of_id[key] for key in annotation_ids], dtype=np.int64)


def own_pairs(paired: NDArray[np.int64], truth: Truth) -> Pairs:
    """The pairs whose annotation counts (G' of them), in the order of the results.

    Args:
        paired: (R,) row of the truth, -1 for none.
        truth: Annotations.
    """
    counts = (paired >= 0) & ~truth.ignored[paired]
    return Pairs(np.flatnonzero(counts), paired[counts])
