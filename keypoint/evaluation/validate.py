"""What must hold of results before COCOeval is asked, because it does not say when it does not.

COCOeval compares with `oks < threshold`, which is false for NaN: NaN results match everything and
give AP 1.000. It drops results of an unknown category, and counts a result given twice as a false
positive. So all faults are told at once, and what COCOeval gets is a copy. The other side:
ground_truth.py.
"""

from __future__ import annotations

import itertools
import logging
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.faults import (
    as_number,
    as_numbers,
    describe_numbers,
    is_whole_number,
    raise_faults,
)
from keypoint.errors import DataError
from keypoint.evaluation.ground_truth import GroundTruth

logger = logging.getLogger(__name__)


def check_results(
    content: Any, source: str, truth: GroundTruth, repeats: bool = False
) -> list[dict[str, Any]]:
    """Read COCO keypoint results; `content` is not modified.

    Only image_id, category_id, keypoints and score count: a `bbox` or `area` would otherwise
    decide which misses COCOeval calls medium and large.

    A result that is there twice, with the same keypoints and score, is refused: nothing but a
    padded sampler or a file joined to itself makes two poses agree to the last digit. A pose of
    which all keypoints are at one point is no such evidence; those are scored, with a warning.

    Args:
        content: A list of result dicts.
        source: Its name in messages.
        truth: What they are to be scored against.
        repeats: Whether a result may be there twice: the caller knows that each has its own box.

    Returns:
        Copies of the results, in their order.

    Raises:
        DataError: A result that does not fit the ground truth, is not finite, or is there twice.
    """
    if not isinstance(content, list):
        given = type(content).__name__
        raise DataError(f"{source}: holds a {given}; results are a JSON list of objects")
    images = set(truth.image_ids)
    faults: list[str] = []
    results: list[dict[str, Any]] = []
    copies = _results_at_once(content, images, truth)
    first_place: dict[tuple[int, float, bytes], int] = {}
    repeated_points = 0
    for place, entry in enumerate(content):
        if not isinstance(entry, dict):
            faults.append(f"result {place}: is {short(entry)}; give an object")
            continue
        image_id = entry.get("image_id")
        result = copies[place] if copies else _result(entry, images, truth)
        if isinstance(result, str):
            faults.append(f"result {place} (image_id {short(image_id)}): {result}")
            continue
        person = (result["image_id"], result["score"], result["keypoints"].tobytes())
        first = first_place.setdefault(person, place)
        if first != place and (repeats or _is_one_point(result["keypoints"])):
            repeated_points += 1
        elif first != place:
            faults.append(
                f"result {place} (image_id {image_id}): duplicate of result {first}, the same "
                "keypoints and score; give each person once (drop what a sampler padded)"
            )
        results.append(result)
    raise_faults(source, faults)
    if repeated_points:
        logger.warning(
            "%s: %d results repeat another, of an equal box or with all keypoints at one point (a "
            "network that sees nothing says the same of every box); they are scored",
            source,
            repeated_points,
        )
    return results


def _result(entry: dict[str, Any], images: set[int], truth: GroundTruth) -> dict[str, Any] | str:
    """A copy of a result for COCOeval, or what is wrong with it."""
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_whole_number(image_id):
        return "image_id must be a whole number, as in the annotations"
    if image_id not in images:
        return "this image_id is not in the annotations; give results of the same images"
    if not is_whole_number(category_id) or category_id != truth.category["id"]:
        wanted = f"{truth.category['id']} ({short(truth.category.get('name'))})"
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
    return {
        "image_id": int(image_id),
        "category_id": truth.category["id"],
        "keypoints": keypoints.astype(np.float64),
        "score": score,
    }


def _results_at_once(
    content: list[Any], images: set[int], truth: GroundTruth
) -> list[dict[str, Any]] | None:
    """What `_result` gives for each entry, in a few steps for all; None if one may be faulty.

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
    if not plain or set(category_ids) != {truth.category["id"]} or not images.issuperset(image_ids):
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
    return [
        {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": score}
        for image_id, category_id, row, score in zip(
            image_ids, category_ids, points.astype(np.float64), map(float, scores), strict=True
        )
    ]


def _is_one_point(keypoints: NDArray[np.float64]) -> bool:
    points = keypoints.reshape(-1, 3)[:, :2]  # K 2
    return len(points) > 1 and bool((points == points[0]).all())
