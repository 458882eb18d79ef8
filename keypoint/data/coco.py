"""Person records from COCO annotations or a detector's boxes: flat arrays, and every one accounted.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py` decide which persons count; here nothing
goes missing without being counted: total = used + skipped by reason. Flat arrays and not a list of
dicts, because each worker process would copy the list's pages by merely touching reference counts
(train2017: 0.9 GB per worker against 60 MB shared). Letters: P persons, K keypoints, I images.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.faults import as_numbers, describe_numbers, is_whole_number, raise_faults
from keypoint.data.json_file import read_json, write_json
from keypoint.errors import DataError
from keypoint.geometry import clean_bbox
from keypoint.skeleton import Skeleton


@dataclass(frozen=True)
class DataReport:
    """What became of every entry of a file.

    Attributes:
        source: The file.
        total: Entries in it.
        used: Entries that became records.
        skipped: Count by reason; total = used + sum of these.
    """

    source: str
    total: int
    used: int
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: entries lost without a reason"
        )

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items()) or "none"
        counts = f"{self.used} used + {self.total - self.used} skipped ({reasons})"
        return f"{self.source}: {self.total} persons = {counts}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        return {
            "source": self.source,
            "total": self.total,
            "used": self.used,
            "skipped": dict(self.skipped),
        }


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
    content = _read_dataset(annotations)
    category_id = _keypoint_category(content, skeleton, annotations)
    images, row_of_id = _read_images(content, image_root, annotations)
    faults: list[str] = []
    skipped: Counter[str] = Counter()
    ids, rows, boxes, keypoints = [], [], [], []
    seen: set[int] = set()
    known_categories = {category.get("id") for category in content["categories"]}
    for place, entry in enumerate(content["annotations"]):
        name = _name_annotation(entry, place)
        fault = _annotation_fault(
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
    content = _read_dataset(annotations)
    category_id = _keypoint_category(content, skeleton, annotations)
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
        fault = _box_fault(entry, row_of_id)
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


def write_reports(folder: Path, **reports: DataReport) -> None:
    """Write reports by name into `data_report.json`; those of other names that stand there stay."""
    file = folder / "data_report.json"
    before = read_json(file, "data report") if file.is_file() else {}
    write_json(file, before | {name: report.to_dict() for name, report in reports.items()})


def _read_dataset(path: Path) -> dict[str, Any]:
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


def _keypoint_category(content: dict[str, Any], skeleton: Skeleton, path: Path) -> int:
    """Id of the category that has keypoints, the skeleton's in its order, or is named person."""
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
    if names is not None and list(names) != list(skeleton.keypoints):
        couples = zip(names, skeleton.keypoints, strict=False)
        different = [f"{a} for {b}" for a, b in couples if a != b]
        raise DataError(
            f"{path}: the category's {len(names)} keypoint names do not match the "
            f"{skeleton.num_keypoints} of skeleton {skeleton.name} in order "
            f"({'; '.join(different[:3]) or 'another number'}); choose the right data.skeleton"
        )
    return int(candidates[0]["id"])


def _read_images(content: dict[str, Any], root: Path, path: Path) -> tuple[Images, dict[int, int]]:
    faults: list[str] = []
    row_of_id: dict[int, int] = {}
    for place, entry in enumerate(content["images"]):
        key, file_name = entry.get("id"), entry.get("file_name")
        name = f"image id {key!r}" if "id" in entry else f"image number {place}"
        if not is_whole_number(key):
            faults.append(f"{name}: its id must be a whole number")
        elif key in row_of_id:
            faults.append(f"{name}: duplicate, ids are unique")
        else:
            row_of_id[key] = place
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
    raise_faults(str(path), faults)
    entries = content["images"]
    sizes = [(entry["height"], entry["width"]) for entry in entries]
    images = Images(
        root=root,
        ids=np.array([entry["id"] for entry in entries], dtype=np.int64),
        file_names=np.array([entry["file_name"] for entry in entries]),
        image_size=np.array(sizes, dtype=np.int64),
    )
    return images, row_of_id


def _name_annotation(entry: dict[str, Any], place: int) -> str:
    if "id" in entry:
        return f"annotation id {entry['id']!r}"
    return f"annotation number {place} (image_id {entry.get('image_id')!r})"


def _annotation_fault(
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
    if entry.get("category_id") not in known_categories:
        return f"category_id {entry.get('category_id')!r} is not among the categories"
    if entry["category_id"] != category_id or entry.get("iscrowd", 0):
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


def _box_fault(entry: Any, row_of_id: dict[int, int]) -> str | None:
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
