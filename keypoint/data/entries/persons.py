"""The numbers of all annotations of persons: valid ones at once, the others one by one.

Letters: P persons, K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.entries.columns import number_column, number_lists
from keypoint.data.entries.person import MAX_AREA, MAX_COORDINATE, Person, Wrong, read_person

AT_ONCE = 4096  # a few MB
FilledIn = dict[int, tuple[str, ...]]  # keys of FILLED_IN by place


@dataclass(frozen=True)
class PersonArrays:
    """Numbers of the annotations that are in order, in the file's order.

    Attributes:
        places: (P,) int64, in the file's list.
        crowd: (P,) bool.
        keypoints: (P, 3K) float64.
        bbox_xywh: (P, 4) float64.
        area: (P,) float64.
        filled_in: What was filled in, for few of them.
    """

    places: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    keypoints: NDArray[np.float64]
    bbox_xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    filled_in: FilledIn

    def __iter__(self) -> Iterator[tuple[int, Person]]:
        for row, place in enumerate(self.places.tolist()):
            names = self.filled_in.get(place, ())
            crowd, area = bool(self.crowd[row]), float(self.area[row])
            yield place, Person(crowd, self.keypoints[row], self.bbox_xywh[row], area, names)


def read_persons(
    entries: Sequence[dict[str, Any]], places: Sequence[int], num_keypoints: int, scored: bool
) -> tuple[PersonArrays, dict[int, Wrong]]:
    """`read_person` of many annotations.

    Args:
        entries: All annotations of a file.
        places: Those of persons.
        num_keypoints: K.
        scored: As `read_person` takes it.

    Returns:
        The numbers, and the faults of the others by place.
    """
    length = 3 * num_keypoints
    parts = [_read_part([], [], length, scored)]
    for begin in range(0, len(places), AT_ONCE):
        part = places[begin : begin + AT_ONCE]
        parts.append(_read_part([entries[place] for place in part], part, length, scored))
    where, crowd, keypoints, bbox, area = (
        np.concatenate(column) for column in zip(*(arrays for arrays, _, _ in parts), strict=True)
    )
    filled_in = {place: names for _, part, _ in parts for place, names in part.items()}
    wrong = {place: fault for _, _, part in parts for place, fault in part.items()}
    return PersonArrays(where, crowd, keypoints, bbox, area, filled_in), wrong


def _read_part(
    entries: Sequence[dict[str, Any]], places: Sequence[int], length: int, scored: bool
) -> tuple[tuple[NDArray[Any], ...], FilledIn, dict[int, Wrong]]:
    """Return the arrays of PersonArrays, the filled-in keys, and the faults.

    Annotations that break a rule of `read_person`, or need something filled in, are left to it.
    """
    crowds = number_column(entries, "iscrowd", 0)
    crowd = crowds == 1
    triples = number_lists(entries, "keypoints", length)
    bbox = number_lists(entries, "bbox", 4)
    area = number_column(entries, "area", np.nan if scored else 0.0) + 0.0  # no -0.0
    flags = triples[:, 2::3]
    labelled = (flags > 0).sum(axis=1)
    counts = (labelled > 0) & ~crowd
    said = number_column(entries, "num_keypoints", 0)
    not_said = np.array(["num_keypoints" not in entry for entry in entries], dtype=bool)

    has_flags = ((flags == 0) | (flags == 1) | (flags == 2)).all(axis=1)
    has_keypoints = has_flags & (np.abs(triples) <= MAX_COORDINATE).all(axis=1)  # no nan
    has_count = crowd | not_said | (said == labelled)
    has_area = (area >= 0) & (area <= MAX_AREA) & ~(scored & counts & (area == 0))
    has_box = (np.abs(bbox) <= MAX_COORDINATE).all(axis=1) & (bbox[:, 2:] >= 0).all(axis=1)
    has_box &= bbox.any(axis=1) | ~counts
    uses_box = counts | scored
    unread = crowd & (not scored)
    in_order = (
        has_keypoints & has_count & has_area & (has_box | ~uses_box) & (crowd | (crowds == 0))
    )
    in_order |= unread

    triples = np.where(unread[:, None], 0, triples)
    bbox = np.where(uses_box[:, None] & ~unread[:, None], bbox, 0)
    area = np.where(unread, 0, area)
    filled_in: FilledIn = {}
    wrong: dict[int, Wrong] = {}
    for row in np.flatnonzero(~in_order).tolist():
        found = read_person(entries[row], length // 3, scored)
        if isinstance(found, Person):
            crowd[row], triples[row], bbox[row], area[row], names = found
            filled_in.update({places[row]: names} if names else {})
        else:
            wrong[places[row]] = found
    kept = np.array([place not in wrong for place in places], dtype=bool)
    arrays = np.array(places, dtype=np.int64), crowd, triples, bbox, area
    return tuple(array[kept] for array in arrays), filled_in, wrong
