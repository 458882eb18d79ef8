"""What is odd about a data set and still legal: used as it is, and told before training.

A `Note` says how many and names the first. Letters: P persons, K keypoints.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.audit.images import Look
from keypoint.data.persons import Images, Persons
from keypoint.pose.skeleton import Skeleton

SHOWN = 10  # examples that a note names
MAX_SCORED = 20  # COCOeval's maxDets


@dataclass(frozen=True)
class Note:
    """Something odd.

    Attributes:
        text: What, with the number.
        examples: Ids or file names of the first.
    """

    text: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.text} ({', '.join(self.examples)})" if self.examples else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        return {"text": self.text, "examples": list(self.examples)}


def notes_on_persons(persons: Persons, skeleton: Skeleton) -> list[Note]:
    """Odd things among the persons that are used.

    Args:
        persons: Ground truth.
        skeleton: Names of the keypoints.
    """
    notes: list[Note] = []
    labelled = persons.visibility > 0  # P K
    points = persons.keypoints_image  # P K 2
    sizes = persons.images.image_size[persons.image_index][:, None, ::-1]  # P 1 2, width and height
    ids = persons.ids

    outside = labelled & ((points < 0) | (points > sizes)).any(axis=2)
    if outside.any():
        text = f"{outside.sum()} labelled keypoints lie outside their image; they have no target"
        notes.append(Note(text, _first("annotation", ids[outside.any(axis=1)])))
    low, sides = persons.bbox_xywh[:, None, :2], persons.bbox_xywh[:, None, 2:]
    center, reach = low + sides / 2, sides * (1.25 / 2)
    beyond = labelled & (np.abs(points - center) > reach).any(axis=2)
    half = beyond.sum(axis=1) > labelled.sum(axis=1) / 2
    if half.any():
        text = (
            f"{half.sum()} persons have most of their keypoints outside their bbox padded by 1.25: "
            "is the box another person's?"
        )
        notes.append(Note(text, _first("annotation", ids[half])))
    if (beyond & ~half[:, None]).any():
        count = int((beyond & ~half[:, None]).sum())
        text = (
            f"{count} of {labelled.sum()} labelled keypoints lie outside their bbox padded by "
            "1.25; a crop may not reach them"
        )
        notes.append(Note(text))
    notes += _identical_persons(persons)
    never = tuple(skeleton.keypoints[k] for k in np.flatnonzero(~labelled.any(axis=0)))
    if never and len(persons):
        notes.append(Note(f"{len(never)} keypoints are never labelled", never))
    per_image = np.bincount(persons.image_index, minlength=1)
    crowded = per_image > MAX_SCORED
    if crowded.any():
        cut = int((per_image[crowded] - MAX_SCORED).sum())
        text = (
            f"{crowded.sum()} images have more than 20 persons; COCO's AP takes the best 20 "
            f"results of an image, so {cut} are missed"
        )
        notes.append(Note(text, _first("image", persons.images.ids[np.flatnonzero(crowded)])))
    return notes


def notes_on_images(images: Images, looks: Sequence[Look]) -> list[Note]:
    """Odd things among the image files: complaints, EXIF, links, one file twice.

    Args:
        images: Of the annotation file.
        looks: One each.
    """
    notes: list[Note] = []
    names = [str(name) for name in images.file_names]
    complaints = [
        f"{n}: {look.complaint}" for n, look in zip(names, looks, strict=True) if look.complaint
    ]
    if complaints:
        text = (
            f"{len(complaints)} images are damaged, and decoded to a wrong picture without an error"
        )
        notes.append(Note(text, tuple(complaints[:SHOWN])))
    turned = [n for n, look in zip(names, looks, strict=True) if look.orientation != 1]
    if turned:
        text = (
            f"{len(turned)} images have an EXIF orientation; it is ignored, annotations must be in "
            "stored pixel order: look at them in the sheet"
        )
        notes.append(Note(text, tuple(turned[:SHOWN])))
    notes += _links(images)
    of_digest: defaultdict[bytes, list[str]] = defaultdict(list)
    for name, look in zip(names, looks, strict=True):
        if look.digest:
            of_digest[look.digest].append(name)
    twice = [" = ".join(same) for same in of_digest.values() if len(same) > 1]
    if twice:
        text = f"{len(twice)} files are there twice or more (duplicate images)"
        notes.append(Note(text, tuple(twice[:SHOWN])))
    return notes


def note_on_overlap(
    train: Images, train_looks: Sequence[Look], val: Images, val_looks: Sequence[Look]
) -> list[Note]:
    """Images that are in both splits, byte for byte: AP is flattered by them."""
    seen = {look.digest for look in train_looks if look.digest}
    names = zip(val.file_names, val_looks, strict=True)
    both = [str(name) for name, look in names if look.digest in seen]
    if not both:
        return []
    text = (
        f"{len(both)} of {len(val.ids)} validation images are in the training set too (overlap): "
        "AP is flattered"
    )
    return [Note(text, tuple(both[:SHOWN]))]


def notes_on_boxes(boxes: Persons, truth: Persons | None) -> list[Note]:
    """Odd things among a detector's boxes.

    Args:
        boxes: Those that are used.
        truth: Persons of the same images.
    """
    notes: list[Note] = []
    bbox, sizes = boxes.bbox_xywh, boxes.images.image_size[boxes.image_index][:, ::-1]
    outside = ((bbox[:, :2] >= sizes) | (bbox[:, :2] + bbox[:, 2:] <= 0)).any(axis=1)
    if outside.any():
        text = f"{outside.sum()} boxes lie wholly outside their image; their crops are black"
        notes.append(Note(text, _first("box", boxes.ids[outside])))
    giant = (bbox[:, 2:] > 10 * sizes).any(axis=1)
    if giant.any():
        text = f"{giant.sum()} boxes are more than ten times as large as their image"
        notes.append(Note(text, _first("box", boxes.ids[giant])))
    rows = np.column_stack([boxes.image_index, bbox])
    repeated = len(rows) - len(np.unique(rows, axis=0))
    if repeated:
        notes.append(Note(f"{repeated} boxes repeat another; OKS-NMS leaves one result of each"))
    if len(boxes) and boxes.bbox_scores.max() < 0.01:
        text = (
            f"all {len(boxes)} box scores are under 0.01: 0 boxes are left by any usual threshold"
        )
        notes.append(Note(text))
    if truth is not None:
        with_persons, with_boxes = np.unique(truth.image_ids), np.unique(boxes.image_ids)
        without = np.setdiff1d(with_persons, with_boxes)
        if len(without):
            text = (
                f"{len(without)} of {len(with_persons)} images with persons have no box: these "
                "persons are missed"
            )
            notes.append(Note(text, _first("image", without)))
    return notes


def _identical_persons(persons: Persons) -> list[Note]:
    if len(persons) == 0:
        return []
    flat = persons.keypoints_image.reshape(len(persons), -1)
    rows = np.column_stack([persons.image_index, persons.bbox_xywh, flat, persons.visibility])
    keys = Counter(row.tobytes() for row in rows)
    repeated = np.array([keys[row.tobytes()] > 1 for row in rows], dtype=bool)
    if not repeated.any():
        return []
    text = (
        f"{len(rows) - len(keys)} persons are duplicates: on the same image with identical box "
        "and keypoints"
    )
    return [Note(text, _first("annotation", persons.ids[repeated]))]


def _links(images: Images) -> list[Note]:
    root = images.root.resolve()
    # Only links can lead elsewhere, of a file or of a folder: .. and absolute names are refused.
    paths = [images.path(row) for row in range(len(images.ids))]
    folders = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    real = [p.resolve() if p.is_symlink() else folders[p.parent] / p.name for p in paths]
    away = [p.name for p, file in zip(paths, real, strict=True) if not file.is_relative_to(root)]
    if not away:
        return []
    text = f"{len(away)} images are links that lead outside the image folder; they are followed"
    return [Note(text, tuple(away[:SHOWN]))]


def _first(what: str, ids: NDArray[np.int64]) -> tuple[str, ...]:
    more = [".."] if len(ids) > SHOWN else []
    return tuple([f"{what} id {key}" for key in ids[:SHOWN].tolist()] + more)
