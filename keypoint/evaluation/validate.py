"""Results, checked before COCOeval is asked, because it does not report faulty ones.

COCOeval compares with `oks < threshold`, which is false for NaN: NaN results match everything and
give AP 1.000. It drops results of an unknown category, and counts a result given twice as a false
positive. So all faults are reported at once, and COCOeval gets a copy. The annotations are checked
in data/annotations.py, by the same rules as for training.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import Annotations
from keypoint.data.entries import as_number, as_numbers, describe_numbers, is_whole_number
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.evaluation.results import CocoResults

logger = logging.getLogger(__name__)


def check_results(
    content: Any, source: str, truth: Annotations, repeats: bool = False
) -> CocoResults:
    """Read COCO keypoint results; `content` is not modified.

    Only image_id, category_id, keypoints and score count: a `bbox` or `area` would otherwise
    decide which misses COCOeval calls medium and large.

    A result that is there twice, with the same keypoints and score, is refused: nothing but a
    padded sampler or a file joined to itself makes two poses agree to the last digit. A pose of
    which all keypoints are at one point is no such evidence; those are scored, with a warning.

    Args:
        content: A list of result dicts, or `CocoResults`.
        source: Its name in messages.
        truth: Annotations that they are to be scored against.
        repeats: Accept a result that is there twice: the caller knows that each has its own box.

    Returns:
        The results, in their order; `rows` are places in the list.

    Raises:
        DataError: A result that does not fit the ground truth, is not finite, or is there twice.
    """
    if isinstance(content, CocoResults):
        content = content if _fit(content, truth) else content.to_coco()
    elif not isinstance(content, list):
        given = type(content).__name__
        raise DataError(f"{source}: holds a {given}; results are a JSON list of objects")
    faults: list[str] = []
    checked = content if isinstance(content, CocoResults) else _at_once(content, truth)
    if checked is None:
        checked = _one_by_one(content, truth, faults)
    repeated = 0
    for row, first in _repeated(checked):
        if repeats or _is_one_point(checked.keypoints[row]):
            repeated += 1
        else:
            place, place_of_first = checked.rows[row], checked.rows[first]
            faults.append(
                f"result {place} (image_id {checked.image_ids[row]}): duplicate of result "
                f"{place_of_first}, the same keypoints and score; give each person once (drop "
                "what a sampler padded)"
            )
    raise_faults(source, faults)
    if repeated:
        logger.warning(
            "%s: %d results repeat another, of an equal box or with all keypoints at one point (a "
            "network that sees nothing says the same of every box); they are scored",
            source,
            repeated,
        )
    return checked


def _fit(results: CocoResults, truth: Annotations) -> bool:
    """Whether nothing is wrong with results of our own."""
    return (
        results.category_id == truth.category_id
        and results.keypoints.shape[1:] == (truth.num_keypoints, 3)
        and bool(np.isfinite(results.keypoints).all() and np.isfinite(results.scores).all())
        and set(truth.images.ids.tolist()).issuperset(results.image_ids.tolist())
    )


def _one_by_one(content: list[Any], truth: Annotations, faults: list[str]) -> CocoResults:
    """The faultless results; what is wrong with the others is added to `faults`."""
    images = set(truth.images.ids.tolist())
    found: list[tuple[int, int, NDArray[np.float64], float]] = []
    for place, entry in enumerate(content):
        if not isinstance(entry, dict):
            faults.append(f"result {place}: is {short(entry)}; give an object")
            continue
        result = _result(entry, images, truth)
        if isinstance(result, str):
            faults.append(f"result {place} (image_id {short(entry.get('image_id'))}): {result}")
        else:
            found.append((place, *result))
    rows, image_ids, keypoints, scores = zip(*found, strict=True) if found else ((),) * 4
    return _as_results(image_ids, keypoints, scores, truth, rows)


def _as_results(
    image_ids: Sequence[int],
    keypoints: Sequence[Any] | NDArray[Any],
    scores: Sequence[float] | NDArray[Any],
    truth: Annotations,
    rows: Sequence[int],
) -> CocoResults:
    ids = np.empty(len(image_ids), dtype=object)  # whole numbers of any size
    ids[:] = image_ids
    return CocoResults(
        image_ids=ids,
        keypoints=np.asarray(keypoints, dtype=np.float64).reshape(-1, truth.num_keypoints, 3),
        scores=np.asarray(scores, dtype=np.float64),
        category_id=truth.category_id,
        rows=np.asarray(rows, dtype=np.int64),
    )


def _repeated(results: CocoResults) -> Iterator[tuple[int, int]]:
    """Every result that is there before, in their order, with the first of its kind."""
    order = np.argsort(results.scores, kind="stable")
    alike = np.diff(results.scores[order]) == 0
    candidates = np.zeros(len(results), dtype=bool)  # equal persons have equal scores
    candidates[order[1:][alike]] = candidates[order[:-1][alike]] = True
    first: dict[tuple[int, float, bytes], int] = {}
    for row in np.flatnonzero(candidates).tolist():
        person = results.image_ids[row], results.scores[row], results.keypoints[row].tobytes()
        if first.setdefault(person, row) != row:
            yield row, first[person]


def _result(
    entry: dict[str, Any], images: set[int], truth: Annotations
) -> tuple[int, NDArray[np.float64], float] | str:
    """Image id, keypoints (3 K) and score of a result, or what is wrong with it."""
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_whole_number(image_id):
        return "image_id must be a whole number, as in the annotations"
    if image_id not in images:
        return "this image_id is not in the annotations; give results of the same images"
    if not is_whole_number(category_id) or category_id != truth.category_id:
        wanted = f"{truth.category_id} ({short(truth.category_name)})"
        return f"category_id {short(category_id)} must be {wanted}, the category with keypoints"
    keypoints = as_numbers(entry.get("keypoints"))
    length = 3 * truth.num_keypoints
    if keypoints is None or len(keypoints) != length:
        meaning = "x, y, score of each keypoint"
        return describe_numbers("keypoints", entry.get("keypoints"), keypoints, length, meaning)
    if not np.isfinite(keypoints).all():
        return "keypoints has nan or inf; coordinates must be finite (has the model diverged?)"
    score = as_number(entry.get("score"))
    if score is None:
        return f"score {short(entry.get('score'))} must be a number"
    if not np.isfinite(score):
        return f"score {score} must be finite (has the model diverged?)"
    return int(image_id), keypoints.astype(np.float64), score


def _at_once(content: list[Any], truth: Annotations) -> CocoResults | None:
    """The outcome of `_result` for each entry, in a few steps for all; None if one may be faulty.

    100,000 results one by one take longer than scoring them.
    """
    if not content or not all(type(entry) is dict for entry in content):
        return None
    image_ids, category_ids, scores, keypoints = (
        [entry.get(key) for entry in content]
        for key in ("image_id", "category_id", "score", "keypoints")
    )
    plain = (
        {type(key) for key in image_ids + category_ids} == {int}
        and {type(score) for score in scores} <= {int, float}
        and {type(numbers) for numbers in keypoints} == {list}
        and {len(numbers) for numbers in keypoints} == {3 * truth.num_keypoints}
        and set(map(type, itertools.chain.from_iterable(keypoints))) <= {int, float}
    )
    if not plain:  # what is not plain may not even have a place in a set
        return None
    of_category = set(category_ids) == {truth.category_id}
    if not of_category or not set(truth.images.ids.tolist()).issuperset(image_ids):
        return None
    try:
        points, numbers = np.asarray(keypoints), np.asarray(scores)  # P 3K, P
    except (ValueError, OverflowError):
        return None
    for array in (points, numbers):
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            return None
    if points.ndim != 2:
        return None
    return _as_results(image_ids, points, numbers, truth, range(len(content)))


def _is_one_point(keypoints: NDArray[np.float64]) -> bool:
    points = keypoints[:, :2]  # K 2
    return len(points) > 1 and bool((points == points[0]).all())
