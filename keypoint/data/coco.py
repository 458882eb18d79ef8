"""Person records from COCO annotations or a detector's boxes, and every entry accounted.

Source: SimpleBaseline's and HRNet's `lib/dataset/coco.py` decide which persons count; here nothing
goes missing without being counted: total = used + skipped by reason.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from keypoint.data.bad_entries import BadEntries, find_bad_entries, limit, settle
from keypoint.data.entries import keypoint_category, read_dataset
from keypoint.data.faults import raise_faults
from keypoint.data.persons import Images, Persons
from keypoint.data.records import build_boxes, build_persons
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.pose.skeleton import Skeleton

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
            bad (the first and last bytes of every file are read, about 0.15 ms each).
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
        content,
        bad,
        str(annotations),
        image_root,
        on_bad=on_bad,
        max_bad=max_bad,
        whole_images=scored,
    )
    persons, implausible = build_persons(
        content, bad, left_out, category_id, skeleton.num_keypoints, annotations, image_root
    )
    if implausible:
        raise DataError(f"{annotations}: {implausible}")
    if len(persons) == 0:
        raise DataError(f"{persons.report}; there is no usable person to train or test on")
    return persons


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
            id); an `image_info` file without annotations gives records that cannot be scored.
        image_root: Folder of the images.
        skeleton: As for `load_persons`.
        score_threshold: Boxes below it are skipped.
        on_bad: As for `load_persons` with `scored`; bad boxes are left out as well.
        max_bad: Largest share of annotations, of images and of boxes that "skip" leaves out.

    Raises:
        DataError: Either file is unreadable or faulty; all faults are listed by place and image id.
    """
    content = read_dataset(annotations, need_annotations=False)
    annotated = "annotations" in content
    content.setdefault("annotations", [])
    category_id = keypoint_category(content, skeleton, annotations)
    bad = find_bad_entries(content, category_id, skeleton.num_keypoints, scored=on_bad == "skip")
    if on_bad == "error":
        bad = BadEntries(bad.images)  # without the annotations: the boxes are used, and not these
    left_out = settle(
        content,
        bad,
        str(annotations),
        image_root,
        on_bad=on_bad,
        max_bad=max_bad,
        whole_images=True,
    )
    entries = read_box_list(boxes)
    persons, faults = build_boxes(
        entries,
        content,
        bad,
        left_out,
        category_id,
        skeleton.num_keypoints,
        boxes,
        image_root,
        score_threshold,
    )
    if on_bad == "error":
        raise_faults(str(boxes), faults)
    limit(str(boxes), "boxes", faults, len(faults), len(entries), max_bad)
    if len(persons) == 0:
        raise DataError(f"{persons.report}; there is no box to test on")
    return replace(persons, annotated=annotated, box_score_threshold=score_threshold)


def read_box_list(boxes: Path) -> list[Any]:
    """The entries of a detector's file, unchecked.

    Raises:
        DataError: It is unreadable, no list, or keypoint results.
    """
    entries = read_json(boxes, "person boxes")
    if not isinstance(entries, list):
        raise DataError(
            f"{boxes}: holds a {type(entries).__name__}; person boxes are a JSON list of objects"
        )
    with_keypoints = [e for e in entries if isinstance(e, dict) and "keypoints" in e]
    if with_keypoints and not any("bbox" in entry for entry in with_keypoints):
        raise DataError(
            f"{boxes}: holds keypoint results and no boxes; give a detector's file, a list of "
            "{image_id, category_id, bbox, score}"
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
            f"{file}: no such annotation file; set data.root to the folder that holds it\n"
            "  or make it: keypoint download-coco for COCO, make demo for configs/demo.yaml, "
            "keypoint make-sign-data --output DIR for signs.yaml"
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
