"""Boxes on new photos, without keypoints: the two files of boxes that `keypoint predict` takes.

They have COCO's form: the images with their ids and the class of the boxes, and a box each, clipped
to its image. File names are relative to the folders to give to `keypoint predict`.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from keypoint.data.convert.dataset import bbox_in_image
from keypoint.data.convert.images import Found
from keypoint.data.convert.labels import Labels
from keypoint.errors import DataError


def has_only_boxes(labels: Labels) -> bool:
    """Return whether there is a box and no keypoint is labelled."""
    persons = [person for picture in labels.pictures for person in picture.persons]
    has_points = bool(labels.loose) or any(person.points for person in persons)
    return not has_points and any(person.bbox_xywh is not None for person in persons)


def one_box_class(labels: Labels, category: str | None) -> str:
    """Keep the boxes of one class, and return its name.

    Args:
        labels: What was read; boxes of other classes are moved to `left_out`.
        category: The class; None for the only one.

    Raises:
        DataError: No box has this class, or there are several classes and none is chosen.
    """
    counts = Counter(
        person.category
        for picture in labels.pictures
        for person in picture.persons
        if person.bbox_xywh is not None
    )
    listed = ", ".join(f"{name} ({number})" for name, number in counts.most_common())
    if category is None and len(counts) > 1:
        raise DataError(
            f"{labels.form}: no keypoint is labelled, and the boxes have several classes: {listed};"
            " a network finds the keypoints of one class: choose it with --category NAME"
        )
    chosen = category if category is not None else next(iter(counts))
    if chosen not in counts:
        raise DataError(f"--category {category!r}: no box has this class; there are {listed}")
    for picture in labels.pictures:
        for person in picture.persons:
            if person.category != chosen:
                labels.leave_out(f"boxes of class {person.category}", picture.name)
        picture.persons = [person for person in picture.persons if person.category == chosen]
    return chosen


def box_files(
    found: list[Found], category: str, labels: Labels, written: Path
) -> tuple[dict[str, Any], list[dict[str, Any]], list[Path]]:
    """Return the images with the class, the boxes, and the folders of the images.

    Args:
        found: The images.
        category: Name of the class.
        labels: Takes what is left out.
        written: Absolute folder of images that had to be written.
    """
    images: dict[str, dict[str, Any]] = {}
    boxes = []
    own = [image.file.parent for image in found if written not in image.file.parents]
    folders = [Path(os.path.commonpath(own))] if own else []
    if len(own) < len(found):
        folders.append(written)
    for key, image in enumerate(found, 1):
        folder = written if written in image.file.parents else folders[0]
        name = image.file.relative_to(folder).as_posix()
        if name in images:
            labels.leave_out("images of the same name as one in another folder", str(image.file))
            continue
        height, width = image.image_size
        images[name] = {"id": key, "file_name": name, "width": width, "height": height}
        for person in image.picture.persons:
            bbox = bbox_in_image(person, image)
            if bbox is None:
                labels.leave_out("objects without a box in the image", image.picture.name)
            else:
                sides = [round(side, 3) for side in bbox]
                boxes.append({"image_id": key, "category_id": 1, "bbox": sides})
    content = {"images": list(images.values()), "categories": [{"id": 1, "name": category}]}
    return content, boxes, folders
