"""Persons of an annotation file to predict on: those with keypoints, or all boxes without any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.data.annotations import check_form, collect, read_annotations
from keypoint.data.coco import select_persons, usable_persons
from keypoint.data.entries import (
    ALL,
    OTHER_NETWORK,
    Category,
    check_entries,
    is_whole_number,
    names_fault,
    with_whole_numbers,
)
from keypoint.data.persons import Persons
from keypoint.data.plausible.detected import box_doubts
from keypoint.data.plausible.file import settle
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.pose.skeleton import Skeleton

OF_A_BOX = ("id", "image_id", "category_id", "bbox", "iscrowd")


def annotated_persons(annotations: Path, skeleton: Skeleton) -> Persons:
    """Return the persons of an annotation file, or all boxes of a file without keypoints.

    Args:
        annotations: File in COCO's format. If it has no labelled keypoints, the persons are the
            boxes of the category with keypoints or named person, or of the only category.
        skeleton: Its names must be equal to the category's, if that has names.

    Raises:
        DataError: The file is unreadable or faulty, or has no usable person or box.
    """
    try:
        how: Any = {"category": ALL, "names_remedy": OTHER_NETWORK}
        return select_persons(read_annotations(annotations, Path(), skeleton, **how))
    except DataError:
        content = read_json(annotations, "annotations")
        entries = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries or any(map(_has_keypoints, entries)):
            raise
    return _annotated_boxes(annotations, content, skeleton)


def _has_keypoints(entry: Any) -> bool:
    """Return whether an annotation has labelled keypoints, or any that are not numbers."""
    keypoints = entry.get("keypoints") if isinstance(entry, dict) else None
    if not isinstance(keypoints, list):
        return keypoints is not None
    return any(keypoints if len(keypoints) % 3 else keypoints[2::3])


def _annotated_boxes(file: Path, content: dict[str, Any], skeleton: Skeleton) -> Persons:
    """Return a record for each box that is not a crowd and overlaps its image."""
    if not content.get("categories"):
        ids = {repr(e.get("category_id")): e for e in content["annotations"] if isinstance(e, dict)}
        named = [{"id": e.get("category_id", 1), "name": name} for name, e in ids.items()]
        content = content | {"categories": named}
    check_form(content, str(file))
    content, notes = with_whole_numbers(content)
    category = _box_category(file, content["categories"], skeleton)
    # If a keypoint is labelled anywhere in the file, the rules for persons apply to its boxes.
    keypoints = [0, 0, 2] + (3 * skeleton.num_keypoints - 3) * [0]
    boxes = [
        {"category_id": 1}
        | {key: e[key] for key in OF_A_BOX if key in e}
        | {"keypoints": keypoints}
        for e in content["annotations"]
    ]
    checked = check_entries(
        content | {"annotations": boxes}, category, skeleton.num_keypoints, scored=False
    )
    raise_faults(str(file), checked.faults())
    annotations = collect(checked, str(file), Path(), whole_images=False)
    rows = np.flatnonzero(annotations.counted)
    given = replace(
        annotations,
        ids=annotations.ids[rows],
        image_index=annotations.image_index[rows],
        bbox_xywh=annotations.bbox_xywh[rows],
    )
    doubts = settle(str(file), [*notes, *box_doubts(given, None)])
    persons = usable_persons(annotations)
    if len(persons) == 0:
        raise DataError(f"{persons.report}; there is no box to predict on")
    return replace(
        persons,
        keypoints_image=np.zeros_like(persons.keypoints_image),
        visibility=np.zeros_like(persons.visibility),
        report=replace(persons.report, notes=doubts),
    )


def _box_category(file: Path, categories: list[dict[str, Any]], skeleton: Skeleton) -> Category:
    """Return the category of the persons' boxes."""
    found = [c for c in categories if c.get("keypoints")]
    found = found or [c for c in categories if str(c.get("name")).lower() == "person"]
    found = found or categories
    if len(found) > 1:
        names = ", ".join(str(c.get("name")) for c in found[:9])
        raise DataError(
            f"{file}: boxes without keypoints of {len(found)} categories ({names[:200]}); rename "
            "the category of the persons to person, or remove the others"
        )
    key = found[0].get("id")
    if not is_whole_number(key):
        raise DataError(f"{file}: category id {key!r} is not a whole number; correct it")
    category = Category((key,), (found[0].get("name"),), found[0].get("keypoints") or None)
    wrong_names = names_fault(category, skeleton, OTHER_NETWORK)
    if wrong_names:
        raise DataError(f"{file}: {wrong_names}")
    return category
