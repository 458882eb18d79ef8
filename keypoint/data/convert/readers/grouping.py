"""Join single points to persons: by the tool's group, else by the only box around them.

labelme, Label Studio and CVAT's point shapes label one point at a time. The points of one person
share a group or a parent, or are in its box. Points without a clear person are left out and
counted, because a guess would mix persons in the training data.
"""

from __future__ import annotations

from dataclasses import dataclass

from keypoint.data.convert.labels import Bbox, Labels, Person

WHOLE_IMAGE = "object"  # class of points without a box that names one


@dataclass
class Point:
    """A labelled point; `group` is the tool's key of the person, if it has one."""

    name: str
    x: float
    y: float
    flag: int
    group: object = None


@dataclass
class Box:
    """A labelled box and its class."""

    category: str
    bbox_xywh: Bbox
    group: object = None


def join(points: list[Point], boxes: list[Box], labels: Labels, place: str) -> list[Person]:
    """The persons of one image.

    Points of a group are one person, with the group's box. A point without a group belongs to the
    only box that contains it, unless that box has a group of points, to which it was not given. On
    an image with at most one box or group, all points are one person.

    Args:
        points: Points of the image.
        boxes: Boxes of the image.
        labels: Takes what is left out.
        place: The image's name.
    """
    labels.loose += [point.name for point in points]
    persons: list[tuple[Person, object]] = []
    for box in boxes:
        person = Person({}, box.bbox_xywh, box.category)
        persons.append((person, box.group))
    for group in dict.fromkeys(point.group for point in points if point.group is not None):
        known = [person for person, key in persons if key is not None and key == group]
        if len(known) > 1:
            labels.leave_out("boxes of a group that has another box", f"{place}: group {group}")
            persons = [(p, key) for p, key in persons if not any(p is k for k in known[1:])]
        if not known:
            persons.append((Person({}, None, WHOLE_IMAGE), group))
    if not persons and points:
        persons.append((Person({}, None, WHOLE_IMAGE), None))
    only = persons[0][0] if len(persons) == 1 else None
    twice: set[int] = set()
    groups = {point.group for point in points}
    for point in points:
        owner = only if only and point.group is None else _owner(point, persons, groups)
        if owner is None:
            labels.leave_out(
                "points of no group, and in no box, in several or in that of a group",
                f"{place}: {point.name}",
            )
        elif point.name in owner.points:
            twice.add(id(owner))
        else:
            owner.points[point.name] = (point.x, point.y, point.flag)
    kept = []
    for person, _ in persons:
        if id(person) in twice:
            labels.leave_out("persons with a keypoint labelled twice", place)
        else:
            kept.append(person)
    return kept


def _owner(
    point: Point, persons: list[tuple[Person, object]], groups: set[object]
) -> Person | None:
    """Return a point's person; `groups` are those of all points."""
    if point.group is not None:
        return next(person for person, key in persons if key == point.group)
    around = [
        (person, key)
        for person, key in persons
        if person.bbox_xywh and _holds(person.bbox_xywh, point)
    ]
    if len(around) != 1 or (around[0][1] is not None and around[0][1] in groups):
        return None
    return around[0][0]


def _holds(bbox: Bbox, point: Point) -> bool:
    x, y, width, height = bbox
    return x <= point.x <= x + width and y <= point.y <= y + height


def name_all(labels: Labels) -> None:
    """Give classes without named keypoints those of all loose points.

    Their order is that of the first object with the most keypoints, so that an object with a
    missing keypoint does not change it; other names follow in order of appearance.
    """
    persons = [person for picture in labels.pictures for person in picture.persons]
    nameless = [person for person in persons if person.category not in labels.keypoints]
    whole = max((person.points for person in nameless), key=len, default={})  # the first of equals
    names = list(dict.fromkeys([*whole, *labels.loose]))
    for person in nameless:
        labels.keypoints.setdefault(person.category, list(names))
