"""Things in a data set that are probably wrong, but do not stop a program.

They are used as they are, and reported before training with their number and examples.
Letters: N things, P persons, K keypoints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.audit.images import Look
from keypoint.data.notes import Note, find
from keypoint.data.persons import Images, Persons
from keypoint.data.plausible.detected import outside_notes
from keypoint.pose.skeleton import Skeleton

PADDING = 1.25  # of a crop around its box
TINY = 16  # pixels
RARE = 0.05  # of the most frequent keypoint; the rarest of COCO has 0.5 (an ear)


def person_findings(persons: Persons, skeleton: Skeleton) -> list[Note]:
    """Findings about annotated persons; `skeleton` names their keypoints."""
    if len(persons) == 0:
        return []
    ids, what = persons.ids, "annotation id "
    labelled = persons.visibility > 0  # P K
    owners = ids[np.nonzero(labelled)[0]]  # of the labelled keypoints
    points = persons.keypoints_image.astype(np.float64)  # P K 2
    sides = persons.bbox_xywh[:, None, 2:]  # P 1 2
    image_sides = persons.images.image_size[persons.image_index][:, None, ::-1]  # P 1 2
    center = persons.bbox_xywh[:, None, :2] + sides / 2
    beyond = labelled & (np.abs(points - center) > sides * (PADDING / 2)).any(axis=2)
    most = np.asarray(beyond.sum(axis=1) > labelled.sum(axis=1) / 2)
    away = labelled & ((points < 0) | (points > image_sides)).any(axis=2)
    rows = [persons.image_index, persons.bbox_xywh, persons.visibility, *points.transpose(2, 0, 1)]
    per_image = np.bincount(persons.image_index, minlength=len(persons.images.ids))
    missed = int(np.clip(per_image - 20, 0, None).sum())
    flags = persons.visibility[labelled]
    never_visible = np.full(len(flags), (flags == 1).all())

    text = f"persons have most of their keypoints outside their bbox padded by {PADDING}: "
    found = find(text + "is the box another person's?", most, ids, what)
    text = f"labelled keypoints are outside their person's bbox padded by {PADDING}; "
    some = (beyond & ~most[:, None])[labelled]
    found += find(text + "a crop may not contain them", some, owners, what)
    text = "labelled keypoints are outside their image and not used"
    found += find(text, away[labelled], owners, what)
    upright, swapped = _eyes(points, labelled, skeleton)
    text = "upright persons have their left eye to the left of their right eye: "
    found += find(text + "are left and right swapped?", swapped[upright], ids[upright], what)
    text = "persons repeat another one: on the same image with identical box and keypoints"
    found += find(text, _repeats(np.column_stack(rows)), ids, what)
    text = f"persons have a bbox under {TINY} x {TINY} pixels"
    found += find(text, (persons.bbox_xywh[:, 2:] < TINY).all(axis=1), ids, what)
    text = "labelled keypoints have visibility 1 (occluded) and none has 2 (visible): "
    found += find(text + "are the flags 0 and 1 only?", never_visible, owners, what)
    found += find("keypoints are never labelled", ~labelled.any(axis=0), skeleton.keypoints)
    counts = labelled.sum(axis=0)  # K
    text = f"keypoints are labelled on under {RARE:.0%} as many persons as the most frequent one: "
    rare = (counts > 0) & (counts < RARE * counts.max())
    found += find(text + "is a name misspelt or a label forgotten?", rare, skeleton.keypoints)
    text = "images have more than 20 persons; COCO's AP takes the best 20 results of an image: "
    text += f"{missed} missed"
    return found + find(text, per_image > 20, persons.images.ids, "image id ")


def image_findings(images: Images, looks: Sequence[Look]) -> list[Note]:
    """Findings about image files.

    Args:
        images: Images of an annotation file.
        looks: Results of decoding each.
    """
    names = images.file_names
    damaged = [f"{n}: {look.complaint}" for n, look in zip(names, looks, strict=True)]
    copies = Counter(look.digest for look in looks)
    text = "images are damaged, but decoded to a wrong picture without an error"
    found = find(text, [look.complaint is not None for look in looks], damaged)
    text = "images have an EXIF orientation; it is ignored, annotations must be in stored pixel "
    text += "order: check them in the sheet"
    found += find(text, [look.orientation != 1 for look in looks], names)
    text = "images are duplicate images: the same file exists twice or more"
    found += find(text, [copies[look.digest] > 1 for look in looks], names)
    text = "images have 16 bits and use at most a quarter of their range (12-bit data?), nearly "
    text += "black: rescale to the full range"
    return found + find(text, [look.is_dark for look in looks], names)


def overlap_findings(train: Sequence[Look], val: Sequence[Look], val_images: Images) -> list[Note]:
    """Return findings about images that are in both splits, byte for byte."""
    seen = {look.digest for look in train}
    text = "validation images are in the training set too (overlap): AP is too high"
    return find(text, [look.digest in seen for look in val], val_images.file_names)


def box_findings(boxes: Persons, truth: Persons) -> list[Note]:
    """Findings about a detector's boxes; `truth` are the persons of the same images."""
    found = outside_notes(boxes)
    repeats = _repeats(np.column_stack([boxes.image_index, boxes.bbox_xywh]))
    found += find("boxes repeat another; OKS-NMS leaves one result of each", repeats, boxes.ids)
    low = boxes.bbox_scores < 0.01
    text = "box scores are under 0.01: any usual threshold removes all boxes"
    found += find(text, low & low.all(), boxes.ids)
    with_persons = np.unique(truth.image_ids)
    without = ~np.isin(with_persons, boxes.image_ids)
    text = "images with persons have no box: these persons are missed"
    return found + find(text, without, with_persons, "image id ")


def label_counts(persons: Persons, skeleton: Skeleton) -> dict[str, dict[str, int]]:
    """Count how often each keypoint is labelled, by its visibility."""
    occluded, visible = ((persons.visibility == flag).sum(axis=0).tolist() for flag in (1, 2))
    return {
        name: {"visible": v, "occluded": o}
        for name, v, o in zip(skeleton.keypoints, visible, occluded, strict=True)
    }


def _repeats(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """(N,) whether a row (N, D) repeats an earlier one."""
    repeats = np.ones(len(rows), dtype=bool)
    repeats[np.unique(rows, axis=0, return_index=True)[1]] = False
    return repeats


def _eyes(
    points: NDArray[np.float64], labelled: NDArray[np.bool_], skeleton: Skeleton
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(P,) whether a person's face is upright, and whether its left eye is on the left.

    In a face the left eye is on the right, as in all 671 upright faces of 605 COCO images.
    """
    names = ("left_eye", "right_eye", "nose")
    if not set(names) <= set(skeleton.keypoints):
        no_one = np.zeros(len(points), dtype=bool)
        return no_one, no_one
    columns = [skeleton.keypoints.index(name) for name in names]
    left, right, nose = points[:, columns].swapaxes(0, 1)  # P 2 each
    below = nose[:, 1] > (left[:, 1] + right[:, 1]) / 2
    return labelled[:, columns].all(axis=1) & below, left[:, 0] < right[:, 0]
