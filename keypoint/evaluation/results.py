"""Predicted persons as COCO results: rescored, without duplicates, in COCO's form.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py`: person score = box score * mean of the
confident keypoints' scores, then OKS-NMS per image with the areas of the ENLARGED crops. Different
here: arrays instead of loops, results keep the order of the given persons (COCOeval takes equal
scores in that order), and numbers that are not finite are refused.

Results stay arrays until they are scored, and become COCO's list of objects only to be written:
making and checking 100,000 lists of 51 numbers takes as long as everything else after the heatmaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keypoint.errors import DataError, NumericsError
from keypoint.evaluation.oks import may_resemble, oks_nms, person_scores, soft_oks_nms
from keypoint.files import read_json

MAX_PERSONS = 20  # COCOeval's maxDets for keypoints: the best 20 results of each image count


@dataclass(frozen=True)
class CocoResults:
    """Predicted persons, in the order in which COCOeval takes equal scores.

    Attributes:
        image_ids: (R,) whole numbers, from the annotations.
        keypoints: (R, K, 3) float64: x and y in pixels of the image, and the keypoint's score.
        scores: (R,) float64, of the persons.
        category_id: Category of all of them.
        rows: (R,) int64; the row of each in the given persons.
    """

    image_ids: NDArray[Any]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    category_id: int
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def to_coco(self) -> list[dict[str, Any]]:
        """Return the list of objects in a results file, as plain Python values."""
        flat = self.keypoints.reshape(len(self), 3 * self.keypoints.shape[1])
        return [
            {
                "image_id": image_id,
                "category_id": self.category_id,
                "keypoints": numbers,
                "score": score,
            }
            for image_id, numbers, score in zip(
                self.image_ids.tolist(), flat.tolist(), self.scores.tolist(), strict=True
            )
        ]


@dataclass(frozen=True)
class ResultCounts:
    """Counts of the predicted persons: given = kept + suppressed."""

    given: int
    kept: int
    suppressed: int

    def __post_init__(self) -> None:
        assert self.given == self.kept + self.suppressed, f"{self}: persons lost"


def make_results(
    image_ids: ArrayLike,
    keypoints_image: ArrayLike,
    keypoint_scores: ArrayLike,
    bbox_scores: ArrayLike,
    areas: ArrayLike,
    oks_sigmas: ArrayLike,
    *,
    category_id: int = 1,
    keypoint_threshold: float = 0.2,
    nms: str | None = None,
    nms_threshold: float = 0.9,
) -> tuple[CocoResults, ResultCounts]:
    """Rescore predicted persons and suppress duplicates.

    Args:
        image_ids: (P,) whole numbers, from the annotations.
        keypoints_image: (P, K, 2) pixels of the image.
        keypoint_scores: (P, K), values at the heatmaps' peaks.
        bbox_scores: (P,), 1 for ground-truth boxes.
        areas: (P,) square pixels, of the ENLARGED crops.
        oks_sigmas: (K,).
        category_id: Category of the persons in the annotations.
        keypoint_threshold: Keypoint scores at or below it do not count for the person's score.
        nms: "hard" drops a person that is similar to a better-scored one, "soft" lowers its score
            and keeps at most 20 per image, None keeps all.
        nms_threshold: OKS above which "hard" drops; scale of the weight of "soft".

    Returns:
        Results in the order of the given persons, and the numbers of kept and suppressed persons.

    Raises:
        NumericsError: A number is not finite; the text has the image ids.
        ValueError: The shapes do not match, or `nms` is unknown.
    """
    if nms not in (None, "hard", "soft"):
        raise ValueError(f"nms={nms!r}; choose 'hard', 'soft' or None")
    ids = np.asarray(image_ids)
    keypoints = np.asarray(keypoints_image, dtype=np.float64)
    scores_of_keypoints = np.asarray(keypoint_scores, dtype=np.float64)
    bbox_scores_ = np.asarray(bbox_scores, dtype=np.float64)
    areas_ = np.asarray(areas, dtype=np.float64)
    persons, num_keypoints = len(ids), np.size(oks_sigmas)
    expected = {
        "image_ids": (ids, (persons,)),
        "keypoints_image": (keypoints, (persons, num_keypoints, 2)),
        "keypoint_scores": (scores_of_keypoints, (persons, num_keypoints)),
        "bbox_scores": (bbox_scores_, (persons,)),
        "areas": (areas_, (persons,)),
    }
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(
                f"{name} {array.shape} with {persons} image ids and {num_keypoints} oks_sigmas; "
                f"give {shape}"
            )
    for name, (array, _) in list(expected.items())[1:]:
        _require_finite(name, array, ids)

    scores = person_scores(bbox_scores_, scores_of_keypoints, keypoint_threshold)
    kept = np.ones(persons, dtype=bool)
    if nms == "hard":
        near = may_resemble(ids, keypoints, areas_, oks_sigmas, nms_threshold)
        for rows in _rows_of_each_image(ids, near):
            on_image = keypoints[rows], scores[rows], areas_[rows], oks_sigmas, nms_threshold
            kept[rows] = False
            kept[rows[oks_nms(*on_image)]] = True
    elif nms == "soft":
        for rows in _rows_of_each_image(ids, kept):
            on_image = keypoints[rows], scores[rows], areas_[rows], oks_sigmas, nms_threshold
            kept[rows] = False
            chosen, new_scores = soft_oks_nms(*on_image, max_kept=MAX_PERSONS)
            kept[rows[chosen]] = True
            scores[rows[chosen]] = new_scores

    triples = np.concatenate([keypoints, scores_of_keypoints[..., None]], axis=2)  # P K 3
    results = CocoResults(ids[kept], triples[kept], scores[kept], category_id, np.flatnonzero(kept))
    return results, ResultCounts(persons, len(results), persons - len(results))


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Read a results file: a JSON list of objects, which `evaluate_coco` checks.

    Raises:
        DataError: No such file, not JSON, or not a list of objects.
    """
    content = read_json(Path(path), "results")
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        given = f"a {type(content).__name__}"
        given = f"{given} with entries that are not objects" if isinstance(content, list) else given
        raise DataError(f"{path}: contains {given}; results are a JSON list of objects")
    return content


def _require_finite(name: str, array: NDArray[np.float64], image_ids: NDArray[Any]) -> None:
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))  # P
    if not finite.all():
        images = np.unique(image_ids[~finite])
        more = f" and {len(images) - 10} more" if len(images) > 10 else ""
        raise NumericsError(
            f"{name} of {int((~finite).sum())} of {len(array)} persons has nan or inf, on image "
            f"ids {images[:10].tolist()}{more}; scores need finite numbers: the model has "
            "diverged, lower its learning rate or use an earlier checkpoint"
        )


def _rows_of_each_image(
    image_ids: NDArray[Any], which: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    """Yield the rows of the persons of each image, in order."""
    rows = np.flatnonzero(which)
    rows = rows[np.argsort(image_ids[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(image_ids[rows])) + 1)
