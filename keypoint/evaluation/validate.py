"""What must hold before COCOeval is asked, because it does not say when it does not.

COCOeval compares with `oks < threshold`, which is false for NaN: NaN results, or a NaN area in the
ground truth, match everything and give AP 1.000. It takes annotation id 0 for "not matched", drops
results of an unknown category, and counts a result given twice as a false positive. So both sides
are looked at here, all faults are told at once, and what COCOeval gets is a copy in its own terms.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.bad_entries import without_images
from keypoint.data.faults import (
    as_number,
    as_numbers,
    describe_numbers,
    is_whole_number,
    raise_faults,
)
from keypoint.data.json_file import read_json
from keypoint.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroundTruth:
    """The persons of an annotation file as COCOeval needs them.

    Attributes:
        category: {id, name} of the category with keypoints.
        num_keypoints: K.
        image_ids: Of all images; a result on an image without a person is a false positive.
        persons: Copies with ids from 1; crowds and persons without a labelled keypoint included,
            which COCOeval ignores.
        scored_images: Ids of the images with a person that counts.
        left_out: How many annotations are ignored or of another category, by reason.
    """

    category: dict[str, Any]
    num_keypoints: int
    image_ids: tuple[int, ...]
    persons: list[dict[str, Any]]
    scored_images: frozenset[int]
    left_out: dict[str, int]


def check_annotations(
    path: Path, num_keypoints: int, leave_out: frozenset[int] | None = None
) -> None:
    """Find now what would keep an annotation file from being scored against later.

    Args:
        path: The file.
        num_keypoints: K.
        leave_out: As in `evaluate_coco`.

    Raises:
        DataError: As `check_ground_truth`.
    """
    content = read_json(path, "annotations")
    if leave_out is not None:
        content = without_images(content, leave_out)
    check_ground_truth(content, str(path), num_keypoints)


def check_ground_truth(content: Any, source: str, num_keypoints: int | None) -> GroundTruth:
    """Read COCO keypoint annotations; `content` is not modified.

    A missing `iscrowd` is 0, a missing `num_keypoints` is counted, and a crowd may lack keypoints.
    Areas may not be 0 where a person counts: OKS divides by them.

    Args:
        content: An annotation file's JSON object.
        source: Its name in messages.
        num_keypoints: K that is expected; None takes the annotations'.

    Raises:
        DataError: Something is missing, contradictory or not finite, or no person counts.
    """
    if not isinstance(content, dict):
        raise DataError(
            f"{source}: holds a {type(content).__name__}; annotations are one JSON object (dict)"
        )
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            given = "has no list of objects" if key in content else "lacks the list"
            raise DataError(f"{source}: {given} {key!r}; give images, annotations, categories")
    category = _category_with_keypoints(content["categories"], source)
    expected = _expected_num_keypoints(category, content["annotations"], source, num_keypoints)
    images, faults = _image_ids(content["images"])
    categories = {
        entry.get("id") for entry in content["categories"] if is_whole_number(entry.get("id"))
    }

    persons: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    seen: set[int] = set()
    for place, entry in enumerate(content["annotations"]):
        key, image_id = entry.get("id"), entry.get("image_id")
        name = f"annotation id {short(key)} (image_id {short(image_id)})"
        if not is_whole_number(key):
            faults.append(f"{name}, number {place} of the list: id must be a whole number")
        elif key in seen:
            faults.append(f"{name}: duplicate id; ids are unique")
        elif not is_whole_number(image_id) or image_id not in images:
            faults.append(f"{name}: image_id is not among the images")
        elif (
            not is_whole_number(entry.get("category_id")) or entry["category_id"] not in categories
        ):
            given = short(entry.get("category_id"))
            faults.append(f"{name}: category_id {given} is not among the categories")
        elif entry["category_id"] != category["id"]:
            left_out["of another category"] += 1
        else:
            person = _person(entry, expected, len(persons) + 1)
            if isinstance(person, str):
                faults.append(f"{name}: {person}")
            else:
                persons.append(person)
        if is_whole_number(key):
            seen.add(key)
    raise_faults(source, faults)

    counted = [p for p in persons if not p["iscrowd"] and p["num_keypoints"]]
    left_out["crowd"] = sum(person["iscrowd"] for person in persons)
    left_out["without a labelled keypoint"] = len(persons) - len(counted) - left_out["crowd"]
    left_out = +left_out  # without zeros
    if not counted:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "empty list"
        raise DataError(
            f"{source}: no person to score against ({len(content['annotations'])} annotations: "
            f"{why}); AP is not defined, give annotations with labelled keypoints"
        )
    return GroundTruth(
        category=category,
        num_keypoints=expected,
        image_ids=tuple(images),
        persons=persons,
        scored_images=frozenset(person["image_id"] for person in counted),
        left_out=dict(left_out),
    )


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


def _category_with_keypoints(categories: Sequence[dict[str, Any]], source: str) -> dict[str, Any]:
    candidates = [c for c in categories if c.get("keypoints")]
    candidates = candidates or [c for c in categories if c.get("name") == "person"]
    if len(candidates) != 1 or not is_whole_number(candidates[0].get("id")):
        names = short([category.get("name") for category in categories])
        raise DataError(
            f"{source}: {len(candidates)} of the categories {names} have 'keypoints' or are named "
            "person; give exactly one, with a whole number as id"
        )
    return candidates[0]


def _expected_num_keypoints(
    category: dict[str, Any],
    annotations: Sequence[dict[str, Any]],
    source: str,
    num_keypoints: int | None,
) -> int:
    """K by the category's names, else as asked for, else by the first annotation with keypoints."""
    names = category.get("keypoints")
    if isinstance(names, list) and names:
        declared = len(names)
    else:
        lists = (entry["keypoints"] for entry in annotations if entry.get("keypoints"))
        first = next((numbers for numbers in lists if isinstance(numbers, list)), [0] * 51)
        declared = num_keypoints or len(first) // 3
    if num_keypoints not in (None, declared):
        raise DataError(
            f"{source}: category {short(category.get('name'))} has {declared} keypoints, but "
            f"oks_sigmas has {num_keypoints} numbers; give one for each keypoint"
        )
    return declared


def _image_ids(images: Sequence[dict[str, Any]]) -> tuple[dict[int, None], list[str]]:
    """The ids in the file's order, and what is wrong with them."""
    ids: dict[int, None] = {}
    faults = []
    for place, entry in enumerate(images):
        key = entry.get("id")
        if not is_whole_number(key):
            faults.append(f"image number {place}: id {short(key)} must be a whole number")
        elif key in ids:
            faults.append(f"image id {key}: duplicate id; ids are unique")
        else:
            ids[key] = None
    return ids, faults


def _person(entry: dict[str, Any], num_keypoints: int, new_id: int) -> dict[str, Any] | str:
    """A copy of an annotation for COCOeval, or what is wrong with it."""
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        return f"iscrowd {short(crowd)} must be 0 or 1"
    given = entry.get("keypoints", [0] * (3 * num_keypoints) if crowd else None)
    keypoints = as_numbers(given)
    if keypoints is None or len(keypoints) != 3 * num_keypoints:
        meaning = "x, y, visibility of each keypoint"
        return describe_numbers("keypoints", given, keypoints, 3 * num_keypoints, meaning)
    bbox = as_numbers(entry.get("bbox"))
    if bbox is None or len(bbox) != 4:
        return describe_numbers("bbox", entry.get("bbox"), bbox, 4, "x, y, width, height")
    area = as_number(entry.get("area"))
    if area is None:
        return f"area {short(entry.get('area'))} must be a number (square pixels)"
    for key, values in (("keypoints", keypoints), ("bbox", bbox), ("area", area)):
        if not np.isfinite(values).all():
            return f"{key} has nan or inf; it must be finite"
    flags = keypoints[2::3]
    if not np.isin(flags, (0, 1, 2)).all():
        odd = flags[~np.isin(flags, (0, 1, 2))][0]
        return f"visibility v={odd:g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
    labelled = int((flags > 0).sum())
    count = entry.get("num_keypoints", labelled)
    if not is_whole_number(count) or (not crowd and (count > 0) != (labelled > 0)):
        return f"num_keypoints {short(count)}, but {labelled} are labelled; correct or remove it"
    counts = labelled > 0 and not crowd
    if area < 0 or (counts and area == 0):
        return f"area {area:g} must be greater than 0 (square pixels)"
    if min(bbox[2:]) < 0:
        return f"bbox {bbox.tolist()} has a negative width or height; give x, y, width, height"
    return {
        "id": new_id,  # from 1: COCOeval takes 0 for "not matched"
        "image_id": int(entry["image_id"]),
        "category_id": entry["category_id"],
        "iscrowd": int(crowd),
        "num_keypoints": labelled,
        "keypoints": keypoints.tolist(),
        "bbox": bbox.tolist(),
        "area": area,
    }


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
