"""Average precision and recall of matched results, with each image as often as it was drawn.

Source: COCOeval.accumulate. AP is a mean over recalls of the best remaining precision, and
precision is highest at hits, so only hits are evaluated: false positives count as the number of
results before a hit. A hit on an image that is drawn twice has weight 2, so a thousand resampled
test sets are scored in seconds. If results of one image with equal scores are partly hits, their
copies alternate; only these are written out.

Letters: T thresholds, S scored results, I images, E evaluations of the same results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Scored:
    """Outcome of the results at each threshold, the best score first.

    Attributes:
        hit: (T, S) bool, on a person that counts.
        ignored: (T, S) bool, on an annotation that does not count.
        inside: (S,) bool, whether the area is evaluated: without annotation, a false positive.
        image: (S,) rows of the truth's `image_ids`.
        equals: (S,) number of the run of equal scores of one image that a result is in.
        persons: (I,) persons that count on each image.
    """

    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    image: NDArray[np.int64]
    equals: NDArray[np.int64]
    persons: NDArray[np.int64]


@dataclass(frozen=True)
class _Hits:
    """Hits of one evaluation at one threshold, as rows of the results written out.

    Attributes:
        rows: (H,) of the hits.
        odd: Rows that count differently from `Scored.inside`.
        sign: For odd rows: 1 if the row counts anyway, -1 if it does not.
        before: (H,) number of odd rows at or before each hit.
    """

    rows: NDArray[np.int64]
    odd: NDArray[np.int64]
    sign: NDArray[np.float64]
    before: NDArray[np.int64]


@dataclass(frozen=True)
class _Layout:
    """The results written out for images that occur up to a given number of times.

    Attributes:
        image: (S',) of each row.
        copy: (S',) number of the copy, -1 for a row that stands for all copies.
        inside: A different `Scored.inside` each, (S',) float64.
        which: (E,) place of each evaluation's in it.
        hits: E times T.
    """

    image: NDArray[np.int64]
    copy: NDArray[np.int64]
    inside: list[NDArray[np.float64]]
    which: list[int]
    hits: list[list[_Hits]]


class Curves:
    """Evaluations of the same results: of all persons, of a size, of a keypoint alone."""

    def __init__(self, scored: Sequence[Scored]) -> None:
        self.persons = np.stack([each.persons for each in scored])  # E I
        self._scored = scored
        self._layouts: dict[int, _Layout] = {}
        mixed = [_mixed(each) for each in scored]
        self._mixed = np.logical_or.reduce(mixed)  # S

    def at(
        self, times: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Best precision left at each recall, (E, T, 101), and largest recall, (E, T).

        Args:
            times: (I,) how often each image is in the test set, with consecutive copies;
                None for once.

        Returns:
            Both in [0, 1]; nan in an evaluation in which no person counts. AP is the mean of
            precision.
        """
        if times is None:
            times = np.ones(self.persons.shape[1], np.int64)
        layout = self._written_out(int(times.max(initial=1)))
        weight = times[layout.image].astype(np.float64)  # S'
        weight = np.where(layout.copy < 0, weight, weight > layout.copy)
        counted = [np.cumsum(weight * inside) for inside in layout.inside]
        persons = self.persons @ times
        shape = len(self._scored), len(layout.hits[0])
        precision, recall = np.full((*shape, len(RECALLS)), np.nan), np.full(shape, np.nan)
        for row, (by_threshold, which) in enumerate(zip(layout.hits, layout.which, strict=True)):
            if persons[row]:
                precision[row] = recall[row] = 0.0
                for t, hits in enumerate(by_threshold):
                    if len(hits.rows):
                        reached, recall[row, t] = _curve(hits, weight, counted[which], persons[row])
                        precision[row, t, : len(reached)] = reached
        return precision, recall

    def _written_out(self, most: int) -> _Layout:
        """Write out for images that occur at most `most` times."""
        copies = 1 << (most - 1).bit_length() if self._mixed.any() else 1
        if copies not in self._layouts:
            self._layouts[copies] = _lay_out(self._scored, self._mixed, copies)
        return self._layouts[copies]


def _mixed(scored: Scored) -> NDArray[np.bool_]:
    """(S,) in a run of equal scores with hits and false positives at one threshold."""
    mixed = np.zeros(len(scored.equals), np.bool_)
    alike = np.diff(scored.equals) == 0
    rows = np.flatnonzero(np.append(alike, False) | np.append(False, alike))  # of runs of several
    if len(rows):
        starts = np.flatnonzero(np.diff(scored.equals[rows], prepend=-1))
        hit = scored.hit[:, rows]
        false = ~hit & ~scored.ignored[:, rows] & scored.inside[rows]
        both = [np.logical_or.reduceat(side, starts, axis=1) for side in (hit, false)]
        of_runs = np.logical_and(*both).any(axis=0)
        mixed[rows] = np.repeat(of_runs, np.diff(starts, append=len(rows)))
    return mixed


def _lay_out(scored: Sequence[Scored], mixed: NDArray[np.bool_], copies: int) -> _Layout:
    """Rows of all results, of the mixed ones each copy."""
    image, equals = scored[0].image, scored[0].equals
    count = np.where(mixed, copies, 1)
    rows = np.repeat(np.arange(len(count)), count)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    order = np.argsort(equals[rows] * copies + copy, kind="stable")
    rows, copy = rows[order], copy[order]
    inside = [each.inside for each in scored]
    distinct = list({each.tobytes(): each for each in inside}.values())
    place = {each.tobytes(): number for number, each in enumerate(distinct)}
    return _Layout(
        image[rows],
        np.where(mixed[rows], copy, -1),
        [each[rows].astype(np.float64) for each in distinct],
        [place[each.tobytes()] for each in inside],
        [
            [
                _hits(hit[rows], ignored[rows], each.inside[rows])
                for hit, ignored in zip(each.hit, each.ignored, strict=True)
            ]
            for each in scored
        ],
    )


def _hits(hit: NDArray[np.bool_], ignored: NDArray[np.bool_], inside: NDArray[np.bool_]) -> _Hits:
    rows = np.flatnonzero(hit)
    odd = np.flatnonzero(np.where(inside, ignored, hit))
    before = np.searchsorted(odd, rows, side="right")
    return _Hits(rows, odd, np.where(inside[odd], -1.0, 1.0), before)


def _curve(
    hits: _Hits, weight: NDArray[np.float64], counted: NDArray[np.float64], persons: int
) -> tuple[NDArray[np.float64], float]:
    """Best precision left at each of RECALLS up to the largest recall, and that."""
    number = np.cumsum(weight[hits.rows])  # of hits so far
    results = counted[hits.rows]
    if len(hits.odd):
        odd = np.cumsum(weight[hits.odd] * hits.sign)
        results = results + np.concatenate([[0.0], odd])[hits.before]
    precision = number / (results + np.spacing(1))
    best_later = np.maximum.accumulate(precision[::-1])[::-1]
    recall = number / persons
    place = np.searchsorted(recall, RECALLS)
    reached = place[place < len(recall)]
    return best_later[reached], float(recall[-1])
