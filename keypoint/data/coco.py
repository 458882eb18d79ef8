"""Person records from COCO annotations or a detector's boxes: flat arrays, and every one accounted.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py` decide which persons count; here nothing
goes missing without being counted: total = used + skipped by reason. Flat arrays and not a list of
dicts, because each worker process would copy the list's pages by merely touching reference counts
(train2017: 0.9 GB per worker against 60 MB shared). Letters: P persons, K keypoints, I images.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.entries import (
    annotation_fault,
    box_fault,
    image_faults,
    keypoint_category,
    name_annotation,
    read_dataset,
)
from keypoint.data.faults import is_whole_number, raise_faults
from keypoint.data.json_file import read_json
from keypoint.data.report import DataReport
from keypoint.errors import DataError
from keypoint.geometry import clean_bbox
from keypoint.skeleton import Skeleton


@dataclass(frozen=True)
class Images:
    """The images of an annotation file.

    Attributes:
        root: Folder of the files.
        ids: (I,) int64, COCO image ids.
        file_names: (I,) str, relative to `root`.
        image_size: (I, 2) int64, height and width.
    """

    root: Path
    ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    image_size: NDArray[np.int64]

    def path(self, index: int) -> Path:
        """File of image `index`."""
        return self.root / str(self.file_names[index])


@dataclass(frozen=True)
class Persons:
    """One record per person, all in the image's frame.

    Attributes:
        images: The images they are on.
        ids: (P,) int64, annotation ids; for detector boxes their place in the file.
        image_index: (P,) int64, rows of `images`.
        bbox_xywh: (P, 4) float64; ground truth is clipped to the image, detections are as given.
        bbox_scores: (P,) float64; 1 for ground truth.
        keypoints_image: (P, K, 2) float32; zeros for detector boxes.
        visibility: (P, K) uint8: 0 unlabelled, 1 occluded, 2 visible; zeros for detector boxes.
        category_id: Of the persons, as the annotation file has it.
        report: How many entries of the file these are.
    """

    images: Images
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    bbox_xywh: NDArray[np.float64]
    bbox_scores: NDArray[np.float64]
    keypoints_image: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    category_id: int
    report: DataReport

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """(P,) COCO image id of each record."""
        return self.images.ids[self.image_index]


def load_persons(annotations: Path, image_root: Path, skeleton: Skeleton) -> Persons:
    """Ground-truth persons of the skeleton's category.

    A person counts if it is no crowd, has a labelled keypoint and a box with area.

    Args:
        annotations: COCO `person_keypoints_*.json` or one's own file of that form.
        image_root: Folder that the `file_name`s are relative to.
        skeleton: Its names must be the category's, in the same order.

    Raises:
        DataError: The file is unreadable, faulty (all faults are listed by id), or has no usable
            person.
    """
    content = read_dataset(annotations)
    category_id = keypoint_category(content, skeleton, annotations)
    images, row_of_id = _read_images(content, image_root, annotations)
    faults: list[str] = []
    skipped: Counter[str] = Counter()
    ids, rows, boxes, keypoints = [], [], [], []
    seen: set[int] = set()
    known_categories = {c["id"] for c in content["categories"] if is_whole_number(c.get("id"))}
    for place, entry in enumerate(content["annotations"]):
        name = name_annotation(entry, place)
        fault = annotation_fault(
            entry, row_of_id, known_categories, seen, category_id, skeleton.num_keypoints
        )
        if fault:
            faults.append(f"{name}: {fault}")
            continue
        if entry["category_id"] != category_id:
            skipped["of another category"] += 1
        elif entry.get("iscrowd", 0):
            skipped["crowd"] += 1
        elif not any(entry["keypoints"][2::3]):
            skipped["without a labelled keypoint"] += 1
        else:
            ids.append(entry["id"])
            rows.append(row_of_id[entry["image_id"]])
            boxes.append(entry["bbox"])
            keypoints.append(entry["keypoints"])
    raise_faults(str(annotations), faults)

    image_index = np.array(rows, dtype=np.int64)
    bbox = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    bbox = clean_bbox(bbox, images.image_size[image_index])
    usable = (bbox[:, 2] > 0) & (bbox[:, 3] > 0)
    if not usable.all():
        skipped["with a bbox without area inside its image"] = int((~usable).sum())
    total, used = len(content["annotations"]), int(usable.sum())
    report = DataReport(str(annotations), total, used, dict(skipped))
    if report.used == 0:
        raise DataError(f"{report}; there is no usable person to train or test on")
    triples = np.array(keypoints, dtype=np.float32).reshape(-1, skeleton.num_keypoints, 3)[usable]
    return Persons(
        images=images,
        ids=np.array(ids, dtype=np.int64)[usable],
        image_index=image_index[usable],
        bbox_xywh=bbox[usable],
        bbox_scores=np.ones(report.used),
        keypoints_image=np.ascontiguousarray(triples[..., :2]),
        visibility=triples[..., 2].astype(np.uint8),
        category_id=category_id,
        report=report,
    )


def load_boxes(
    boxes: Path,
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    score_threshold: float = 0.0,
) -> Persons:
    """A detector's person boxes on the images of an annotation file.

    Args:
        boxes: JSON list of {image_id, category_id, bbox [x, y, width, height], score}, image frame.
        annotations: The annotation file of the same images (their sizes, names and the category's
            id).
        image_root: Folder of the images.
        skeleton: As for `load_persons`.
        score_threshold: Boxes below it are skipped.

    Raises:
        DataError: Either file is unreadable or faulty; all faults are listed by place and image id.
    """
    content = read_dataset(annotations)
    category_id = keypoint_category(content, skeleton, annotations)
    images, row_of_id = _read_images(content, image_root, annotations)
    entries = read_json(boxes, "person boxes")
    if not isinstance(entries, list):
        raise DataError(
            f"{boxes}: holds a {type(entries).__name__}; person boxes are a JSON list of objects"
        )
    faults: list[str] = []
    skipped: Counter[str] = Counter()
    places, rows, kept, scores = [], [], [], []
    for place, entry in enumerate(entries):
        fault = box_fault(entry, row_of_id)
        if fault:
            faults.append(f"box {place}: {fault}")
            continue
        if entry["category_id"] != category_id:
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
    raise_faults(str(boxes), faults)
    report = DataReport(str(boxes), len(entries), len(places), dict(skipped))
    if report.used == 0:
        raise DataError(f"{report}; there is no box to test on")
    return Persons(
        images=images,
        ids=np.array(places, dtype=np.int64),
        image_index=np.array(rows, dtype=np.int64),
        bbox_xywh=np.array(kept, dtype=np.float64),
        bbox_scores=np.array(scores, dtype=np.float64),
        keypoints_image=np.zeros((report.used, skeleton.num_keypoints, 2), np.float32),
        visibility=np.zeros((report.used, skeleton.num_keypoints), np.uint8),
        category_id=category_id,
        report=report,
    )


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


def _read_images(content: dict[str, Any], root: Path, path: Path) -> tuple[Images, dict[int, int]]:
    """The images as arrays, and the row of each id."""
    entries = content["images"]
    raise_faults(str(path), image_faults(entries))
    sizes = [(entry["height"], entry["width"]) for entry in entries]
    images = Images(
        root=root,
        ids=np.array([entry["id"] for entry in entries], dtype=np.int64),
        file_names=np.array([entry["file_name"] for entry in entries]),
        image_size=np.array(sizes, dtype=np.int64),
    )
    return images, {entry["id"]: row for row, entry in enumerate(entries)}
