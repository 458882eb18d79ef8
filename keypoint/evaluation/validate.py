"""Check results before scoring, because COCOeval does not report faulty ones.

COCOeval compares with `oks < threshold`, which is false for NaN: NaN results match everything and
give AP 1.000. It drops results of an unknown category, and counts a result given twice as a false
positive. So all faults are reported at once, and COCOeval gets a copy. The annotations are checked
in data/annotations.py, by the same rules as for training.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.entries import as_number, as_numbers, describe_numbers, is_whole_number
from keypoint.data.notes import in_number
from keypoint.data.persons import Annotations
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.evaluation.results import CocoResults

logger = logging.getLogger(__name__)


def check_results(
    content: Any, source: str, truth: Annotations, repeats: bool = False
) -> CocoResults:
    """Read COCO keypoint results; `content` is not modified.

    Only image_id, category_id, keypoints and score are used: otherwise a `bbox` or `area` would
    determine which misses COCOeval counts as medium and large.

    Two results with the same keypoints and score are refused: only a padded sampler or a file
    joined to itself makes two poses agree to the last digit. A pose with all keypoints at one point
    does not prove this; such results are scored, with a warning.

    Args:
        content: A list of result dicts, or `CocoResults`.
        source: Its name in messages.
        truth: Annotations to score against.
        repeats: Accept equal results, because the caller knows that each has its own box.

    Returns:
        The results, in their order; `rows` are places in the list.

    Raises:
        DataError: A result does not match the ground truth, is not finite, or is there twice.
    """
    faults: list[str] = []
    if isinstance(content, CocoResults) and _fit(content, truth):
        checked = content
    else:
        entries = content.to_coco() if isinstance(content, CocoResults) else content
        if not isinstance(entries, list):
            kind = type(entries).__name__
            raise DataError(f"{source}: contains a {kind}; results are a JSON list of objects")
        checked = _one_by_one(entries, truth, faults)
    repeated = 0
    for row, first in _repeated(checked):
        if repeats or _is_one_point(checked.keypoints[row]):
            repeated += 1
        else:
            place, place_of_first = checked.rows[row], checked.rows[first]
            faults.append(
                f"result {place} (image_id {checked.image_ids[row]}): duplicate of result "
                f"{place_of_first}, with the same keypoints and score; give each person once (drop "
                "the padding of a sampler)"
            )
    raise_faults(source, faults)
    if repeated:
        logger.warning(
            "%s: %s, from an equal box or with all keypoints at one point (an untrained network "
            "predicts the same for every box); they are scored",
            source,
            in_number(repeated, "results repeat another"),
        )
    return checked


def _fit(results: CocoResults, truth: Annotations) -> bool:
    """Return whether our own results have no fault."""
    return (
        results.category_id == truth.category_id
        and results.keypoints.shape[1:] == (truth.num_keypoints, 3)
        and bool(np.isfinite(results.keypoints).all() and np.isfinite(results.scores).all())
        and set(truth.images.ids.tolist()).issuperset(results.image_ids.tolist())
    )


def _one_by_one(content: list[Any], truth: Annotations, faults: list[str]) -> CocoResults:
    """Return the valid results; the faults of the others are added to `faults`."""
    images = set(truth.images.ids.tolist())
    rows, image_ids, keypoints, scores = [], [], [], []
    for place, entry in enumerate(content):
        if not isinstance(entry, dict):
            faults.append(f"result {place}: is {short(entry)}; give an object")
            continue
        result = _result(entry, images, truth)
        if isinstance(result, str):
            faults.append(f"result {place} (image_id {short(entry.get('image_id'))}): {result}")
            continue
        rows.append(place)
        image_ids.append(result[0])
        keypoints.append(result[1])
        scores.append(result[2])
    return CocoResults(
        image_ids=np.array(image_ids, dtype=np.int64),
        keypoints=np.array(keypoints, dtype=np.float64).reshape(-1, truth.num_keypoints, 3),
        scores=np.array(scores, dtype=np.float64),
        category_id=truth.category_id,
        rows=np.array(rows, dtype=np.int64),
    )


def _repeated(results: CocoResults) -> Iterator[tuple[int, int]]:
    """Yield every result that repeats an earlier one, in order, with the first of its kind."""
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
) -> tuple[int, NDArray[Any], float] | str:
    """Return image id, keypoints (3 K) and score of a result, or its fault."""
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_whole_number(image_id):
        return "image_id must be an integer, as in the annotations"
    if image_id not in images:
        return "this image_id is not in the annotations; give results for the same images"
    if not is_whole_number(category_id) or category_id not in truth.category_ids:
        ids = " or ".join(map(str, truth.category_ids))
        wanted = f"{ids} ({short(truth.category_name)})"
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
    return int(image_id), keypoints, score


def _is_one_point(keypoints: NDArray[np.float64]) -> bool:
    points = keypoints[:, :2]  # K 2
    return len(points) > 1 and bool((points == points[0]).all())
