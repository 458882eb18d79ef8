"""Boxes of another detector's file to predict on, without weak boxes and duplicates.

Boxes left out are counted by reason. If a file has no scores or equal ones, such as annotations in
this format, all its boxes are used. `keypoint test` always uses all boxes, as the references do for
AP (data/boxes.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.boxes import images_of_boxes, read_box_list, usable_boxes
from keypoint.data.coco import count_images
from keypoint.data.entries import OTHER_NETWORK, as_number
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.detected import box_doubts, iou
from keypoint.data.plausible.file import settle
from keypoint.data.plausible.readings import from_sides
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.names import GIVEN_OVERLAP, GIVEN_SCORE

DOUBLE = f"that overlap a better box (IoU over {GIVEN_OVERLAP})"


def boxes_to_predict(
    boxes: Path, annotations: Path, skeleton: Skeleton, score_threshold: float | None = None
) -> Persons:
    """Return the boxes of a detector's file without weak boxes and duplicates.

    Args:
        boxes: JSON list of {image_id, category_id, bbox [x, y, width, height], score}, image frame.
            The score is 1 if it is missing in all of them.
        annotations: The annotation file, or `image_info`, of the same images.
        skeleton: Its names must be equal to the category's, if that has names.
        score_threshold: Boxes below it are left out; None for `GIVEN_SCORE` if scores differ.

    Raises:
        DataError: Either file is unreadable or faulty, or no box is left.
    """
    images = images_of_boxes(annotations, Path(), skeleton, OTHER_NETWORK)
    entries, are_ranked = _with_scores(read_box_list(boxes))
    threshold = score_threshold
    if threshold is None:
        threshold = GIVEN_SCORE if are_ranked else -math.inf
    persons, faults = usable_boxes(boxes, entries, images, threshold)
    raise_faults(str(boxes), faults)
    if len(persons) == 0:
        all_of_them = "; give --box-threshold 0 to use boxes of any score" if threshold > 0 else ""
        raise DataError(f"{persons.report}; there is no box to predict on{all_of_them}")
    notes = settle(str(boxes), box_doubts(persons, images))
    persons = replace(persons, report=replace(persons.report, notes=notes))
    return without_doubles(persons, images) if are_ranked else persons


def _with_scores(entries: list[Any]) -> tuple[list[Any], bool]:
    """Return entries with scores added if all are missing, and whether scores differ."""
    objects = [entry for entry in entries if isinstance(entry, dict)]
    if not any("score" in entry for entry in objects):
        return [e | {"score": 1.0} if isinstance(e, dict) else e for e in entries], False
    scores = {as_number(entry.get("score")) for entry in objects}
    return entries, len(scores) > 1 or (len(objects) == 1 and scores != {1.0})


def without_doubles(persons: Persons, images: Annotations) -> Persons:
    """Leave out boxes that overlap a better box on their image (NMS), and count them.

    Args:
        persons: A detector's boxes.
        images: Their images, for the counts.
    """
    order = np.lexsort((-persons.bbox_scores, persons.image_index))
    ends = np.flatnonzero(np.diff(persons.image_index[order])) + 1
    kept = [_best(rows, persons.bbox_xywh) for rows in np.split(order, ends)]
    rows: NDArray[np.int64] = np.sort(np.concatenate(kept))
    doubles = len(persons) - len(rows)
    if doubles == 0:
        return persons
    report = replace(
        persons.report,
        used=len(rows),
        skipped=persons.report.skipped | {DOUBLE: doubles},
        images=count_images(images, persons.image_index[rows], "box"),
    )
    return replace(
        persons,
        ids=persons.ids[rows],
        image_index=persons.image_index[rows],
        bbox_xywh=persons.bbox_xywh[rows],
        bbox_scores=persons.bbox_scores[rows],
        keypoints_image=persons.keypoints_image[rows],
        visibility=persons.visibility[rows],
        report=report,
    )


def _best(rows: NDArray[np.int64], bbox_xywh: NDArray[np.float64]) -> list[np.int64]:
    """Return the rows, by decreasing score, that do not overlap an earlier kept row."""
    corners, kept = from_sides(bbox_xywh[rows]), []
    while len(rows):
        kept.append(rows[0])
        apart = iou(corners[:1], corners) <= GIVEN_OVERLAP
        apart[0] = False
        rows, corners = rows[apart], corners[apart]
    return kept
