"""Persons of an annotation file to predict on: those with keypoints, or else all boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from keypoint.data.coco import load_persons
from keypoint.data.entries import ALL, is_whole_number, read_bbox
from keypoint.data.entries.check import name_annotation
from keypoint.data.persons import FileNames, Images, Persons
from keypoint.data.plausible.detected import box_doubts
from keypoint.data.plausible.file import settle
from keypoint.data.report import DataReport, Fault, ImageCounts, raise_faults
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.pose.geometry import clean_bbox
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.image_list import read_lists

NO_AREA = "with a bbox without area inside its image"


def annotated_persons(annotations: Path, skeleton: Skeleton) -> Persons:
    """The persons of an annotation file to predict on, or all boxes of one without keypoints.

    Args:
        annotations: COCO's form. If no keypoint is labelled in it, the boxes are persons: of the
            category with keypoints or named person, or of the only one.
        skeleton: Its names must be the category's, if that has names.

    Raises:
        DataError: The file is unreadable or faulty, or has no usable person or box.
    """
    try:
        return load_persons(annotations, Path(), skeleton, category=ALL)
    except DataError:
        entries = read_json(annotations, "annotations")
        entries = entries.get("annotations") if isinstance(entries, dict) else None
        if not isinstance(entries, list) or not entries or any(map(_has_keypoints, entries)):
            raise
    content = read_lists(annotations, ("images", "annotations"))
    return _annotated_boxes(
        annotations, content, _box_category(annotations, content, skeleton), skeleton
    )


def _has_keypoints(entry: Any) -> bool:
    """Whether an annotation has keypoints, right or wrong; zeros are those of an unlabelled one."""
    keypoints = entry.get("keypoints") if isinstance(entry, dict) else None
    return any(keypoints) if isinstance(keypoints, list) else keypoints is not None


def _box_category(file: Path, content: dict[str, Any], skeleton: Skeleton) -> int:
    """Id of the category of the persons' boxes; without `categories` that of all annotations."""
    categories = content.get("categories")
    if not categories:
        ids = {repr(e.get("category_id")): e.get("category_id") for e in content["annotations"]}
        categories = [{"id": key, "name": f"id {name}"} for name, key in ids.items()]
    elif not isinstance(categories, list) or not all(isinstance(c, dict) for c in categories):
        raise DataError(f"{file}: 'categories' is not a list of objects; give COCO's form")
    found = [c for c in categories if c.get("keypoints")]
    found = found or [c for c in categories if str(c.get("name")).lower() == "person"]
    found = found or categories
    if len(found) > 1:
        names = ", ".join(str(c.get("name")) for c in found[:9])
        raise DataError(
            f"{file}: has boxes and no keypoints, of {len(found)} categories ({names[:200]}); name "
            "the one of the persons person, or leave the others out"
        )
    names = found[0].get("keypoints")
    if names and names != list(skeleton.keypoints):
        raise DataError(
            f"{file}: the category's keypoint names are not those of skeleton {skeleton.name}, "
            "which the network was trained for; give a file of that skeleton, or one without names"
        )
    key = found[0].get("id")
    if key is None and not content.get("categories"):
        return 1
    if not is_whole_number(key):
        raise DataError(f"{file}: category id {key!r}; give a whole number")
    return key


def _annotated_boxes(
    file: Path, content: dict[str, Any], category_id: int, skeleton: Skeleton
) -> Persons:
    """A record for each box that is no crowd and has an area inside its image."""
    entries = content["images"]
    row_of_id = {entry["id"]: row for row, entry in enumerate(entries)}
    faults, skipped = list[Fault](), Counter[str]()
    boxes: list[tuple[int, int, Any]] = []  # annotation id, row of the image, box
    seen: set[int] = set()
    default = None if content.get("categories") else category_id
    for place, entry in enumerate(content["annotations"]):
        fault = _box_fault(entry, row_of_id.keys(), seen)
        if fault:
            faults.append(Fault(name_annotation(entry, place), fault, fault.split()[0]))
        elif entry.get("category_id", default) != category_id:
            skipped["of another category"] += 1
        elif entry.get("iscrowd"):
            skipped["crowd"] += 1
        else:
            boxes.append((entry["id"], row_of_id[entry["image_id"]], entry["bbox"]))
    raise_faults(str(file), faults)
    given = Persons(
        images=Images(
            Path(),
            np.array(list(row_of_id), dtype=np.int64),
            FileNames.of([entry["file_name"] for entry in entries]),
            np.array([(e["height"], e["width"]) for e in entries], dtype=np.int64),
        ),
        ids=np.array([key for key, *_ in boxes], dtype=np.int64),
        image_index=np.array([row for _, row, _ in boxes], dtype=np.int64),
        bbox_xywh=np.array([bbox for *_, bbox in boxes], dtype=np.float64).reshape(-1, 4),
        bbox_scores=np.ones(len(boxes)),
        keypoints_image=np.zeros((len(boxes), skeleton.num_keypoints, 2), np.float32),
        visibility=np.zeros((len(boxes), skeleton.num_keypoints), np.uint8),
        category_id=category_id,
        report=DataReport(str(file), len(boxes), len(boxes), {}),
    )
    notes = settle(str(file), box_doubts(given, None))
    clipped = clean_bbox(given.bbox_xywh, given.images.image_size[given.image_index])
    usable = (given.bbox_xywh[:, 2:] > 0).all(axis=1) & (clipped[:, 2:] >= 0).all(axis=1)
    usable &= (clipped[:, 2:] > 0).any(axis=1)  # as `usable_persons`
    skipped[NO_AREA] = int((~usable).sum())
    faults = [
        Fault(f"annotation id {key}", f"bbox {short(bbox)} has no area there", NO_AREA, key)
        for key, _, bbox in (boxes[row] for row in np.flatnonzero(~usable))
    ]
    rows = given.image_index[usable]
    used = len(np.unique(rows))
    unused = +Counter({"without a usable box": len(entries) - used})
    report = DataReport(
        source=str(file),
        total=len(content["annotations"]),
        used=len(rows),
        skipped=dict(+skipped),
        images=ImageCounts(len(entries), used, dict(unused)),
        listed=[fault.to_dict() for fault in faults],
        notes=notes,
    )
    if len(rows) == 0:
        raise DataError(f"{report}; there is no box to predict on")
    return replace(
        given,
        ids=given.ids[usable],
        image_index=rows,
        bbox_xywh=clipped[usable],
        bbox_scores=given.bbox_scores[usable],
        keypoints_image=given.keypoints_image[usable],
        visibility=given.visibility[usable],
        report=report,
    )


def _box_fault(entry: dict[str, Any], images: Collection[int], seen: set[int]) -> str | None:
    """The first thing wrong with a box, or None; its id is added to those seen."""
    key, image_id, bbox = entry.get("id"), entry.get("image_id"), read_bbox(entry.get("bbox"))
    if not is_whole_number(key) or key in seen:
        return "id must be a whole number, and of one annotation only"
    seen.add(key)
    if not is_whole_number(image_id) or image_id not in images:
        return f"image_id {short(image_id)} is not among the images"
    return bbox if isinstance(bbox, str) else None
