"""Find annotated boxes and keypoints that are not pixels, or not x, y, width, height.

No other check fails on such a file, and a network would train on the wrong pixels. A single person
proves nothing, so the whole file is judged: the keypoints of a person are inside its box, and their
distance to the box's edge does not depend on the box's position. Letters: P persons, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keypoint.data.notes import Note, find
from keypoint.data.persons import Annotations
from keypoint.data.plausible.readings import (
    CORNERS,
    FAR,
    NORMALISED,
    RANGES,
    Flags,
    Floats,
    from_sides,
    is_box,
    is_inside,
    other_readings,
    within_one,
)

# Persons that fit only another reading, and those that fit only the right one. Random correct sets
# reach neither (tests/data/test_plausible.py).
BETTER, WORSE = 0.25, 0.05
FIT = 0.5  # share of persons that another reading must fit, as a file has one form
MIN_PERSONS = 4  # for the slope
HELD = 0.8  # share of COCO's persons that have all keypoints in their box


@dataclass(frozen=True)
class Annotated:
    """The persons that count, in the form of this comparison.

    Attributes:
        ids: (P,) annotation ids.
        boxes: (P, 4) as given.
        points: (P, K, 2).
        labelled: (P, K).
        sides: (P, 2) width and height of their images.
    """

    ids: NDArray[np.int64]
    boxes: Floats
    points: Floats
    labelled: Flags
    sides: Floats

    def extent(self, points: Floats | None = None) -> Floats:
        """(P, 4) corners of the extent of the labelled keypoints."""
        points = self.points if points is None else points
        low = np.where(self.labelled[..., None], points, np.inf).min(axis=1)
        high = np.where(self.labelled[..., None], points, -np.inf).max(axis=1)
        return np.concatenate([low, high], axis=1)

    def find(self, text: str, flags: Flags, *, proved: bool = False) -> list[Note]:
        """The note of the flagged persons."""
        return find(text, flags, self.ids, "annotation id ", proved=proved)


def form_doubts(annotations: Annotations) -> list[Note]:
    """Find at most one other probable meaning of the boxes or keypoints of a file.

    Args:
        annotations: With image sizes.
    """
    sides = annotations.images.image_size[annotations.image_index, ::-1].astype(float)
    has_area = (annotations.bbox_xywh[:, 2:] > 0).all(axis=1) & (sides > 2).all(axis=1)
    rows = np.flatnonzero(annotations.counted & has_area)
    if len(rows) == 0:
        return []
    given = Annotated(
        ids=annotations.ids[rows],
        boxes=annotations.bbox_xywh[rows],
        points=annotations.keypoints[rows, :, :2],
        labelled=annotations.keypoints[rows, :, 2] > 0,
        sides=sides[rows],
    )
    boxes, keypoints = _box_form(given), _keypoint_form(given)
    if boxes and keypoints and keypoints[0].count > boxes[0].count:
        boxes = []
    return _normalised(given) or boxes or _corners(given) or keypoints


def _normalised(given: Annotated) -> list[Note]:
    points = given.points[given.labelled]
    everyone = np.ones(len(given.ids), dtype=bool)
    boxes = bool(((given.boxes >= 0) & (given.boxes <= 1)).all())
    if within_one(np.concatenate([points.ravel(), given.boxes.ravel()])):
        text = f"persons have keypoints and bbox within [0, 1], as {NORMALISED} are"
    elif boxes and points.max() > 2:
        text = (
            f"persons have a bbox within [0, 1], as {NORMALISED} are, and their keypoints are not"
        )
    elif within_one(points) and len(np.unique(points, axis=0)) > 2 and given.boxes.max() > 10:
        text = f"persons have keypoints within [0, 1], as {NORMALISED} are, and a larger bbox"
    else:
        return []
    return given.find(f"{text}; give pixels of the image", everyone, proved=True)


def _box_form(given: Annotated) -> list[Note]:
    """Find the reading under which boxes contain keypoints that they do not contain as given."""
    extent, corners = given.extent(), from_sides(given.boxes)
    held, far = _holds(corners, extent), ~is_inside(corners, given.sides, FAR)
    best: tuple[float, str, Flags] | None = None
    for name, corners in other_readings(given.boxes, given.sides):
        holds, inside = _holds(corners, extent), is_inside(corners, given.sides)
        better = holds & (~held | (far & inside))
        if better.mean() < BETTER or holds.mean() < FIT or (held & ~holds).mean() > WORSE:
            continue
        score = better.sum() + 0.1 * inside.sum()
        if best is None or score > best[0]:
            best = score, name, better
    if best is None:
        return []
    proved = best[1] == CORNERS and _proves_corners(given)
    return _doubt_of_form(given, best[1], best[2], proved)


def _corners(given: Annotated) -> list[Note]:
    """Find boxes that are corners but contain their keypoints also as given, being too large."""
    holds = _holds(given.boxes, given.extent())
    slope, errors = corner_slope(given.boxes, given.extent()[:, 2:])
    if holds.mean() < HELD or slope < 0.4 or slope < 3 * errors:
        return []
    return _doubt_of_form(given, CORNERS, holds, _proves_corners(given))


def _doubt_of_form(given: Annotated, name: str, flags: Flags, proved: bool) -> list[Note]:
    text = f"boxes fit their keypoints better as {name} than as x, y, width, height"
    if proved:
        text = f"{text}, which extend outside their image; bbox is xywh in pixels, convert them"
    else:
        text = f"{text} in pixels: which form do they have?"
    return given.find(text, flags, proved=proved)


def _proves_corners(given: Annotated) -> bool:
    """Return whether boxes can only be corners.

    As given, some extend far outside their image; as corners none does, nearly all contain their
    keypoints, and the slope is clearly that of corners, with keypoints at varying positions.
    """
    extent, corners = given.extent(), given.boxes
    far = ~is_inside(from_sides(corners), given.sides, FAR)
    fits = is_box(corners) & is_inside(corners, given.sides)
    slope, error = corner_slope(corners, extent[:, 2:])
    moved = np.sqrt((extent[:, 2:] / given.sides).var(axis=0).mean())
    return bool(
        far.mean() >= 0.1
        and fits.mean() > 0.98
        and _holds(corners, extent).mean() >= HELD
        and 0.7 < slope < 1.2
        and slope > 7 * error
        and moved > 0.1
    )


def corner_slope(boxes: Floats, last: Floats) -> tuple[float, float]:
    """Change of the gap between keypoints and the far edge with the place of the near edge.

    In units of the third and fourth number: the slope is about 0 if these are the sides, as a gap
    does not depend on the place, and about 1 if they are corners.

    Args:
        boxes: (P, 4) as given.
        last: (P, 2) largest x and y of the labelled keypoints.

    Returns:
        The slope over both axes and its standard error; (0, inf) for too few persons.
    """
    if len(boxes) < MIN_PERSONS:
        return 0.0, np.inf
    place = boxes[:, :2] / boxes[:, 2:]
    gap = 1 + place - last / boxes[:, 2:]
    place, gap = place - place.mean(axis=0), gap - gap.mean(axis=0)
    variance = (place**2).sum()
    if variance < 1e-4:
        return 0.0, np.inf
    slope = (place * gap).sum() / variance
    rest = ((gap - slope * place) ** 2).sum() / (2 * len(boxes) - 3)
    return float(slope), max(float(np.sqrt(rest / variance)), 1e-6)


def _keypoint_form(given: Annotated) -> list[Note]:
    """Find keypoints as shares of the image's sides, with boxes in pixels."""
    corners = from_sides(given.boxes)
    held = _holds(corners, given.extent())
    for top in RANGES:
        if given.points[given.labelled].max() > 1.5 * top:
            continue
        holds = _holds(corners, given.extent(given.points * given.sides[:, None] / top))
        better = holds & ~held
        if better.mean() >= BETTER and (held & ~holds).mean() <= WORSE:
            text = f"persons have keypoints that fit their bbox as {NORMALISED} (0 to {top})"
            return given.find(f"{text}, not as pixels", better)
    return []


def _holds(corners: Floats, extent: Floats) -> Flags:
    """(P,) whether a box, with 2 % and a pixel around it, contains all labelled keypoints."""
    slack = 0.02 * (corners[:, 2:] - corners[:, :2]) + 1
    first, last = extent[:, :2] >= corners[:, :2] - slack, extent[:, 2:] <= corners[:, 2:] + slack
    return is_box(corners) & (first & last).all(axis=1)
