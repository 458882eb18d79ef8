"""The analysis of one set of results, in the order of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import annotations_to_score
from keypoint.data.persons import Annotations, Persons
from keypoint.evaluation.analysis.calibration import Bin, best_scores, reliability
from keypoint.evaluation.analysis.errors import (
    FIXING_ORDER,
    KINDS,
    UNLABELLED,
    ap_if_fixed,
    count_kinds,
    error_kinds,
)
from keypoint.evaluation.analysis.per_keypoint import (
    PCK_SHARES,
    count_within,
    keypoint_ap,
    labelled_counts,
)
from keypoint.evaluation.persons import (
    Pairs,
    Results,
    Truth,
    as_arrays,
    pair_all,
    read_truth,
)
from keypoint.evaluation.results import MAX_PERSONS, CocoResults
from keypoint.evaluation.scoring import AveragePrecision, average_precision, match
from keypoint.evaluation.similarity import keypoint_similarity, person_similarity
from keypoint.evaluation.validate import check_results
from keypoint.pose.skeleton import Skeleton

if TYPE_CHECKING:
    from keypoint.evaluation.run import Evaluation

# Without known boxes: COCOeval's greedy matching far below the thresholds of AP, so that bad
# predictions are included (Ronchi and Perona 2017, section 3; coco-analyze's `oksLocThrs`).
PAIRING_OKS = 0.1


@dataclass(frozen=True)
class Comparison:
    """Results compared with the persons they belong to.

    Attributes:
        truth: Annotations.
        results: Predicted persons.
        pairs: All pairs of them, by image.
        similarity: (P,) OKS of the pairs.
        paired: (R,) annotation that each result is compared with, -1 for none.
        own: N pairs whose annotation counts.
        own_oks: (N,).
        kinds: (N, K) places in `KINDS`, -1 if the keypoint is not labelled.
        by_id: Whether the persons were known by their boxes.
    """

    truth: Truth
    results: Results
    pairs: Pairs
    similarity: NDArray[np.float64]
    paired: NDArray[np.int64]
    own: Pairs
    own_oks: NDArray[np.float64]
    kinds: NDArray[np.int64]
    by_id: bool


@dataclass(frozen=True)
class Analysis:
    """The outcome of `analyse`; AP and shares from 0 to 1, None if they are not defined.

    Attributes:
        keypoints: Names.
        by_id: Whether persons were known by their boxes; otherwise they were matched at OKS 0.1.
        persons: Number of persons that count.
        paired: Number of them with a result.
        labelled: (K,) persons with each keypoint.
        alone: (K,) OKS-AP of each keypoint alone.
        within: By share of the longer box side, (K,) keypoints within it.
        kinds: (K, 5) keypoints of paired persons by kind.
        all: AP of the results, equal to COCOeval's.
        if_fixed: By kind, AP with only that kind fixed.
        if_fixed_cumulative: By kind in order, AP with it and all before it fixed.
        best_order: AP if each result's score were its OKS.
        best_order_fixed: AP in the best order with all four kinds fixed.
        results: Counts of the results by outcome.
        score_bins: Scores of persons against OKS.
        keypoint_score_bins: Scores of keypoints against ks.
        keypoint_threshold: Keypoints scored above it count in the person's score.
        confident: Keypoints scored above it, and those at or below it; None for none.
    """

    keypoints: tuple[str, ...]
    by_id: bool
    persons: int
    paired: int
    labelled: NDArray[np.int64]
    alone: list[AveragePrecision]
    within: dict[float, NDArray[np.int64]]
    kinds: NDArray[np.int64]
    all: AveragePrecision
    if_fixed: dict[str, float | None]
    if_fixed_cumulative: dict[str, float | None]
    best_order: float | None
    best_order_fixed: float | None
    results: dict[str, int]
    score_bins: list[Bin]
    keypoint_score_bins: list[Bin]
    keypoint_threshold: float
    confident: tuple[Bin | None, Bin | None]


def compare(
    annotations: str | Path | dict[str, Any] | Annotations,
    results: list[dict[str, Any]] | CocoResults,
    skeleton: Skeleton,
    annotation_ids: Sequence[int] | None = None,
) -> Comparison:
    """Compare results with annotations, keypoint by keypoint.

    Args:
        annotations: A file or its content, or what `read_annotations` with `scored` returns.
        results: In COCO's results form, or the output of `make_results`; not modified.
        skeleton: Names, partners, OKS sigmas.
        annotation_ids: (R,) ids of the persons from whose boxes the results were made; None matches
            by OKS.

    Raises:
        DataError: Annotations or results are faulty, as in `evaluate_coco`.
        ValueError: An id in `annotation_ids` is unknown or given twice.
    """
    checked = annotations_to_score(annotations, skeleton.num_keypoints)
    truth = read_truth(checked)
    found = as_arrays(check_results(results, "results", checked, repeats=True), truth)

    pairs = pair_all(truth, found)
    similarity = person_similarity(truth, found, pairs, skeleton.oks_sigmas)
    if annotation_ids is None:
        paired = match(truth, pairs, similarity, found.rank, np.array([PAIRING_OKS]))[0]
    else:
        paired = _rows_of_ids(truth, annotation_ids)
    counts = (paired >= 0) & ~truth.ignored[paired]
    own = Pairs(np.flatnonzero(counts), paired[counts])
    return Comparison(
        truth=truth,
        results=found,
        pairs=pairs,
        similarity=similarity,
        paired=paired,
        own=own,
        own_oks=person_similarity(truth, found, own, skeleton.oks_sigmas),
        kinds=error_kinds(truth, found, pairs, own, skeleton.oks_sigmas, skeleton.flip_indices),
        by_id=annotation_ids is not None,
    )


def compare_evaluation(
    evaluation: Evaluation, *, persons: Persons, annotations: Annotations, skeleton: Skeleton
) -> Comparison:
    """Compare the results of an evaluation with the annotations it was scored against.

    Results from ground-truth boxes are compared with their own persons.

    Args:
        evaluation: The evaluation of `persons`.
        persons: Ground-truth or detector boxes.
        annotations: The annotations that were scored against.
        skeleton: Names, partners, OKS sigmas.
    """
    ids = None
    if evaluation.conditions["boxes"] == "ground truth":
        ids = persons.ids[evaluation.predictions.index[evaluation.results.rows]].tolist()
    return compare(annotations, evaluation.results, skeleton, ids)


def _rows_of_ids(truth: Truth, annotation_ids: Sequence[int]) -> NDArray[np.int64]:
    """(R,) row of the truth for each id.

    Raises:
        ValueError: An id is not in the truth, or is given twice.
    """
    row_of_id = {key: row for row, key in enumerate(truth.ids)}
    unknown = [key for key in annotation_ids if key not in row_of_id]
    if unknown or len(set(annotation_ids)) != len(annotation_ids):
        given = f"{len(unknown)} are unknown ({unknown[:3]})" if unknown else "some are given twice"
        raise ValueError(f"annotation_ids: {given}; give each result its own annotation's id")
    return np.array([row_of_id[key] for key in annotation_ids], dtype=np.int64)


def analyse(compared: Comparison, skeleton: Skeleton, keypoint_threshold: float = 0.2) -> Analysis:
    """Analyse what lowers the AP of these results: by keypoint, by kind of error, by score.

    Args:
        compared: As `compare` returns it.
        skeleton: The skeleton that `compare` was given.
        keypoint_threshold: Keypoints scored above it counted in the persons' scores.
    """
    truth, results, pairs, own = compared.truth, compared.results, compared.pairs, compared.own
    sigmas, kinds = skeleton.oks_sigmas, compared.kinds
    if_fixed: dict[str, float | None] = {}
    cumulative: dict[str, float | None] = {}
    similarity = compared.similarity
    for number, kind in enumerate(FIXING_ORDER, start=1):
        name = KINDS[kind]
        if_fixed[name], _ = ap_if_fixed(truth, results, pairs, own, kinds, sigmas, {kind})
        cumulative[name], similarity = ap_if_fixed(
            truth, results, pairs, own, kinds, sigmas, FIXING_ORDER[:number]
        )
    as_is, all_fixed = (
        replace(results, scores=best_scores(truth, pairs, each, len(results.scores)))
        for each in (compared.similarity, similarity)
    )
    counts, score_bins = _score_bins(compared)
    keypoint_scores, keypoint_similarities = _scored_keypoints(compared, sigmas)
    return Analysis(
        keypoints=skeleton.keypoints,
        by_id=compared.by_id,
        persons=int((~truth.ignored).sum()),
        paired=len(own.result),
        labelled=labelled_counts(truth),
        alone=keypoint_ap(truth, results, pairs, sigmas),
        within={share: count_within(truth, results, own, share) for share in PCK_SHARES},
        kinds=count_kinds(kinds),
        all=average_precision(truth, results, pairs, compared.similarity),
        if_fixed=if_fixed,
        if_fixed_cumulative=cumulative,
        best_order=average_precision(truth, as_is, pairs, compared.similarity).ap,
        best_order_fixed=average_precision(truth, all_fixed, pairs, similarity).ap,
        results=counts,
        score_bins=score_bins,
        keypoint_score_bins=reliability(keypoint_scores, keypoint_similarities),
        keypoint_threshold=keypoint_threshold,
        confident=(
            _one_bin(keypoint_scores, keypoint_similarities, keypoint_scores > keypoint_threshold),
            _one_bin(keypoint_scores, keypoint_similarities, keypoint_scores <= keypoint_threshold),
        ),
    )


def _score_bins(compared: Comparison) -> tuple[dict[str, int], list[Bin]]:
    """Counts of the results, and OKS by score of those that can be hits or false positives."""
    results, paired = compared.results, compared.paired
    cut = results.rank >= MAX_PERSONS
    on_ignored = ~cut & (paired >= 0) & compared.truth.ignored[paired]
    oks = np.zeros(len(paired))
    oks[compared.own.result] = compared.own_oks
    judged = ~cut & ~on_ignored
    counts = {
        "matched to a person": int((judged & (paired >= 0)).sum()),
        "matched to no person": int((judged & (paired < 0)).sum()),
        "on an ignored annotation": int(on_ignored.sum()),
        f"beyond the best {MAX_PERSONS} of an image": int(cut.sum()),
    }
    return counts, reliability(results.scores[judged], oks[judged])


def _scored_keypoints(
    compared: Comparison, sigmas: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score and ks of each labelled keypoint of the paired persons."""
    own, scores, similarities = compared.own, [], []
    for k in range(compared.kinds.shape[1]):
        labelled = compared.kinds[:, k] != UNLABELLED
        some = Pairs(own.result[labelled], own.truth[labelled])
        scores.append(compared.results.keypoint_scores[some.result, k])
        similarities.append(
            keypoint_similarity(compared.truth, compared.results, some, sigmas, k, k)
        )
    return np.concatenate(scores), np.concatenate(similarities)


def _one_bin(
    scores: NDArray[np.float64], similarity: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Bin | None:
    bins = reliability(scores[chosen], similarity[chosen], bins=1)
    return bins[0] if bins else None
