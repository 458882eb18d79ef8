"""COCO's keypoint numbers from given similarities.

Source: COCOeval.evaluateImg, accumulate and summarize with iouType "keypoints" and maxDets 20.
Different here: the results of the same rank in all images choose at the same time, and only pairs
above the lowest threshold are considered. Tests check that the ten numbers equal pycocotools' to
1e-12 on random cases (`make cases`: 10,000). An analysis scores the same persons about thirty times
with other keypoints or scores.

Letters: E evaluations, T thresholds, R results, S scored results, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keypoint.evaluation.curves import Curves, Scored
from keypoint.evaluation.persons import LARGEST_AREA, Pairs, Results, Truth
from keypoint.evaluation.results import MAX_PERSONS

THRESHOLDS = np.linspace(0.5, 0.95, 10)
AT = {"50": 0, "75": 5}  # of THRESHOLDS
# COCO's areas of persons, square pixels, by the end of the names of their numbers.
AREAS = {"": (0.0, LARGEST_AREA), "_M": (32.0**2, 96.0**2), "_L": (96.0**2, LARGEST_AREA)}


@dataclass(frozen=True)
class AveragePrecision:
    """AP over OKS 0.5 to 0.95, and at 0.5 and 0.75; None if no person counts."""

    ap: float | None
    ap50: float | None
    ap75: float | None


def average_precision(
    truth: Truth, results: Results, pairs: Pairs, similarity: NDArray[np.float64]
) -> AveragePrecision:
    """AP, AP50 and AP75 as COCOeval has them; `similarity` is the OKS (P,) of the pairs."""
    return read_ap(score_results(truth, results, pairs, similarity))


def read_ap(scored: Scored) -> AveragePrecision:
    """The three numbers of matched results."""
    if not scored.persons.any():
        return AveragePrecision(None, None, None)
    precision = Curves([scored]).at()[0][0]  # T 101
    return AveragePrecision(
        *(float(part.mean()) for part in (precision, precision[AT["50"]], precision[AT["75"]]))
    )


def score_by_area(
    truth: Truth, results: Results, pairs: Pairs, similarity: NDArray[np.float64]
) -> list[Scored]:
    """Match the results once for each of AREAS: persons of all sizes, medium and large ones."""
    return [score_results(truth, results, pairs, similarity, areas) for areas in AREAS.values()]


def ten_numbers(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float]:
    """COCO's numbers by name, AP first; nan for a number without a person.

    `precision` (E, T, 101) and `recall` (E, T) are `Curves.at`'s, the first E those of AREAS.
    """
    found = {}
    for letters, values in (("AP", precision), ("AR", recall)):
        found[letters] = values[0]
        found |= {letters + end: values[0, threshold] for end, threshold in AT.items()}
        found |= {letters + end: values[row] for row, end in enumerate(AREAS) if end}
    return {name: float(values.mean()) for name, values in found.items()}


def score_results(
    truth: Truth,
    results: Results,
    pairs: Pairs,
    similarity: NDArray[np.float64],
    areas: tuple[float, float] = (0.0, LARGEST_AREA),
) -> Scored:
    """Match the results as COCOeval does and put them in the order of their scores.

    `similarity` is the OKS (P,) of the pairs; persons of other `areas` (lowest and highest, square
    pixels) are ignored, and results of other areas if they are on none.
    """
    truth = truth.within(*areas)
    matched = match(truth, pairs, similarity, results.rank, THRESHOLDS)  # T R
    order = results.scored  # S
    threshold, result = np.nonzero(matched >= 0)
    on_ignored = truth.ignored[matched[threshold, result]]
    hit, ignored = np.zeros((2, *matched.shape), dtype=bool)
    hit[threshold, result] = ~on_ignored
    ignored[threshold, result] = on_ignored
    return Scored(
        hit=hit[:, order],
        ignored=ignored[:, order],
        inside=((results.area >= areas[0]) & (results.area <= areas[1]))[order],
        image=results.image[order],
        equals=_runs(results.scores[order], results.image[order]),
        persons=np.bincount(truth.image[~truth.ignored], minlength=len(truth.image_ids)),
    )


def _runs(scores: NDArray[np.float64], image: NDArray[np.int64]) -> NDArray[np.int64]:
    """(S,) number of the run of neighbours with equal score and image."""
    starts = (np.diff(scores, prepend=np.nan) != 0) | (np.diff(image, prepend=-1) != 0)
    return np.asarray(np.cumsum(starts), np.int64)


def match(
    truth: Truth,
    pairs: Pairs,
    similarity: NDArray[np.float64],
    rank: NDArray[np.int64],
    thresholds: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the annotation that each result takes: the best result of an image chooses first.

    A result takes the most similar free annotation, the last of equal ones, and an ignored one only
    if no other matches; a crowd can be taken repeatedly.

    `similarity` is the OKS (P,) of the pairs, `rank` (R,) the order in which the results of an
    image choose (from 20 on they do not), `thresholds` (T,) the least OKS of a match.

    Returns:
        (T, R) rows of the truth, -1 for a result that takes none.
    """
    found = np.full((len(thresholds), len(rank)), -1, dtype=np.int64)
    # COCOeval's own bound, so that a perfect pair passes any threshold.
    bounds = np.minimum(thresholds, 1 - 1e-10)[:, None]
    near = np.flatnonzero((similarity >= bounds.min()) & (rank[pairs.result] < MAX_PERSONS))
    result, annotation, likeness = pairs.result[near], pairs.truth[near], similarity[near]
    preference = np.lexsort(
        (-annotation, -likeness, truth.ignored[annotation], result, rank[result])
    )
    result, annotation = result[preference], annotation[preference]
    likeness = likeness[preference]
    taken = np.zeros((len(thresholds), len(truth.ids)), dtype=bool)
    steps = np.searchsorted(rank[result], np.arange(MAX_PERSONS + 1))
    # Results of one rank are on different images, so that none can take another's annotation.
    for begin, end in zip(steps[:-1], steps[1:], strict=True):
        if begin == end:
            continue
        chooser, choice = result[begin:end], annotation[begin:end]
        free = ~taken[:, choice] | truth.crowd[choice]
        allowed = free & (likeness[begin:end] >= bounds)  # T P'
        starts = np.flatnonzero(np.diff(chooser, prepend=-1))
        place = np.where(allowed, np.arange(len(choice)), len(choice))
        first = np.minimum.reduceat(place, starts, axis=1)  # T, one a result
        row, column = np.nonzero(first < len(choice))
        picked = choice[first[row, column]]
        found[row, chooser[starts][column]] = picked
        taken[row, picked] = True
    return found
