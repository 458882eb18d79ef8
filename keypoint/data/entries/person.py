"""The numbers of one annotation: keypoints, box, area; missing ones are filled in and noted."""

from __future__ import annotations

import math
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keypoint.data.entries.numbers import as_number, as_numbers, describe_numbers, whole_number

MAX_COORDINATE = 1e6  # pixels; a larger float32 is not exact to a sixteenth
# Square pixels: COCOeval silently ignores a larger person. An image may have 179 million.
MAX_AREA = 1e5**2
# Size of a box made from keypoints, relative to their extent on each axis: in COCO the median of
# 850 persons of val2017 with ten labels or more is 1.28 in width and 1.21 in height.
EXTENT_FACTOR = 1.25
NO_BOX = np.zeros(4)
Wrong = tuple[str, str]  # kind of fault, for counting, and the text

# Texts of the notes by the value that was filled in or corrected.
FILLED_IN = {
    "area": "annotations have labelled keypoints but no area; the area of their bbox is used",
    "bbox": "annotations have the bbox [0, 0, 0, 0]; the extent of their labelled keypoints, "
    f"{EXTENT_FACTOR} times as wide and high, is used",
    "num_keypoints": "annotations have the number of visible keypoints (v=2) as num_keypoints; all "
    "labelled ones are used",
}


class Person(NamedTuple):
    """The numbers of an annotation of a person; zeros for those that are not needed."""

    crowd: bool
    keypoints: NDArray[Any]  # 3K numbers: x, y, visibility of each keypoint
    bbox_xywh: NDArray[Any]
    area: float
    filled_in: tuple[str, ...] = ()  # keys of FILLED_IN


def read_person(entry: dict[str, Any], num_keypoints: int, scored: bool) -> Person | Wrong:
    """Return the numbers of an annotation of the persons' category, or its first fault.

    A missing `iscrowd` is 0, and a missing `num_keypoints` is counted. Keypoints may be missing
    from a crowd, and from an annotation with `num_keypoints` 0. Training uses no number of a crowd,
    and no box without a labelled keypoint. COCOeval uses everything (`scored`) and needs an area,
    which must be above 0 if the person counts, because OKS divides by it.
    """
    given = entry.get("iscrowd")
    crowd = 0 if given is None else int(given) if isinstance(given, bool) else whole_number(given)
    if crowd not in (0, 1):
        return "iscrowd", f"iscrowd {short(given)} must be 0 or 1"
    if crowd and not scored:
        return Person(True, np.zeros(3 * num_keypoints), NO_BOX, 0.0)
    keypoints = _read_keypoints(entry, num_keypoints, bool(crowd))
    if isinstance(keypoints, str):
        return "visibility" if keypoints.startswith("visibility") else "keypoints", keypoints
    filled_in = []
    flags: list[float] = keypoints[2::3].tolist()
    labelled, count = num_keypoints - flags.count(0), entry.get("num_keypoints")
    if not crowd and count is not None and count != labelled:
        # COCO counts all labelled keypoints, and some tools only the visible ones. Any other number
        # is wrong, also 0 if a keypoint is labelled: COCOeval would then ignore the person.
        number = whole_number(count)
        if number not in (labelled, flags.count(2) or labelled):
            text = (
                f"num_keypoints {short(count)}, but {labelled} are labelled; correct or remove it"
            )
            return "num_keypoints", text
        filled_in += ["num_keypoints"] if number != labelled else []
    counts = labelled > 0 and not crowd
    area = _read_area(entry.get("area"))
    if isinstance(area, str):
        return "area", area
    if not counts and not scored:
        return Person(False, keypoints, NO_BOX, area or 0.0, tuple(filled_in))
    given = entry.get("bbox")
    without_box = not counts and not crowd and _is_empty(given)
    bbox = NO_BOX if without_box else read_bbox(given)
    if isinstance(bbox, str):
        return "bbox", bbox
    if min(bbox[2:]) < 0:
        text = f"bbox {bbox.tolist()} has a negative width or height; give x, y, width, height"
        return "bbox", text
    extent = _extent(keypoints) if counts and not bbox.any() else None
    if extent is not None:
        bbox = extent
        filled_in.append("bbox")
    if scored and (area is None or (counts and area == 0)):
        area = float(bbox[2] * bbox[3])
        if area > MAX_AREA:
            return "area", f"area is missing, and bbox {bbox.tolist()} is larger than any image"
        filled_in += ["area"] if counts else []
    return Person(bool(crowd), keypoints, bbox, area or 0.0, tuple(filled_in))


def _read_keypoints(entry: dict[str, Any], num_keypoints: int, crowd: bool) -> NDArray[Any] | str:
    """Return the 3K numbers, or their fault; an invalid coordinate with v=0 becomes (0, 0)."""
    given, length = entry.get("keypoints"), 3 * num_keypoints
    says_none = whole_number(entry.get("num_keypoints") or 0) == 0
    if _is_empty(given) and (says_none or (crowd and "keypoints" not in entry)):
        return np.zeros(length)
    keypoints = as_numbers(given)
    if keypoints is None and isinstance(given, list) and len(given) == length:
        keypoints = as_numbers(_without_unlabelled(given))
    if keypoints is None or len(keypoints) != length:
        meaning = f"x, y, visibility for each of {num_keypoints} keypoints"
        return describe_numbers("keypoints", given, keypoints, length, meaning)
    largest = np.abs(keypoints.astype(np.float64)).max()
    if not largest <= MAX_COORDINATE:  # nan, too
        triples = keypoints.astype(np.float64).reshape(-1, 3)
        unlabelled = (triples[:, 2] == 0) & ~(np.abs(triples) <= MAX_COORDINATE).all(axis=1)
        keypoints = np.where(unlabelled[:, None], 0, triples).ravel()
        largest = np.abs(keypoints.astype(np.float64)).max()
    if not math.isfinite(largest):
        return "keypoints has nan or inf; coordinates must be finite"
    odd = [flag for flag in keypoints[2::3].tolist() if flag not in (0, 1, 2)]
    if odd:
        return f"visibility v={odd[0]:g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
    if largest > MAX_COORDINATE:
        return f"keypoints has the coordinate {largest:g}, outside any image; give pixels"
    return keypoints


def _is_empty(given: Any) -> bool:
    return given is None or (isinstance(given, list) and not given)


def _without_unlabelled(given: list[Any]) -> list[Any]:
    """Return the 3K values, with (0, 0) for non-numbers such as null at v=0."""
    cleaned = list(given)
    for place in range(2, len(given), 3):
        point, flag = given[place - 2 : place], given[place]
        is_point = all(type(side) in (int, float) and abs(side) < 2**63 for side in point)
        if type(flag) in (int, float) and flag == 0 and not is_point:
            cleaned[place - 2 : place] = [0, 0]
    return cleaned


def _read_area(given: Any) -> float | str | None:
    """Return the area, None if it is missing, or its fault."""
    if given is None:
        return None
    area = as_number(given)
    if area is None or not math.isfinite(area) or area < 0:
        return f"area {short(given)} must be a finite number, 0 or more (square pixels)"
    if area > MAX_AREA:
        return f"area {area:g} is larger than any image; give square pixels"
    return area


def _extent(keypoints: NDArray[Any]) -> NDArray[np.float64] | None:
    """The box (x, y, width, height) about the labelled keypoints, or None without an area."""
    triples = keypoints.reshape(-1, 3).astype(np.float64)
    points = triples[triples[:, 2] > 0, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (EXTENT_FACTOR - 1) / 2 * (high - low)
    first = np.maximum(low - margin, 0)  # an image begins at 0
    last = high + margin
    if not ((high > low) & (last > first)).all():
        return None
    return np.concatenate([first, last - first])


def read_bbox(given: Any) -> NDArray[Any] | str:
    """Return the four numbers of a box, or their fault."""
    bbox = as_numbers(given)
    if bbox is None or len(bbox) != 4:
        return describe_numbers("bbox", given, bbox, 4, "x, y, width, height")
    if not np.isfinite(bbox).all():
        return f"bbox {given} has nan or inf; it must be finite"
    if np.abs(bbox.astype(np.float64)).max() > MAX_COORDINATE:
        return f"bbox {given} extends outside any image; give pixels"
    return bbox
