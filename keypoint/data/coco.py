"""Person records from COCO annotations or a detector's boxes, and every entry accounted.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py` decide which persons count; here nothing
goes missing without being counted: total = used + skipped by reason.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.bad_entries import BadEntries, find_bad_entries, limit, settle
from keypoint.data.entries import box_fault, keypoint_category, name_annotation, read_dataset
from keypoint.data.faults import Fault, raise_faults
from keypoint.data.json_file import read_json
from keypoint.data.persons import Images, Persons
from keypoint.data.plausible import require_plausible
from keypoint.data.report import DataReport, ImageCounts
from keypoint.errors import DataError
from keypoint.geometry import clean_bbox
from keypoint.skeleton import Skeleton

__all__ = ["Images", "Persons", "find_split", "load_boxes", "load_persons", "read_box_list"]


def load_persons(
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    *,
    on_bad: str = "error",
    max_bad: float = 0.001,
    scored: bool = False,
) -> Persons:
    """Ground-truth persons of the skeleton's category.

    A person counts if it is no crowd, has a labelled keypoint and a box with area.

    Args:
        annotations: COCO `person_keypoints_*.json` or one's own file of that form.
        image_root: Folder that the `file_name`s are relative to.
        skeleton: Its names must be the category's, in the same order.
        on_bad: "error", or "skip" to leave bad annotations out, and images whose entry or file is
            bad (the first and last bytes of every file are read, about 0.1 ms each).
        max_bad: Largest share of annotations, and of images, that "skip" leaves out.
        scored: The persons are for evaluation: with "skip" an image with anything bad is left out
            whole, and COCOeval's needs count as well.

    Raises:
        DataError: The file is unreadable, faulty (all faults are listed by id), or has no usable
            person.
    """
    content = read_dataset(annotations)
    category_id = keypoint_category(content, skeleton, annotations)
    with_skip = scored and on_bad == "skip"
    bad = find_bad_entries(content, category_id, skeleton.num_keypoints, scored=with_skip)
    left_out = settle(
        content, bad, str(annotations), image_root,
        on_bad=on_bad, max_bad=max_bad, whole_images=scored,
    )  # fmt: skip
    images, row_of_id = _read_images(content, bad, left_out, image_root)
    skipped: Counter[str] = Counter()
    listed = [fault.to_dict() for fault in bad.faults()]
    rows_of_content, rows = [], []
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
            rows_of_content.append(place)
            rows.append(row_of_id[entry["image_id"]])
    entries = [content["annotations"][place] for place in rows_of_content]

    image_index = np.array(rows, dtype=np.int64)
    given = np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    triples = np.array([entry["keypoints"] for entry in entries], dtype=np.float32)
    triples = triples.reshape(-1, skeleton.num_keypoints, 3)
    require_plausible(str(annotations), given, triples, images.image_size[image_index])
    bbox = clean_bbox(given, images.image_size[image_index])
    usable = (bbox[:, 2] > 0) & (bbox[:, 3] > 0)
    if not usable.all():
        reason = "with a bbox without area inside its image"
        skipped[reason] = int((~usable).sum())
        for row in np.flatnonzero(~usable):
            name = name_annotation(entries[row], rows_of_content[row])
            text = f"bbox {entries[row]['bbox']} lies outside its image or has no area"
            listed.append(Fault(name, text, reason, int(entries[row]["id"])).to_dict())
    total, used = len(content["annotations"]), int(usable.sum())
    report = DataReport(
        str(annotations), total, used, dict(skipped),
        _count_images(content, bad, len(images.ids), image_index[usable]), listed,
    )  # fmt: skip
    if report.used == 0:
        raise DataError(f"{report}; there is no usable person to train or test on")
    return Persons(
        images=images,
        ids=np.array([entry["id"] for entry in entries], dtype=np.int64)[usable],
        image_index=image_index[usable],
        bbox_xywh=bbox[usable],
        bbox_scores=np.ones(report.used),
        keypoints_image=np.ascontiguousarray(triples[usable, :, :2]),
        visibility=triples[usable, :, 2].astype(np.uint8),
        category_id=category_id,
        report=report,
        left_out_images=left_out,
    )


def load_boxes(
    boxes: Path,
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    score_threshold: float = 0.0,
    *,
    on_bad: str = "error",
    max_bad: float = 0.001,
) -> Persons:
    """A detector's person boxes on the images of an annotation file.

    Args:
        boxes: JSON list of {image_id, category_id, bbox [x, y, width, height], score}, image frame.
        annotations: The annotation file of the same images (their sizes, names and the category's
            id).
        image_root: Folder of the images.
        skeleton: As for `load_persons`.
        score_threshold: Boxes below it are skipped.
        on_bad: As for `load_persons` with `scored`; bad boxes are left out as well.
        max_bad: Largest share of annotations, of images and of boxes that "skip" leaves out.

    Raises:
        DataError: Either file is unreadable or faulty; all faults are listed by place and image id.
    """
    content = read_dataset(annotations)
    category_id = keypoint_category(content, skeleton, annotations)
    bad = find_bad_entries(content, category_id, skeleton.num_keypoints, scored=on_bad == "skip")
    if on_bad == "error":
        bad = BadEntries(bad.images)  # without the annotations: the boxes are used, and not these
    left_out = settle(
        content, bad, str(annotations), image_root,
        on_bad=on_bad, max_bad=max_bad, whole_images=True,
    )  # fmt: skip
    images, row_of_id = _read_images(content, bad, left_out, image_root)
    known = row_of_id.keys() | (left_out or frozenset())
    entries = read_box_list(boxes)
    faults: list[Fault] = []
    skipped: Counter[str] = Counter()
    places, rows, kept, scores = [], [], [], []
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
            kept.append(entry["bbox"])
            scores.append(entry["score"])
    if on_bad == "error":
        raise_faults(str(boxes), faults)
    limit(str(boxes), "boxes", faults, len(faults), len(entries), max_bad)
    image_index = np.array(rows, dtype=np.int64)
    listed = [fault.to_dict() for fault in [*bad.faults(), *faults]]
    report = DataReport(
        str(boxes), len(entries), len(places), dict(skipped),
        _count_images(content, bad, len(images.ids), image_index, "box"), listed,
    )  # fmt: skip
    if report.used == 0:
        raise DataError(f"{report}; there is no box to test on")
    return Persons(
        images=images,
        ids=np.array(places, dtype=np.int64),
        image_index=image_index,
        bbox_xywh=np.array(kept, dtype=np.float64),
        bbox_scores=np.array(scores, dtype=np.float64),
        keypoints_image=np.zeros((report.used, skeleton.num_keypoints, 2), np.float32),
        visibility=np.zeros((report.used, skeleton.num_keypoints), np.uint8),
        category_id=category_id,
        report=report,
        left_out_images=left_out,
    )


def read_box_list(boxes: Path) -> list[Any]:
    """The entries of a detector's file, unchecked.

    Raises:
        DataError: It is unreadable, or no list.
    """
    entries = read_json(boxes, "person boxes")
    if not isinstance(entries, list):
        raise DataError(
            f"{boxes}: holds a {type(entries).__name__}; person boxes are a JSON list of objects"
        )
    return entries


def find_split(root: Path, annotations: str, images: str | None, split: str) -> tuple[Path, Path]:
    """The annotation file and image folder of one split.

    Args:
        root: Folder of the data set.
        annotations: The file, relative to `root` or absolute.
        images: The image folder, likewise; None looks for COCO's two common layouts, ROOT/SPLIT
            and ROOT/images/SPLIT.
        split: "train2017" or "val2017".

    Raises:
        DataError: Something is not there; the text names every place that was looked at.
    """
    file = root / annotations
    if not file.is_file():
        raise DataError(
            f"{file}: no such annotation file; "
            "set data.root to the folder that holds it (README: get COCO)"
        )
    places = [root / images] if images else [root / split, root / "images" / split]
    for place in places:
        if place.is_dir():
            return file, place
    looked = " and ".join(map(str, places))
    key = f"data.{split.removesuffix('2017')}_images"
    raise DataError(
        f"no folder of {split} images: looked for {looked}; "
        f"set data.root, or name the folder in {key}"
    )


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
