"""The ground truth as COCOeval needs it, and what must hold before it is asked.

COCOeval does not say when it answers nonsense: a NaN area matches everything (AP 1.000), and
annotation id 0 means "not matched" to it. So the annotations are looked at here, all faults are
told at once, and what COCOeval gets is a copy in its own terms. Results: validate.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np

from keypoint.data.bad_entries import without_images
from keypoint.data.faults import (
    as_number,
    as_numbers,
    describe_numbers,
    is_whole_number,
    raise_faults,
)
from keypoint.errors import DataError
from keypoint.files import read_json


@dataclass(frozen=True)
class GroundTruth:
    """The persons of an annotation file as COCOeval needs them.

    Attributes:
        category: {id, name} of the category with keypoints.
        num_keypoints: K.
        image_ids: Of all images; a result on an image without a person is a false positive.
        persons: Copies with ids from 1 and numbers in arrays; crowds and persons without a
            labelled keypoint included, which COCOeval ignores.
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
        fault = None
        if not is_whole_number(key):
            fault = f"number {place} of the list: id must be a whole number"
        elif key in seen:
            fault = "duplicate id; ids are unique"
        elif not is_whole_number(image_id) or image_id not in images:
            fault = "image_id is not among the images"
        elif (
            not is_whole_number(entry.get("category_id")) or entry["category_id"] not in categories
        ):
            given = short(entry.get("category_id"))
            fault = f"category_id {given} is not among the categories"
        elif entry["category_id"] != category["id"]:
            left_out["of another category"] += 1
        else:
            person = _person(entry, expected, len(persons) + 1)
            if isinstance(person, str):
                fault = person
            else:
                persons.append(person)
        if fault:
            faults.append(f"annotation id {short(key)} (image_id {short(image_id)}): {fault}")
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
    for key, finite in (
        ("keypoints", np.isfinite(keypoints).all()),
        ("bbox", np.isfinite(bbox).all()),
        ("area", math.isfinite(area)),
    ):
        if not finite:
            return f"{key} has nan or inf; it must be finite"
    flags = keypoints[2::3]
    odd = set(flags.tolist()) - {0, 1, 2}
    if odd:
        return f"visibility v={min(odd):g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
    labelled = int(np.count_nonzero(flags))
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
        "keypoints": keypoints.astype(np.float64),
        "bbox": bbox.astype(np.float64),
        "area": area,
    }
