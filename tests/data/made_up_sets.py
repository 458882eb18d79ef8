"""Random annotated sets that are right, of many kinds, and what people make of their boxes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypoint.data.persons import Annotations, Images

SIZES = ((640, 480), (480, 640), (160, 120), (320, 240), (1920, 1080), (112, 112))
KINDS = (
    "anywhere",
    "big",
    "near the origin",
    "whole image",
    "outside",  # boxes go beyond all borders
    "cut at zero",  # the same, with x and y clipped and the sides not
    "selfie",  # whole bodies that end below the image
    "one place",
    "one size",
    "one layout",  # one picture at several sizes
    "small",
    "one quarter",
)


@dataclass
class MadeUp:
    """Boxes (N, 4), sides of the images (N, 2), points (N, K, 2), labelled (N, K)."""

    kind: str
    boxes: np.ndarray
    sides: np.ndarray
    points: np.ndarray
    labelled: np.ndarray


def right_set(rng, least=1):
    """A set of at least `least` persons in an image each."""
    while True:
        kind = KINDS[rng.integers(len(KINDS))]
        number = max(least, int(rng.choice([1, 2, 3, 5, 8, 12, 20, 40])))
        made = [*zip(*_persons(rng, kind, number), strict=True)]
        if made and len(made[0]) >= least:
            return MadeUp(kind, *map(np.array, made))


def _persons(rng, kind, number):
    num_keypoints = int(rng.choice([1, 2, 3, 4, 5, 17, 30]))
    spread = rng.choice(["anywhere", "middle", "layout"])
    first = rng.uniform(0, 0.7, 2)  # a layout covers a part of the box, as that of a face
    layout = first + rng.uniform(0, 1, (num_keypoints, 2)) * rng.uniform(0.1, 1 - first)
    base = np.array(SIZES[rng.integers(len(SIZES))], float)
    if rng.random() < 0.3:
        base = np.exp(rng.uniform(np.log(24), np.log(2000), 2))
    place = np.concatenate([rng.uniform(0, 0.5, 2), rng.uniform(0.2, 0.5, 2)])
    size, quarter = rng.uniform(0.05, 0.5, 2), rng.integers(0, 2, 2) / 2
    varied, whole, tight, hidden = rng.random(4) < (0.5, 0.5, 0.25, 0.5)
    for _ in range(number):
        sides = np.round(base * (rng.uniform(0.5, 2) if varied else 1))
        box = _box(rng, kind, place, size, quarter) * np.tile(sides, 2)
        box = np.round(box) if whole else box
        box[2:] = np.maximum(box[2:], 2)
        relative = rng.uniform(0, 1, (num_keypoints, 2))
        if spread == "middle":
            relative = rng.normal(0.5, 0.15, (num_keypoints, 2))
        elif spread == "layout":
            relative = layout + rng.normal(0, 0.03, (num_keypoints, 2))
        points = box[:2] + np.clip(relative, 0, 1) * box[2:]
        labelled = np.ones(num_keypoints, bool)
        if rng.random() < 0.5:
            labelled = rng.random(num_keypoints) < 0.7
        if hidden:  # beyond the border; otherwise at it
            labelled &= ((points >= 0) & (points <= sides)).all(axis=1)
        else:
            points = np.clip(points, 0, sides)
        if not labelled.any():
            continue
        if tight:
            low, high = points[labelled].min(axis=0), points[labelled].max(axis=0)
            margin = rng.uniform(0, 0.15, (2, 2)) * np.maximum(high - low, 2)
            low, high = np.maximum(low - margin[0], 0), np.minimum(high + margin[1], sides)
            if (high - low).min() < 2:
                continue
            box = np.concatenate([low, high - low])
        yield box, sides, points, labelled


def _box(rng, kind, place, size, quarter):
    """x, y, width, height as shares of the image."""
    if kind == "whole image":
        return np.array([0.0, 0, 1, 1])
    if kind in ("outside", "cut at zero"):
        side = rng.uniform(0.1, 1.2, 2)
        first = rng.uniform(0, 1, 2) - side / 2
        return np.concatenate([np.maximum(first, 0) if kind == "cut at zero" else first, side])
    if kind == "selfie":
        width = rng.uniform(0.4, 1)
        first = rng.uniform(0, 1 - width), rng.uniform(0.05, 0.5)
        return np.array([*first, width, rng.uniform(0.6, 1.3)])
    if kind in ("one place", "one layout"):
        moved = place + rng.normal(0, 0.02 if kind == "one place" else 0.005, 4)
        return np.concatenate([np.maximum(moved[:2], 0), moved[2:]])
    if kind == "one quarter":
        side = rng.uniform(0.05, 0.5, 2)
        return np.concatenate([quarter + rng.uniform(0, 1, 2) * (0.5 - side), side])
    least, most = {"big": (0.5, 1), "small": (0.03, 0.3)}.get(kind, (0.05, 1))
    side = size if kind == "one size" else rng.uniform(least, most, 2)
    room = np.minimum(0.15, 1 - side) if kind == "near the origin" else 1 - side
    return np.concatenate([rng.uniform(0, 1, 2) * room, side])


def other_form(form, boxes, sides):
    """Boxes as people have them by mistake."""
    x, y, w, h = boxes.T
    corners = [x, y, x + w, y + h]
    share = np.tile(sides, 2)
    forms = {
        "corners": lambda: np.stack(corners, axis=1),
        "centre": lambda: np.stack([x + w / 2, y + h / 2, w, h], axis=1),
        "rows first": lambda: np.stack([y, x, h, w], axis=1),
        "corners, rows first": lambda: np.stack([y, x, y + h, x + w], axis=1),
        "normalised": lambda: boxes / share,
        "normalised centre": lambda: other_form("centre", boxes, sides) / share,
        "normalised corners": lambda: np.stack(corners, axis=1) / share,
        "percent": lambda: boxes / share * 100,
        "half": lambda: boxes / 2,
        "double": lambda: boxes * 2,
    }
    return forms[form]() if form else list(forms)


FORMS = other_form(None, np.zeros((1, 4)), np.ones((1, 2)))


def iou(boxes, others):
    """(N,) of boxes x, y, width, height."""
    first = np.maximum(boxes[:, :2], others[:, :2])
    last = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    shared = np.clip(last - first, 0, None).prod(axis=1)
    return shared / (boxes[:, 2:].prod(axis=1) + others[:, 2:].prod(axis=1) - shared)


def annotations(made, boxes=None, points=None):
    """Annotations of a set, with other boxes or points if they are given."""
    number = len(made.boxes)
    points = made.points if points is None else points
    return Annotations(
        source="made_up.json",
        category_ids=(1,),
        category_name="own",
        scored=False,
        annotated=True,
        images=Images(
            Path(), np.arange(number), np.array(["a"] * number), made.sides[:, ::-1].astype(int)
        ),
        ids=np.arange(number),
        image_index=np.arange(number),
        keypoints=np.concatenate([points, 2.0 * made.labelled[..., None]], axis=2),
        bbox_xywh=made.boxes if boxes is None else boxes,
        area=np.ones(number),
        crowd=np.zeros(number, bool),
        skipped={},
        skipped_images={},
        faults=(),
        left_out_images=frozenset(),
    )
