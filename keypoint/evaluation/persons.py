"""Ground truth and results as flat arrays, and every pair of them that shares an image.

Letters: G annotations, R results, I images, K keypoints, P pairs of a result and an annotation.
All coordinates are in the image's frame, in pixels; areas are in square pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from keypoint.data.persons import Annotations
from keypoint.evaluation.results import MAX_PERSONS, CocoResults

LARGEST_AREA = 1e5**2  # COCOeval's "all": larger persons are ignored


@dataclass(frozen=True)
class Truth:
    """The annotations of the category with keypoints, including crowds and unlabelled ones.

    They are in COCOeval's order: by image id, then as in the file.

    Attributes:
        image_ids: (I,) in rising order.
        ids: (G,) annotation ids of the file.
        image: (G,) int64, rows of `image_ids`.
        keypoints: (G, K, 2) float64.
        labelled: (G, K) bool.
        bbox_xywh: (G, 4) float64.
        area: (G,) float64.
        crowd: (G,) bool.
        ignored: (G,) bool: crowds and persons without a labelled keypoint; neither hit nor miss.
    """

    image_ids: NDArray[np.int64]
    ids: tuple[int, ...]
    image: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    bbox_xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]

    def only(self, keypoint: int) -> Truth:
        """The same annotations with no other keypoint labelled than one.

        A person without a label of it has no labelled keypoint then, and is ignored.
        """
        labelled = np.zeros_like(self.labelled)
        labelled[:, keypoint] = self.labelled[:, keypoint]
        return replace(self, labelled=labelled, ignored=self.ignored | ~labelled.any(axis=1))

    def within(self, low: float, high: float) -> Truth:
        """The same annotations, ignored if their area is below `low` or above `high`."""
        return replace(self, ignored=self.ignored | (self.area < low) | (self.area > high))


@dataclass(frozen=True)
class Results:
    """Predicted persons, in the order in which they were given.

    Attributes:
        image: (R,) int64, rows of the truth's `image_ids`.
        keypoints: (R, K, 2) float64.
        keypoint_scores: (R, K) float64.
        scores: (R,) float64.
    """

    image: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    keypoint_scores: NDArray[np.float64]
    scores: NDArray[np.float64]

    @cached_property
    def rank(self) -> NDArray[np.int64]:
        """(R,) rank within the image by descending score, from 0; equal scores keep their order."""
        rank = np.empty(len(self.scores), dtype=np.int64)
        rank[self._by_image] = _place_in_run(self.image[self._by_image])
        return rank

    @cached_property
    def scored(self) -> NDArray[np.int64]:
        """(S,) rows that COCOeval scores, by descending score, then by image, then in order."""
        rows = self._by_image[self.rank[self._by_image] < MAX_PERSONS]
        return rows[np.argsort(-self.scores[rows], kind="stable")]

    @cached_property
    def _by_image(self) -> NDArray[np.int64]:
        """(R,) rows by image and descending score; equal scores keep their order."""
        return np.lexsort((-self.scores, self.image))

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """(R,) extent of the keypoints, square pixels; as COCOeval's `loadRes` has it."""
        columns = np.ascontiguousarray(self.keypoints.transpose(1, 2, 0))  # K 2 R
        with np.errstate(over="ignore"):  # 1e200 px apart: infinitely large
            return np.asarray((columns.max(axis=0) - columns.min(axis=0)).prod(axis=0))


@dataclass(frozen=True)
class Pairs:
    """Each result with each annotation of its image, results in their order.

    Attributes:
        result: (P,) rows of the results.
        truth: (P,) rows of the truth.
    """

    result: NDArray[np.int64]
    truth: NDArray[np.int64]


def read_truth(annotations: Annotations) -> Truth:
    """Checked annotations in COCOeval's order."""
    by_id = np.argsort(annotations.images.ids)
    rank = np.empty_like(by_id)
    rank[by_id] = np.arange(len(by_id))
    image = rank[annotations.image_index]
    order = np.argsort(image, kind="stable")
    triples, area = annotations.keypoints[order], annotations.area[order]
    return Truth(
        image_ids=annotations.images.ids[by_id],
        ids=tuple(annotations.ids[order].tolist()),
        image=image[order],
        keypoints=np.ascontiguousarray(triples[..., :2]),
        labelled=triples[..., 2] > 0,
        bbox_xywh=annotations.bbox_xywh[order],
        area=area,
        crowd=annotations.crowd[order],
        ignored=~annotations.counted[order] | (area > LARGEST_AREA),
    )


def as_arrays(checked: CocoResults, truth: Truth) -> Results:
    """Checked results, with image ids replaced by rows of the truth's `image_ids`."""
    # In memory K 2 R, because loops over all results take one keypoint at a time.
    columns = np.ascontiguousarray(checked.keypoints[..., :2].transpose(1, 2, 0))
    return Results(
        image=np.searchsorted(truth.image_ids, checked.image_ids),
        keypoints=columns.transpose(2, 0, 1),
        keypoint_scores=checked.keypoints[..., 2],
        scores=checked.scores,
    )


def best_of_each_image(checked: CocoResults) -> CocoResults:
    """Return the results that COCOeval scores, by image, then by descending score."""
    order = np.lexsort((-checked.scores, checked.image_ids))
    order = order[_place_in_run(checked.image_ids[order]) < MAX_PERSONS]
    return CocoResults(
        checked.image_ids[order],
        checked.keypoints[order],
        checked.scores[order],
        checked.category_id,
        checked.rows[order],
    )


def pair_all(truth: Truth, results: Results) -> Pairs:
    """Every result with every annotation of its image."""
    first = np.searchsorted(truth.image, np.arange(len(truth.image_ids) + 1))  # I+1
    count = np.diff(first)[results.image]  # R
    result = np.repeat(np.arange(len(count)), count)  # P
    before = np.repeat(np.cumsum(count) - count, count)
    within = np.arange(len(result)) - before
    return Pairs(result, first[results.image][result] + within)


def _place_in_run(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) place of each number among its equals, which follow each other."""
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
    first = np.repeat(starts, np.diff(starts, append=len(numbers)))
    return np.arange(len(numbers)) - first
