"""Ultralytics data sets: data.yaml, and a text file of normalised numbers next to each image.

Source: Ultralytics 8.4, `data/utils.py` (`img2label_paths`, `verify_image_label`) and
`cfg/datasets/coco8-pose.yaml`. A line is class, box centre and size, then K times x, y and, if
kpt_shape is [K, 3], the flag; coordinates are shares of the image. With [K, 2] a negative
coordinate is a missing keypoint. The names of the keypoints, `kpt_names`, are newer than the form.
A data set for detection has no kpt_shape: its boxes are read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PureWindowsPath
from typing import Any

from keypoint.data.convert.labels import OCCLUDED, VISIBLE, Labels, Person, Picture
from keypoint.errors import DataError
from keypoint.strict_yaml import MAX_BYTES, Document, parse_yaml

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


# A number as a key, `0: person`: our own YAML has names only.
NUMBER_KEY = re.compile(r"(^[ \t]*|[{,][ \t]*)([0-9]+)(?=[ \t]*:(\s|$))", re.MULTILINE)


def read_data_yaml(file: Path) -> Document:
    """The content of a data.yaml, numbers as keys turned into text.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error})") from None
    return parse_yaml(NUMBER_KEY.sub(r"\1'\2'", text))


def read(file: Path) -> Labels:
    """Read a data.yaml and the labels of all its splits."""
    document = read_data_yaml(file)
    content = document.content
    if document.problems or not isinstance(content, dict):
        raise DataError(f"{file}: {document.problems[0][2] if document.problems else 'no keys'}")
    labels = Labels("Ultralytics pose" if "kpt_shape" in content else "Ultralytics detection")
    number, values = _shape(file, content)
    classes = _by_number(content.get("names"))
    names = _keypoint_names(content, number)
    if names is None:
        labels.notes.append(
            f"data.yaml has no kpt_names of {number} keypoints, equal for all classes: they are "
            "named keypoint_0, .."
        )
        names = [f"keypoint_{k}" for k in range(number)]
    for category in classes.values():
        labels.keypoints[category] = names
        labels.edges[category] = _edges(content.get("skeleton"), names)
    labels.pairs = _pairs(file, content.get("flip_idx"), names)
    root = _root(file, content.get("path"))
    for split in ("train", "val", "test"):
        images = [image for place in _places(content.get(split)) for image in _images(root, place)]
        if content.get(split) and not images:
            raise DataError(f"{file}: {split}: {content[split]} has no images below {root}")
        for image in images:
            picture = _picture(image, names, values, classes, labels)
            picture.split = split
            labels.pictures.append(picture)
    return labels


def _shape(file: Path, content: dict[str, Any]) -> tuple[int, int]:
    if "kpt_shape" not in content:
        return 0, 2  # a data set for detection
    shape = content["kpt_shape"]
    fits = isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
    if not isinstance(shape, list) or not fits or shape[0] < 1 or shape[1] not in (2, 3):
        raise DataError(f"{file}: kpt_shape is {shape!r}; a pose data set has [K, 2] or [K, 3]")
    return shape[0], shape[1]


def _by_number(names: Any) -> dict[int, str]:
    """The classes of `names`, a list or a mapping from numbers."""
    if isinstance(names, dict):
        return {int(key): str(name) for key, name in names.items() if str(key).isdigit()}
    return dict(enumerate(map(str, names))) if isinstance(names, list) else {0: "object"}


def _keypoint_names(content: dict[str, Any], number: int) -> list[str] | None:
    """Names of the keypoints, by Ultralytics' key or sleap-io's."""
    if number == 0:
        return []
    given = content.get("kpt_names", content.get("node_names"))
    lists = list(given.values()) if isinstance(given, dict) else [given]
    names = lists[0] if lists else None
    if not isinstance(names, list) or any(other != names for other in lists):
        return None
    names = [str(name) for name in names]
    return names if len(names) == number == len(set(names)) else None


def _edges(given: Any, names: list[str]) -> list[tuple[str, str]]:
    """sleap-io's `skeleton`; Ultralytics has no such key."""
    couples = [c for c in given if isinstance(c, list)] if isinstance(given, list) else []
    couples = [c for c in couples if len(c) == 2 and all(isinstance(n, int) for n in c)]
    fit = [(a, b) for a, b in couples if a != b and min(a, b) >= 0 and max(a, b) < len(names)]
    return [(names[a], names[b]) for a, b in fit]


def _pairs(file: Path, flip: Any, names: list[str]) -> list[tuple[str, str]] | None:
    """Pairs of `flip_idx`, the first name first; None if it is missing or mirrors nothing."""
    if flip is None or flip == list(range(len(names))):
        return None
    if not isinstance(flip, list) or sorted(map(str, flip)) != sorted(map(str, range(len(names)))):
        raise DataError(f"{file}: flip_idx {flip} is not a permutation of 0 to {len(names) - 1}")
    if any(flip[flip[k]] != k for k in range(len(names))):
        raise DataError(f"{file}: flip_idx {flip} is not the identity when applied twice")
    return [(names[k], names[flip[k]]) for k in range(len(names)) if k < flip[k]]


def _root(file: Path, given: Any) -> Path:
    """Return the root: `path`, relative to the yaml's folder (Ultralytics: or to its own)."""
    place = file.parent / str(given or ".")
    return place if place.is_dir() else file.parent


def _places(given: Any) -> list[str]:
    return [str(place) for place in (given if isinstance(given, list) else [given]) if place]


def _images(root: Path, place: str) -> list[Path]:
    """Images of a folder, or of a text file that lists them."""
    path = _moved(root, place)
    if path.suffix == ".txt" and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        return [_moved(path.parent, line.strip()) for line in lines if line.strip()]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)


def _moved(root: Path, name: str) -> Path:
    """A file or folder by its path, or by the end of one that was written on another computer.

    Roboflow's yaml, too, has paths of another folder: ../train/images.
    """
    for place in (name, PureWindowsPath(name).as_posix()):
        if (root / place).exists():
            return root / place
    parts = [part for part in PureWindowsPath(name).as_posix().split("/") if part != ".."]
    ends = (root.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((end for end in ends if end.exists()), root / name)


def _label_file(image: Path) -> Path:
    """The file that Ultralytics looks for: the last folder "images" replaced by "labels"."""
    parts = list(image.with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts)


def _picture(
    image: Path, names: list[str], values: int, classes: dict[int, str], labels: Labels
) -> Picture:
    picture = Picture(str(image), [], relative=True, group=str(image.parent))
    file = _label_file(image)
    if not file.is_file():
        labels.leave_out("label files missing (nothing is on these images)", str(image))
        return picture
    seen = set()
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        place = f"{file}: line {number}"
        if line in seen:
            labels.leave_out("objects that are twice in a file", place)
        elif line.strip():
            seen.add(line)
            person = _person(line, names, values, classes, place, labels)
            if person.bbox_xywh and max(person.bbox_xywh[2:]) > 2:
                labels.leave_out("boxes in pixels, not in shares of the image", place)
            else:
                picture.persons.append(person)
    return picture


def _person(
    line: str, names: list[str], values: int, classes: dict[int, str], place: str, labels: Labels
) -> Person:
    try:
        numbers = [float(word) for word in line.split()]
    except ValueError:
        numbers = []
    length = 5 + values * len(names)
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        what = "numbers of kpt_shape" if names else "numbers of a box: class, x, y, width, height"
        raise DataError(f"{place}: not the {length} {what}; fix the file")
    kind, x, y, width, height = numbers[:5]
    if kind not in classes:
        raise DataError(f"{place}: class {kind:g} is not in names {list(classes)}; fix data.yaml")
    points = {}
    for k, name in enumerate(names):
        triple = numbers[5 + values * k : 5 + values * (k + 1)]
        flag = triple[2] if values == 3 else VISIBLE * (min(triple) >= 0)
        if flag not in (0, OCCLUDED, VISIBLE):
            raise DataError(f"{place}: flag {flag:g} of {name}; give 0, 1 or 2")
        if flag and triple[0] == triple[1] == 0:
            labels.leave_out("keypoints at exactly 0, 0, taken as missing", f"{place}: {name}")
        elif flag:
            points[name] = (triple[0], triple[1], int(flag))
    bbox = (x - width / 2, y - height / 2, width, height)
    return Person(points, bbox, classes[int(kind)])
