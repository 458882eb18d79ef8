"""COCO keypoints as CVAT and COCO Annotator export them; also any other file of that form.

Differences from COCO's own files (CVAT's `person_keypoints_*.json`, COCO Annotator's
`backend/webserver/util/coco_util.py`): several classes, `keypoints` missing or empty if none is
labelled, an empty box around labelled keypoints, NaN or null at flag 0, paths on a server. CVAT
stores a track as `attributes.track_id`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PureWindowsPath
from typing import Any

from keypoint.data.annotations import read_dataset
from keypoint.data.convert.labels import OCCLUDED, VISIBLE, Bbox, Labels, Person, Picture
from keypoint.errors import DataError

# Part of a file name that says the split: person_keypoints_train.json, instances_Validation.json.
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"test": "test", "testing": "test"}


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is of this form."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def split_of(name: str) -> str | None:
    """The split that a subset or file is named after, or None."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def read(files: list[Path]) -> Labels:
    """Read annotation files; if there are several, the file's name contains the split."""
    labels = Labels("COCO keypoints, as CVAT and COCO Annotator export")
    for file in files:
        content = read_dataset(file)
        categories = _read_categories(content, labels, file)
        if not categories:  # instances_val2017.json next to person_keypoints_val2017.json
            labels.leave_out("files without a class that has keypoints", str(file))
            continue
        pictures: dict[Any, Picture] = {}
        for entry in content["images"]:
            picture = _picture(entry, split_of(file.stem) if len(files) > 1 else None, file)
            pictures[plain_key(entry.get("id"))] = picture
            labels.pictures.append(picture)
        for entry in content["annotations"]:
            _add(entry, pictures, categories, labels, file)
    return labels


def _read_categories(content: dict[str, Any], labels: Labels, file: Path) -> dict[Any, str]:
    """Names of the classes that have keypoints, by id; their keypoints and edges go to `labels`."""
    categories = {}
    for entry in content["categories"]:
        names = entry.get("keypoints")
        if not names:
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{file}: keypoints {names!r} of a category are not a list of names")
        category = str(entry.get("name", "object"))
        if labels.keypoints.get(category, names) != names:
            raise DataError(
                f"{file}: category {category!r} has different keypoints in another file; convert "
                "the files one by one"
            )
        labels.keypoints[category] = names
        labels.edges[category] = _edges(entry.get("skeleton") or [], names)
        categories[plain_key(entry.get("id"))] = category
    return categories


def plain_key(value: Any) -> str | int | None:
    """An id that can be compared: a whole number or a text; any other value as text."""
    return value if isinstance(value, (int, str, type(None))) else str(value)


def _edges(couples: Any, names: list[str]) -> list[tuple[str, str]]:
    """Read edges, which count from 1 in COCO, and from 0 in some tools (if any edge contains 0)."""
    given = couples if isinstance(couples, list) else []
    whole = [c for c in given if isinstance(c, list) and all(isinstance(n, int) for n in c)]
    edges = [(c[0], c[1]) for c in whole if len(c) == 2]
    first = 0 if any(0 in edge for edge in edges) else 1
    numbers = dict(enumerate(names, first))
    return [(numbers[a], numbers[b]) for a, b in edges if a in numbers and b in numbers and a != b]


def _picture(entry: dict[str, Any], split: str | None, file: Path) -> Picture:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{file}: image id {entry.get('id')!r} has no file_name")
    name = PureWindowsPath(name).as_posix()
    sides = [entry.get("height"), entry.get("width")]
    stated = all(isinstance(side, (int, float)) and side > 0 and side % 1 == 0 for side in sides)
    size = (int(sides[0]), int(sides[1])) if stated else None  # type: ignore[arg-type]
    group = str(Path(name).parent)
    return Picture(name=name, persons=[], image_size=size, split=split, group=group)


def _add(
    entry: dict[str, Any],
    pictures: dict[Any, Picture],
    categories: dict[Any, str],
    labels: Labels,
    file: Path,
) -> None:
    place = f"{file.name}: annotation id {entry.get('id')!r}"
    picture, category = (
        pictures.get(plain_key(entry.get("image_id"))),
        categories.get(plain_key(entry.get("category_id"))),
    )
    if picture is None:
        labels.leave_out("annotations of an image that is not listed", place)
    elif category is None:
        labels.leave_out("objects of a class without keypoints", place)
    elif entry.get("iscrowd"):
        labels.leave_out("crowds", place)
    else:
        points = _points(entry.get("keypoints"), labels.keypoints[category])
        if isinstance(points, str):
            labels.leave_out(f"annotations with {points}", place)
            return
        extra = entry.get("attributes")
        track = extra.get("track_id") if isinstance(extra, dict) else entry.get("track_id")
        bbox = _bbox(entry.get("bbox"))
        picture.persons.append(Person(points, bbox, category, plain_key(track)))


def _points(given: Any, names: list[str]) -> dict[str, tuple[float, float, int]] | str:
    """Return the labelled points, or what is wrong with them."""
    if given is None or given == []:
        return {}
    if not isinstance(given, list) or len(given) != 3 * len(names):
        return f"keypoints that are not {3 * len(names)} numbers"
    points = {}
    for name, x, y, flag in zip(names, given[::3], given[1::3], given[2::3], strict=True):
        if flag == 0:
            continue
        if flag not in (OCCLUDED, VISIBLE):
            return "a visibility flag that is not 0, 1 or 2"
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in (x, y)):
            return "a labelled keypoint without coordinates"
        points[name] = (x, y, int(flag))
    return points


def _bbox(given: Any) -> Bbox | None:
    fits = isinstance(given, list) and len(given) == 4
    if not fits or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in given):
        return None
    return given[0], given[1], given[2], given[3]
