"""What the entries of COCO's files must be: categories, images, annotations, a detector's boxes.

A `.._fault` function tells the first thing wrong with an entry, as a word to count by and a short
text, or None; the caller puts the entry's id before it and tells all of a file at once.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.faults import Wrong, as_number, as_numbers, describe_numbers, is_whole_number
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.pose.skeleton import Skeleton

MAX_COORDINATE = 1e6  # pixels; beyond it float32 does not hold a sixteenth of one any more


def read_dataset(path: Path, need_annotations: bool = True) -> dict[str, Any]:
    """An annotation file with its three parts, each a list of at least one object.

    Args:
        path: The file.
        need_annotations: Without it the file may lack the key, as COCO's `image_info_*.json` of
            the test images do.

    Raises:
        DataError: The file is unreadable, or a part is missing or empty.
    """
    content = read_json(path, "annotations")
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: holds a {type(content).__name__}; an annotation file is a JSON object"
        )
    problems = []
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if key == "annotations" and key not in content and not need_annotations:
            continue
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            given = "is missing" if key not in content else "is not a list of objects"
            problems.append(f"key {key!r} {given}; give COCO's images, annotations and categories")
        elif not entries:
            problems.append(f"{key!r} is empty, there is no entry to use")
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}")
    return content


def keypoint_category(content: dict[str, Any], skeleton: Skeleton, path: Path) -> int:
    """Id of the category that has keypoints, or is named person.

    Raises:
        DataError: There is not exactly one, or its keypoints are not the skeleton's in order.
    """
    category = find_category(content, path)
    fault = names_fault(category, skeleton)
    if fault:
        raise DataError(f"{path}: {fault}")
    return int(category["id"])


def find_category(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The category that has keypoints, or is named person.

    Raises:
        DataError: There is not exactly one.
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
    return dict(candidates[0])


def names_fault(category: dict[str, Any], skeleton: Skeleton) -> str | None:
    """How the category's keypoint names differ from the skeleton's, or None."""
    names = category.get("keypoints")
    if names is not None and not isinstance(names, list):
        return f"the category's keypoints is {names!r}; give a list of names"
    if names is None or names == list(skeleton.keypoints):
        return None
    couples = zip(names, skeleton.keypoints, strict=False)
    different = [f"{short(a)} for {b!r}" for a, b in couples if a != b]
    return (
        f"the category's {len(names)} keypoint names do not match the "
        f"{skeleton.num_keypoints} of skeleton {skeleton.name} in order "
        f"({'; '.join(different[:3]) or 'another number'}); choose the right data.skeleton"
    )


def name_image(entry: dict[str, Any], place: int) -> str:
    """What to call an image in an error: its id, or where it stands."""
    return f"image id {entry['id']!r}" if "id" in entry else f"image number {place}"


def image_faults(entry: dict[str, Any], is_repeated: bool) -> list[Wrong]:
    """What is wrong with an entry of `images`.

    Args:
        entry: The entry.
        is_repeated: Another image has its id.
    """
    faults = []
    if not is_whole_number(entry.get("id")):
        faults.append(("image id", "its id must be a whole number"))
    elif is_repeated:
        faults.append(("image id", "duplicate, ids are unique"))
    width, height = entry.get("width"), entry.get("height")
    if not all(is_whole_number(side) and side > 0 for side in (width, height)):
        faults.append(("image size", f"width={width!r} height={height!r}; give its size in pixels"))
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        faults.append(("file_name", f"file_name={name!r}; give the file's name"))
    elif re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
        control = "a NUL byte (\\x00)" if "\0" in name else "a control character"
        faults.append(("file_name", f"file_name={name!r} has {control}; rename the file"))
    elif re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        text = f"file_name={name!r} is a URL; nothing is fetched, give files of the image folder"
        faults.append(("file_name", text))
    elif PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        text = f"file_name={name!r} leads outside the image folder (absolute or ..)"
        faults.append(("file_name", text))
    return faults


def name_annotation(entry: dict[str, Any], place: int) -> str:
    """What to call an annotation in an error: its id, or where it stands."""
    if "id" in entry:
        return f"annotation id {entry['id']!r}"
    return f"annotation number {place} (image_id {entry.get('image_id')!r})"


def annotation_fault(
    entry: dict[str, Any],
    known_images: set[int],
    known_categories: set[Any],
    seen: set[int],
    category_id: int,
    num_keypoints: int,
    scored: bool = False,
) -> Wrong | None:
    """The first thing wrong with an annotation, or None.

    Args:
        entry: The annotation.
        known_images: Ids of the file's images.
        known_categories: Ids of its categories.
        seen: Collects the annotations' ids.
        category_id: Of the persons; entries of another category need ids only.
        num_keypoints: K.
        scored: Ask also for what COCOeval needs and training does not: an area, and that a crowd
            or a person without a label is well formed.
    """
    key = entry.get("id")
    if not is_whole_number(key):
        return "id", "its id must be a whole number"
    if key in seen:
        return "id", "duplicate id; ids are unique"
    seen.add(key)
    if not is_whole_number(entry.get("image_id")) or entry["image_id"] not in known_images:
        return "image_id", f"image_id {entry.get('image_id')!r} is not among the images"
    category = entry.get("category_id")
    if not is_whole_number(category) or category not in known_categories:
        return "category_id", f"category_id {category!r} is not among the categories"
    if category != category_id:
        return None
    crowd = entry.get("iscrowd", 0)
    if isinstance(crowd, (str, list, dict, type(None))) or crowd not in (0, 1):
        return "iscrowd", f"iscrowd {crowd!r} must be 0 or 1"
    if crowd:  # which may lack keypoints
        asked = scored and "keypoints" in entry
        fault = _keypoints_fault(entry["keypoints"], num_keypoints) if asked else None
        return fault or (_form_fault(entry) if scored else None)
    return (
        _keypoints_fault(entry.get("keypoints"), num_keypoints)
        or _person_fault(entry, any(entry["keypoints"][2::3]), scored)
        or (_form_fault(entry) if scored else None)
    )


def _keypoints_fault(given: Any, num_keypoints: int) -> Wrong | None:
    length = 3 * num_keypoints
    keypoints = as_numbers(given)
    if keypoints is None or len(keypoints) != length:
        meaning = f"x, y, visibility for each of {num_keypoints} keypoints"
        return "keypoints", describe_numbers("keypoints", given, keypoints, length, meaning)
    if not np.isfinite(keypoints).all():
        return "keypoints", "keypoints has nan or inf; coordinates must be finite"
    flags = keypoints[2::3]
    odd = [flag for flag in flags.tolist() if flag not in (0, 1, 2)]
    if odd:
        text = f"visibility v={odd[0]:g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
        return "visibility", text
    largest = np.abs(keypoints.reshape(-1, 3)[:, :2].astype(np.float64)).max()
    if largest > MAX_COORDINATE:
        text = f"keypoints has the coordinate {largest:g}, outside of any image; give pixels"
        return "keypoints", text
    return None


def _person_fault(entry: dict[str, Any], is_labelled: bool, scored: bool) -> Wrong | None:
    """Of an annotation that is no crowd and whose keypoints are in order."""
    count = entry.get("num_keypoints")
    if count is not None and (not is_whole_number(count) or (count > 0) != is_labelled):
        labelled = sum(flag > 0 for flag in entry["keypoints"][2::3])
        text = f"num_keypoints {count!r}, but {labelled} are labelled; correct or remove it"
        return "num_keypoints", text
    area = entry.get("area")
    number = as_number(area)
    if area is None and scored and is_labelled:
        return "area", "area is missing; OKS needs it (square pixels)"
    if area is not None and (number is None or not math.isfinite(number) or number < 0):
        return "area", f"area {area!r} must be a finite number, 0 or more (square pixels)"
    if number == 0 and scored and is_labelled:
        return "area", "area 0 of a labelled person; OKS divides by it, give square pixels"
    if not is_labelled:
        return None  # skipped whatever its box is
    fault = _bbox_fault(entry.get("bbox"))
    if fault is None and min(entry["bbox"][2:]) < 0:
        fault = f"bbox {entry['bbox']} has a negative width or height; give x, y, width, height"
    return ("bbox", fault) if fault else None


def _form_fault(entry: dict[str, Any]) -> Wrong | None:
    """What COCOeval asks of crowds and of persons without a label too."""
    text = _bbox_fault(entry.get("bbox"))
    if text is None and min(entry["bbox"][2:]) < 0:
        text = f"bbox {entry['bbox']} has a negative width or height; give x, y, width, height"
    if text:
        return "bbox", text
    area = as_number(entry.get("area"))
    if area is None or not math.isfinite(area) or area < 0:
        return "area", f"area {entry.get('area')!r} must be a finite number (square pixels)"
    count = entry.get("num_keypoints", 0)
    return None if is_whole_number(count) else ("num_keypoints", f"num_keypoints {count!r}")


def box_fault(entry: Any, known_images: set[int]) -> Wrong | None:
    """The first thing wrong with a detector's box, or None."""
    if not isinstance(entry, dict):
        kind = type(entry).__name__
        text = f"is a {kind}; give an object with image_id, category_id, bbox and score"
        return "object", text
    image_id = entry.get("image_id")
    if not is_whole_number(image_id) or image_id not in known_images:
        text = f"image_id {image_id!r} is not in the annotation file; use the boxes of this split"
        return "image_id", text
    category_id = entry.get("category_id")
    if not is_whole_number(category_id):
        text = f"category_id {category_id!r} (image {image_id}) must be a whole number"
        return "category_id", text
    score = as_number(entry.get("score"))
    if score is None or not math.isfinite(score):
        return "score", f"score {entry.get('score')!r} (image {image_id}) must be a finite number"
    fault = _bbox_fault(entry.get("bbox"))
    return ("bbox", f"{fault} (image {image_id})") if fault else None


def _bbox_fault(given: Any) -> str | None:
    bbox: NDArray[Any] | None = as_numbers(given)
    if bbox is None or len(bbox) != 4:
        return describe_numbers("bbox", given, bbox, 4, "x, y, width, height")
    if not np.isfinite(bbox).all():
        return f"bbox {given} has nan or inf; it must be finite"
    if np.abs(bbox.astype(np.float64)).max() > MAX_COORDINATE:
        return f"bbox {given} reaches outside of any image; give pixels"
    return None
