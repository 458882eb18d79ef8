"""From checked entries to person records; nothing is lost: total = used + skipped by reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.bad_entries import BadEntries
from keypoint.data.entries import box_fault, name_annotation
from keypoint.data.faults import Fault, is_whole_number
from keypoint.data.persons import Images, Persons
from keypoint.data.plausible import implausible_form
from keypoint.data.report import DataReport, ImageCounts
from keypoint.pose.geometry import clean_bbox


def build_persons(
    content: dict[str, Any],
    bad: BadEntries,
    left_out: frozenset[int] | None,
    category_id: int,
    num_keypoints: int,
    annotations: Path,
    image_root: Path,
) -> tuple[Persons, str | None]:
    """The records of what is in order, and what is wrong with the file as a whole, or None.

    Args:
        content: Of `read_dataset`.
        bad: Entries to leave out.
        left_out: Ids of images to leave out besides.
        category_id: Of the persons.
        num_keypoints: K.
        annotations: The file, for the report.
        image_root: Folder of the images.
    """
    images, row_of_id = _read_images(content, bad, left_out, image_root)
    skipped: Counter[str] = Counter()
    listed = [fault.to_dict() for fault in bad.faults()]
    places, rows = [], []
    for place, entry in enumerate(content["annotations"]):
        if place in bad.annotations:
            skipped[f"faulty ({bad.annotations[place].reason})"] += 1
        elif entry["image_id"] not in row_of_id:
            skipped["on an image left out as faulty"] += 1
        elif entry["category_id"] != category_id:
            skipped["of another category"] += 1
        elif entry.get("iscrowd", 0):
            skipped["crowd"] += 1
        elif not any(entry["keypoints"][2::3]):
            skipped["without a labelled keypoint"] += 1
        else:
            places.append(place)
            rows.append(row_of_id[entry["image_id"]])
    entries = [content["annotations"][place] for place in places]

    image_index = np.array(rows, dtype=np.int64)
    image_size = images.image_size[image_index]
    given = np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    triples = np.array([entry["keypoints"] for entry in entries], dtype=np.float32)
    triples = triples.reshape(-1, num_keypoints, 3)
    bbox = clean_bbox(given, image_size)
    # The references keep a side of 0 after cleaning (a box of one pixel's width); both would leave
    # nothing to crop.
    has_area = (given[:, 2:] > 0).all(axis=1)
    usable = has_area & (bbox[:, 2:] >= 0).all(axis=1) & (bbox[:, 2:] > 0).any(axis=1)
    reason = "with a bbox without area inside its image"
    for row in np.flatnonzero(~usable):
        skipped[reason] += 1
        name = name_annotation(entries[row], places[row])
        text = f"bbox {entries[row]['bbox']} lies outside its image or has no area"
        listed.append(Fault(name, text, reason, int(entries[row]["id"])).to_dict())
    persons = Persons(
        images=images,
        ids=np.array([entry["id"] for entry in entries], dtype=np.int64)[usable],
        image_index=image_index[usable],
        bbox_xywh=bbox[usable],
        bbox_scores=np.ones(int(usable.sum())),
        keypoints_image=np.ascontiguousarray(triples[usable, :, :2]),
        visibility=triples[usable, :, 2].astype(np.uint8),
        category_id=category_id,
        report=DataReport(
            str(annotations),
            len(content["annotations"]),
            int(usable.sum()),
            dict(skipped),
            _count_images(content, bad, len(images.ids), image_index[usable]),
            listed,
        ),
        left_out_images=left_out,
    )
    return persons, implausible_form(given, triples, image_size)


def build_boxes(
    entries: list[Any],
    content: dict[str, Any],
    bad: BadEntries,
    left_out: frozenset[int] | None,
    category_id: int,
    num_keypoints: int,
    boxes: Path,
    image_root: Path,
    score_threshold: float,
) -> tuple[Persons, list[Fault]]:
    """The records of the boxes that are in order, and the faults of the others.

    Args:
        entries: Of `read_box_list`.
        content: Of the annotation file, by `read_dataset`; the next five as in `build_persons`.
        bad: See there.
        left_out: See there.
        category_id: See there.
        num_keypoints: See there.
        boxes: The file, for the report.
        image_root: Folder of the images.
        score_threshold: Boxes below it are skipped.
    """
    images, row_of_id = _read_images(content, bad, left_out, image_root)
    known = {entry["id"] for entry in content["images"] if is_whole_number(entry.get("id"))}
    faults: list[Fault] = []
    skipped: Counter[str] = Counter()
    places, rows = [], []
    for place, entry in enumerate(entries):
        fault = box_fault(entry, known)
        if fault:
            faults.append(Fault(f"box {place}", fault[1], fault[0]))
            skipped[f"faulty ({fault[0]})"] += 1
        elif entry["image_id"] not in row_of_id:
            skipped["on an image left out as faulty"] += 1
        elif entry["category_id"] != category_id:
            skipped["of another category"] += 1
        elif entry["score"] < score_threshold:
            skipped[f"with a score under {score_threshold}"] += 1
        elif min(entry["bbox"][2:]) <= 0:
            skipped["with a bbox without area"] += 1
        else:
            places.append(place)
            rows.append(row_of_id[entry["image_id"]])
    image_index = np.array(rows, dtype=np.int64)
    kept = [entries[place] for place in places]
    persons = Persons(
        images=images,
        ids=np.array(places, dtype=np.int64),
        image_index=image_index,
        bbox_xywh=np.array([entry["bbox"] for entry in kept], dtype=np.float64).reshape(-1, 4),
        bbox_scores=np.array([entry["score"] for entry in kept], dtype=np.float64),
        keypoints_image=np.zeros((len(places), num_keypoints, 2), np.float32),
        visibility=np.zeros((len(places), num_keypoints), np.uint8),
        category_id=category_id,
        report=DataReport(
            str(boxes),
            len(entries),
            len(places),
            dict(skipped),
            _count_images(content, bad, len(images.ids), image_index, "box"),
            [fault.to_dict() for fault in [*bad.faults(), *faults]],
        ),
        left_out_images=left_out,
    )
    return persons, faults


def _read_images(
    content: dict[str, Any], bad: BadEntries, left_out: frozenset[int] | None, root: Path
) -> tuple[Images, dict[int, int]]:
    """The images in order as arrays, and the row of each id."""
    entries = [
        entry
        for place, entry in enumerate(content["images"])
        if place not in bad.images and entry["id"] not in (left_out or ())
    ]
    sizes = [(entry["height"], entry["width"]) for entry in entries]
    images = Images(
        root=root,
        ids=np.array([entry["id"] for entry in entries], dtype=np.int64),
        file_names=np.array([entry["file_name"] for entry in entries], dtype=np.str_),
        image_size=np.array(sizes, dtype=np.int64).reshape(-1, 2),
    )
    return images, {entry["id"]: row for row, entry in enumerate(entries)}


def _count_images(
    content: dict[str, Any],
    bad: BadEntries,
    in_order: int,
    image_index: NDArray[np.int64],
    thing: str = "person",
) -> ImageCounts:
    used = len(np.unique(image_index))
    skipped = Counter(f"faulty ({faults[0].reason})" for faults in bad.images.values())
    total = len(content["images"])
    skipped["left out with a faulty annotation"] = total - len(bad.images) - in_order
    skipped[f"without a usable {thing}"] = in_order - used
    return ImageCounts(total, used, dict(+skipped))
