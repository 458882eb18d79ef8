"""What the entries of COCO's files must be: categories, images, annotations, a detector's boxes.

A `.._fault` function tells the first thing wrong with an entry as a short text, or None; the caller
puts the entry's id before it and tells all of a file at once.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keypoint.data.faults import as_numbers, describe_numbers, is_whole_number
from keypoint.data.json_file import read_json
from keypoint.errors import DataError
from keypoint.skeleton import Skeleton


def read_dataset(path: Path) -> dict[str, Any]:
    """An annotation file with its three parts, each a list of at least one object.

    Raises:
        DataError: The file is unreadable, or a part is missing or empty.
    """
    content = read_json(path, "annotations")
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: holds a {type(content).__name__}; an annotation file is a JSON object"
        )
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            given = "is missing" if key not in content else "is not a list of objects"
            raise DataError(
                f"{path}: key {key!r} {given}; give COCO's images, annotations and categories"
            )
        if not entries:
            raise DataError(f"{path}: {key!r} is empty, there is no entry to use")
    return content


def keypoint_category(content: dict[str, Any], skeleton: Skeleton, path: Path) -> int:
    """Id of the category that has keypoints, or is named person.

    Raises:
        DataError: There is not exactly one, or its keypoints are not the skeleton's in order.
    """
    categories = content["categories"]
    candidates = [c for c in categories if c.get("keypoints")]
    candidates = candidates or [c for c in categories if c.get("name") == "person"]
    if len(candidates) != 1 or not is_whole_number(candidates[0].get("id")):
        names = [c.get("name") for c in categories]
        raise DataError(
            f"{path}: categories {names} have {len(candidates)} with 'keypoints' or named person; "
            "give one"
        )
    names = candidates[0].get("keypoints")
    if names is not None and not isinstance(names, list):
        raise DataError(f"{path}: the category's keypoints is {names!r}; give a list of names")
    if names is not None and names != list(skeleton.keypoints):
        couples = zip(names, skeleton.keypoints, strict=False)
        different = [f"{a} for {b}" for a, b in couples if a != b]
        raise DataError(
            f"{path}: the category's {len(names)} keypoint names do not match the "
            f"{skeleton.num_keypoints} of skeleton {skeleton.name} in order "
            f"({'; '.join(different[:3]) or 'another number'}); choose the right data.skeleton"
        )
    return int(candidates[0]["id"])


def image_faults(entries: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the `images` of an annotation file, by image id."""
    faults: list[str] = []
    seen: set[int] = set()
    for place, entry in enumerate(entries):
        key, file_name = entry.get("id"), entry.get("file_name")
        name = f"image id {key!r}" if "id" in entry else f"image number {place}"
        if not is_whole_number(key):
            faults.append(f"{name}: its id must be a whole number")
        elif key in seen:
            faults.append(f"{name}: duplicate, ids are unique")
        else:
            seen.add(key)
        width, height = entry.get("width"), entry.get("height")
        if not all(is_whole_number(side) and side > 0 for side in (width, height)):
            faults.append(f"{name}: width={width!r} height={height!r}; give its size in pixels")
        if not isinstance(file_name, str) or not file_name:
            faults.append(f"{name}: file_name={file_name!r}; give the file's name")
        elif "\0" in file_name:
            faults.append(f"{name}: file_name has a NUL byte (\\x00)")
        elif PurePosixPath(file_name).is_absolute() or ".." in PurePosixPath(file_name).parts:
            faults.append(
                f"{name}: file_name={file_name!r} leads outside the image folder (absolute or ..)"
            )
    return faults


def name_annotation(entry: dict[str, Any], place: int) -> str:
    """What to call an annotation in an error: its id, or where it stands."""
    if "id" in entry:
        return f"annotation id {entry['id']!r}"
    return f"annotation number {place} (image_id {entry.get('image_id')!r})"


def annotation_fault(
    entry: dict[str, Any],
    row_of_id: dict[int, int],
    known_categories: set[Any],
    seen: set[int],
    category_id: int,
    num_keypoints: int,
) -> str | None:
    """The first thing wrong with an annotation, or None. `seen` collects the ids."""
    key = entry.get("id")
    if not is_whole_number(key):
        return "its id must be a whole number"
    if key in seen:
        return "duplicate id; ids are unique"
    seen.add(key)
    if not is_whole_number(entry.get("image_id")) or entry["image_id"] not in row_of_id:
        return f"image_id {entry.get('image_id')!r} is not among the images"
    category = entry.get("category_id")
    if not is_whole_number(category) or category not in known_categories:
        return f"category_id {category!r} is not among the categories"
    if category != category_id or entry.get("iscrowd", 0):
        return None
    given, length = entry.get("keypoints"), 3 * num_keypoints
    keypoints = as_numbers(given)
    if keypoints is None or len(keypoints) != length:
        meaning = f"x, y, visibility for each of {num_keypoints} keypoints"
        return describe_numbers("keypoints", given, keypoints, length, meaning)
    if not np.isfinite(keypoints).all():
        return "keypoints has nan or inf; coordinates must be finite"
    flags = keypoints[2::3].tolist()
    odd = [flag for flag in flags if flag not in (0, 1, 2)]
    if odd:
        return f"visibility v={odd[0]:g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
    if not any(flags):
        return None  # skipped whatever its box is
    fault = _bbox_fault(entry.get("bbox"))
    if fault is None and min(entry["bbox"][2:]) < 0:
        return "bbox has a negative width or height"
    return fault


def box_fault(entry: Any, row_of_id: dict[int, int]) -> str | None:
    """The first thing wrong with a detector's box, or None."""
    if not isinstance(entry, dict):
        kind = type(entry).__name__
        return f"is a {kind}; give an object with image_id, category_id, bbox and score"
    image_id = entry.get("image_id")
    if not is_whole_number(image_id) or image_id not in row_of_id:
        return f"image_id {image_id!r} is not in the annotation file; use the boxes of this split"
    if not is_whole_number(entry.get("category_id")):
        return f"category_id {entry.get('category_id')!r} (image {image_id}) must be a whole number"
    score = as_numbers([entry.get("score")])
    if score is None or not np.isfinite(score).all():
        return f"score {entry.get('score')!r} (image {image_id}) must be a finite number"
    fault = _bbox_fault(entry.get("bbox"))
    return f"{fault} (image {image_id})" if fault else None


def _bbox_fault(given: Any) -> str | None:
    bbox = as_numbers(given)
    if bbox is None or len(bbox) != 4:
        return describe_numbers("bbox", given, bbox, 4, "x, y, width, height")
    if not np.isfinite(bbox).all():
        return f"bbox {given} has nan or inf; it must be finite"
    return None
