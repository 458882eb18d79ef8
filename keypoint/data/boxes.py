"""A detector's person boxes on the images of an annotation file; every box is counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.data.annotations import read_annotations
from keypoint.data.coco import count_images
from keypoint.data.entries import (
    ALL,
    OTHER_SKELETON,
    Wrong,
    as_number,
    is_whole_number,
    read_bbox,
    whole_number,
)
from keypoint.data.entries.columns import number_column, number_lists, whole_column
from keypoint.data.entries.person import MAX_COORDINATE
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.detected import box_doubts, outside_notes
from keypoint.data.plausible.file import settle
from keypoint.data.report import DataReport, Fault, raise_faults, raise_too_many
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.files.json_text import no_collection
from keypoint.pose.skeleton import Skeleton


def load_boxes(
    boxes: Path,
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Persons:
    """Read boxes on the images of an annotation file, and compare them with its persons.

    Args:
        boxes: JSON list of {image_id, category_id, bbox [x, y, width, height], score}, image frame.
        annotations: The annotation file of the same images: their sizes, names, and the category.
            Its annotations may be missing or faulty; then nothing is compared.
        image_root: Folder of the images.
        skeleton: Its names must be the category's.
        score_threshold: Boxes below it are skipped.

    Raises:
        DataError: Either file is unreadable or faulty; all faults are listed by place and image id.
    """
    return read_boxes(boxes, images_of_boxes(annotations, image_root, skeleton), score_threshold)


def images_of_boxes(
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    names_remedy: str = OTHER_SKELETON,
) -> Annotations:
    """Read the images that boxes are on, with their annotations unless missing or faulty.

    Args:
        annotations: The annotation file, or COCO's `image_info`.
        image_root: Folder of the images.
        skeleton: Its names must be the category's, if that has names.
        names_remedy: What to do if they are not.

    Raises:
        DataError: The file is unreadable, or its images are faulty.
    """
    how: Any = {"category": ALL, "names_remedy": names_remedy}
    try:
        return read_annotations(annotations, image_root, skeleton, **how)
    except DataError:
        return read_annotations(annotations, image_root, skeleton, images_only=True, **how)


@no_collection()
def read_boxes(
    boxes: Path,
    annotations: Annotations,
    score_threshold: float = 0.0,
    *,
    on_bad: str = "error",
    max_bad: float = 0.001,
) -> Persons:
    """Read boxes on the images of annotations that were read already.

    Args:
        boxes: The detector's file.
        annotations: Annotations of the same images.
        score_threshold: Boxes below it are skipped.
        on_bad: "error", or "skip" to leave out bad boxes.
        max_bad: Largest share of boxes that "skip" leaves out.

    Raises:
        DataError: The file is unreadable or faulty, has no usable box, or has boxes that cannot
            be x, y, width, height in pixels. Boxes that are only doubtful are logged and noted.
    """
    entries = read_box_list(boxes)
    persons, faults = usable_boxes(boxes, entries, annotations, score_threshold)
    if on_bad == "error":
        raise_faults(str(boxes), faults)
    raise_too_many(str(boxes), "boxes", faults, len(faults), len(entries), max_bad)
    if len(persons) == 0:
        raise DataError(f"{persons.report}; there is no box to test on")
    doubts = box_doubts(persons, annotations) or outside_notes(persons)
    notes = settle(str(boxes), doubts)
    return replace(persons, report=replace(persons.report, notes=notes))


def read_box_list(boxes: Path) -> list[Any]:
    """Read the entries of a detector's file, unchecked.

    Raises:
        DataError: It is unreadable, not a list, or contains keypoint results.
    """
    entries = read_json(boxes, "person boxes")
    if not isinstance(entries, list):
        raise DataError(
            f"{boxes}: contains a {type(entries).__name__}; person boxes are a JSON list of objects"
        )
    with_keypoints = [e for e in entries if isinstance(e, dict) and "keypoints" in e]
    if with_keypoints and not any("bbox" in entry for entry in with_keypoints):
        raise DataError(
            f"{boxes}: contains keypoint results, not boxes; give a detector's file, a list of "
            "{image_id, category_id, bbox, score}"
        )
    return entries


def usable_boxes(
    boxes: Path, entries: list[Any], annotations: Annotations, score_threshold: float
) -> tuple[Persons, list[Fault]]:
    """Return the records of the valid boxes, and the faults of the others.

    `entries` is the content of the file `boxes`, as `read_box_list` returns it.
    """
    row_of_id = {key: row for row, key in enumerate(annotations.images.ids.tolist())}
    known = row_of_id.keys() | annotations.left_out_images
    entries = [_with_whole_ids(entry) for entry in entries]
    sound = surely_sound(entries, known)
    faults: list[Fault] = []
    skipped: Counter[str] = Counter()
    places, rows = [], []
    for place, entry in enumerate(entries):
        fault = None if sound[place] else box_fault(entry, known)
        if fault:
            faults.append(Fault(f"box {place}", fault[1], fault[0]))
            skipped[f"faulty ({fault[0]})"] += 1
        elif entry["image_id"] not in row_of_id:
            skipped["on an image left out as faulty"] += 1
        elif entry["category_id"] not in annotations.category_ids:
            skipped["of another category"] += 1
        elif entry["score"] < score_threshold:
            skipped[f"with a score under {score_threshold}"] += 1
        elif min(entry["bbox"][2:]) <= 0:
            skipped["with a bbox without area"] += 1
        else:
            places.append(place)
            rows.append(row_of_id[entry["image_id"]])
    image_index, num_keypoints = np.array(rows, dtype=np.int64), annotations.num_keypoints
    kept = [entries[place] for place in places]
    persons = Persons(
        images=annotations.images,
        ids=np.array(places, dtype=np.int64),
        image_index=image_index,
        bbox_xywh=np.array([entry["bbox"] for entry in kept], dtype=np.float64).reshape(-1, 4),
        bbox_scores=np.array([entry["score"] for entry in kept], dtype=np.float64),
        keypoints_image=np.zeros((len(places), num_keypoints, 2), np.float32),
        visibility=np.zeros((len(places), num_keypoints), np.uint8),
        category_id=annotations.category_id,
        report=DataReport(
            source=str(boxes),
            total=len(entries),
            used=len(places),
            skipped=dict(skipped),
            images=count_images(annotations, image_index, "box"),
            listed=[fault.to_dict() for fault in [*annotations.faults, *faults]],
        ),
        box_score_threshold=score_threshold,
    )
    return persons, faults


def surely_sound(entries: list[Any], images: Set[int]) -> list[bool]:
    """Return true for most valid boxes without calling the slower `box_fault`."""
    if not all(isinstance(entry, dict) for entry in entries):
        return [False] * len(entries)
    image_ids, category_ids = (whole_column(entries, key) for key in ("image_id", "category_id"))
    if image_ids is None or category_ids is None:
        return [False] * len(entries)
    numbers = number_lists(entries, "bbox", 4)
    sound = np.isfinite(number_column(entries, "score", np.nan))
    sound &= (np.abs(numbers) <= MAX_COORDINATE).all(axis=1)
    couples = zip(sound.tolist(), image_ids.tolist(), strict=True)
    return [is_sound and key in images for is_sound, key in couples]


def _with_whole_ids(entry: Any) -> Any:
    """Return the entry with the ids 1.0 and "1" as 1, as annotation files are read."""
    if not isinstance(entry, dict):
        return entry
    if type(entry.get("image_id")) is int and type(entry.get("category_id")) is int:
        return entry
    ids = {key: whole_number(entry.get(key)) for key in ("image_id", "category_id")}
    changed = {key: n for key, n in ids.items() if n is not None and type(entry[key]) is not int}
    return entry | changed if changed else entry


def box_fault(entry: Any, images: Set[int]) -> Wrong | None:
    """Return the first fault of a detector's box, or None; `images` are the ids of the file."""
    if not isinstance(entry, dict):
        kind = type(entry).__name__
        text = f"is a {kind}; give an object with image_id, category_id, bbox and score"
        return "object", text
    image_id = entry.get("image_id")
    if not is_whole_number(image_id) or image_id not in images:
        text = f"image_id {image_id!r} is not in the annotation file; use the boxes of this split"
        return "image_id", text
    category_id = entry.get("category_id")
    if not is_whole_number(category_id):
        text = f"category_id {category_id!r} (image {image_id}) must be an integer"
        return "category_id", text
    score = as_number(entry.get("score"))
    if score is None or not math.isfinite(score):
        return "score", f"score {entry.get('score')!r} (image {image_id}) must be a finite number"
    bbox = read_bbox(entry.get("bbox"))
    return ("bbox", f"{bbox} (image {image_id})") if isinstance(bbox, str) else None
