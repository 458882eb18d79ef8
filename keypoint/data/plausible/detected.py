"""Find a detector's boxes that are not x, y, width, height in pixels of the image.

They are compared with the images, and with the annotated persons on them if there are any.
Letters: N boxes, P persons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keypoint.data.notes import Note, find
from keypoint.data.person_crops import outside_image
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.readings import (
    CORNERS,
    FAR,
    NORMALISED,
    Flags,
    Floats,
    from_sides,
    is_box,
    is_inside,
    other_readings,
    within_one,
)

OVERLAP = 0.5  # IoU from which a box belongs to a person
MIN_BOXES = 5  # for a proof
FEW = 0.25  # share of the persons; even the worst usable detectors find more
TINY = 1.5  # pixels from the image's origin


def box_doubts(boxes: Persons | Annotations, annotations: Annotations | None) -> list[Note]:
    """Find at most one other probable meaning of boxes.

    Args:
        boxes: Boxes of a detector, or of annotations without keypoints.
        annotations: Annotations of the same images, perhaps without persons, or None.
    """
    sides = boxes.images.image_size[boxes.image_index][:, ::-1].astype(float)
    if len(boxes) == 0 or sides.min() <= 2:
        return []
    if within_one(boxes.bbox_xywh):
        text = f"boxes are within [0, 1], as {NORMALISED} are; give pixels of the image"
        return find(text, np.ones(len(boxes), dtype=bool), boxes.ids, "box ", proved=True)
    if annotations is None:
        return _by_images(boxes, sides)
    counted = annotations.counted & (annotations.bbox_xywh[:, 2:] > 0).all(axis=1)
    persons = from_sides(annotations.bbox_xywh[counted])
    box, person = _pairs(boxes.image_index, annotations.image_index[counted])
    if len(box) == 0:
        return _by_images(boxes, sides)
    return _by_persons(boxes, sides, persons, box, person)


def outside_notes(boxes: Persons) -> list[Note]:
    """Find boxes that cover no part of their image; the references test on them too."""
    sizes = boxes.images.image_size[boxes.image_index]
    text = "boxes are entirely outside their image; their crops are black"
    return find(text, outside_image(boxes.bbox_xywh, sizes), boxes.ids)


def _by_persons(
    boxes: Persons | Annotations,
    sides: Floats,
    persons: Floats,
    box: NDArray[np.int64],
    person: NDArray[np.int64],
) -> list[Note]:
    """Find the reading under which far more persons have a box; `box`, `person` are all pairs."""
    total = len(np.unique(person))

    def matches(corners: Floats) -> tuple[int, Flags]:
        close = iou(corners[box], persons[person]) > OVERLAP
        return len(np.unique(person[close])), np.isin(np.arange(len(boxes)), box[close])

    given, matched = matches(from_sides(boxes.bbox_xywh))
    best: tuple[int, str, Flags, Floats] | None = None
    for name, corners in other_readings(boxes.bbox_xywh, sides):
        found, flags = matches(corners)
        if best is None or found > best[0]:
            best = found, name, flags, corners
    assert best is not None
    found, name, flags, corners = best
    if given > 0.75 * found or found < 0.5 * total or not (flags & ~matched).any():
        if total < MIN_BOXES or given >= FEW * total:
            return []
        text = (
            f"boxes overlap no annotated person by an IoU over {OVERLAP}, and {given} of {total} "
            "persons have such a box: are the boxes for these images, and in pixels?"
        )
        return find(text, ~matched, boxes.ids, "box ")
    proved = (
        name == CORNERS
        and found >= max(MIN_BOXES, 0.8 * total)
        and given <= 0.1 * total
        and _runs_off(boxes.bbox_xywh, sides).any(axis=1).mean() >= 0.1
        and bool((is_box(corners) & is_inside(corners, sides)).all())
    )
    text = (
        f"boxes fit the annotated persons better as {name} than as x, y, width, height in pixels "
        f"(IoU over {OVERLAP} for {found} of {total} persons, as given for {given})"
    )
    return _doubt(text, flags & ~matched, boxes, proved)


def _by_images(boxes: Persons | Annotations, sides: Floats) -> list[Note]:
    """Find the reading under which all boxes are in their images, if some are far outside."""
    off = _runs_off(boxes.bbox_xywh, sides)
    far = off.any(axis=1)
    for name, corners in other_readings(boxes.bbox_xywh, sides):
        fits = is_box(corners) & is_inside(corners, sides)
        unit = name.startswith(NORMALISED) and np.abs(boxes.bbox_xywh).max() <= TINY
        if fits.mean() < 0.98 or not (unit or far.mean() >= 0.1):
            continue
        text = f"boxes extend far outside their image, and fit as {name}"
        if unit:
            text = f"boxes are within {TINY} pixels, and fit as {name}"
        # Boxes of truncated persons extend outside too, but not half of them in both directions.
        many = len(boxes) >= 2 * MIN_BOXES and off.mean(axis=0).min() > 0.5
        return _doubt(text, far | unit, boxes, bool(name == CORNERS and many))
    return []


def _doubt(text: str, flags: Flags, boxes: Persons | Annotations, proved: bool) -> list[Note]:
    todo = "; bbox is xywh in pixels, convert them" if proved else ": which form do they have?"
    return find(text + todo, flags, boxes.ids, "box ", proved=proved)


def _runs_off(boxes: Floats, sides: Floats) -> Flags:
    """(N, 2) whether a box ends more than a tenth of the image beyond its right or lower edge."""
    return np.asarray(boxes[:, :2] + boxes[:, 2:] > (1 + FAR) * sides + 1)


def _pairs(
    boxes: NDArray[np.int64], persons: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of a box and a person of one image, from the images of each."""
    order = np.argsort(persons, kind="stable")
    first = np.searchsorted(persons[order], boxes)
    count = np.searchsorted(persons[order], boxes, side="right") - first
    box = np.repeat(np.arange(len(boxes)), count)
    within = np.arange(len(box)) - np.repeat(np.cumsum(count) - count, count)
    return box, order[first[box] + within]


def iou(boxes: Floats, others: Floats) -> Floats:
    """(N,) intersection over union of two lists of corners, one of them perhaps of length 1."""
    both = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    shared = np.clip(both, 0, None).prod(axis=1)
    areas = [np.clip(one[:, 2:] - one[:, :2], 0, None).prod(axis=1) for one in (boxes, others)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))
