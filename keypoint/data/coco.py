"""The files of a COCO data set, and the persons in its annotations; every entry is counted.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py` for which persons count. Here skipped
persons are counted too: total = used + skipped by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import FORM, NO_ENTRIES, read_annotations
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.file import annotation_doubts, settle
from keypoint.data.report import DataReport, Fault, ImageCounts
from keypoint.errors import DataError
from keypoint.pose.geometry import clean_bbox
from keypoint.pose.skeleton import Skeleton


def find_split(root: Path, annotations: str, images: str | None, split: str) -> tuple[Path, Path]:
    """The annotation file and image folder of one split.

    Args:
        root: Folder of the data set.
        annotations: The file, relative to `root` or absolute.
        images: The image folder, likewise; None looks for COCO's two common layouts, ROOT/SPLIT
            and ROOT/images/SPLIT.
        split: "train2017" or "val2017".

    Raises:
        DataError: One of them is missing; the text names every path that was tried.
    """
    file = root / annotations
    if not file.is_file():
        raise DataError(
            f"{file}: no such annotation file; set data.root to the folder that contains it\n"
            "  or create it: keypoint download-coco for COCO, make demo for configs/demo.yaml, "
            "keypoint make-sign-data --output DIR for signs.yaml"
        )
    places = [root / images] if images else [root / split, root / "images" / split]
    for place in places:
        if place.is_dir():
            return file, place
    looked = " and ".join(map(str, places))
    key = f"data.{split.removesuffix('2017')}_images"
    raise DataError(
        f"no folder of {split} images: tried {looked}; set data.root, or name the folder in {key}"
    )


def load_persons(
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    *,
    category: str | Sequence[str] | None = None,
    on_bad: str = "error",
    max_bad: float = 0.001,
) -> Persons:
    """Read the persons of an annotation file to train on: `read_annotations`, `select_persons`.

    Raises:
        DataError: The file is unreadable or faulty, or has no usable person.
    """
    policy: Any = {"category": category, "on_bad": on_bad, "max_bad": max_bad}
    return select_persons(read_annotations(annotations, image_root, skeleton, **policy))


def select_persons(annotations: Annotations) -> Persons:
    """Select the ground-truth persons: not a crowd, a labelled keypoint, and a box with area.

    Probable faults of the file as a whole are logged and noted in the report.

    Raises:
        DataError: There is no such person, or the numbers in the file cannot be pixels.
    """
    if not annotations.annotated:
        raise DataError(f"{annotations.source}: key 'annotations' is missing; {FORM}")
    if annotations.total == 0:
        raise DataError(f"{annotations.source}: 'annotations' {NO_ENTRIES}")
    persons = usable_persons(annotations)
    doubts = settle(annotations.source, annotation_doubts(annotations))
    if len(persons) == 0:
        raise DataError(f"{persons.report}; there is no usable person to train or test on")
    return replace(persons, report=replace(persons.report, notes=(*persons.report.notes, *doubts)))


def usable_persons(annotations: Annotations) -> Persons:
    """Select persons as `select_persons`, but accept none, and numbers of doubtful form."""
    images, rows = annotations.images, np.flatnonzero(annotations.counted)
    skipped = Counter(annotations.not_counted())
    given = annotations.bbox_xywh[rows]
    bbox = clean_bbox(given, images.image_size[annotations.image_index[rows]])
    # The references keep a side of 0 after clipping (a box one pixel wide), which leaves nothing
    # to crop.
    has_area = (given[:, 2:] > 0).all(axis=1)
    usable = has_area & (bbox[:, 2:] >= 0).all(axis=1) & (bbox[:, 2:] > 0).any(axis=1)
    reason = "with a bbox without area inside its image"
    skipped[reason] = int((~usable).sum())
    faults = list(annotations.faults)
    for key, box in zip(annotations.ids[rows][~usable].tolist(), given[~usable], strict=True):
        text = (
            f"bbox [{', '.join(f'{side:g}' for side in box)}] lies outside its image or has no area"
        )
        faults.append(Fault(f"annotation id {key}", text, reason, key))
    rows = rows[usable]
    image_index = annotations.image_index[rows]
    return Persons(
        images=images,
        ids=annotations.ids[rows],
        image_index=image_index,
        bbox_xywh=bbox[usable],
        bbox_scores=np.ones(len(rows)),
        keypoints_image=np.ascontiguousarray(annotations.keypoints[rows, :, :2], np.float32),
        visibility=annotations.keypoints[rows, :, 2].astype(np.uint8),
        category_id=annotations.category_id,
        report=DataReport(
            source=annotations.source,
            total=annotations.total,
            used=len(rows),
            skipped=dict(+skipped),
            images=count_images(annotations, image_index, "person"),
            listed=[fault.to_dict() for fault in faults],
            notes=tuple(map(str, annotations.notes)),
        ),
        generated=annotations.generated,
    )


def count_images(
    annotations: Annotations, image_index: NDArray[np.int64], record: str
) -> ImageCounts:
    """Count a file's images: an image is used if a record ("person" or "box") is on it.

    `image_index` are the rows of the records' images.
    """
    used = len(np.unique(image_index))
    unused = Counter({f"without a usable {record}": len(annotations.images.ids) - used})
    skipped = annotations.skipped_images | dict(+unused)
    return ImageCounts(annotations.total_images, used, skipped)
