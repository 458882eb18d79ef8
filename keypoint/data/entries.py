"""The rules for single entries of COCO's files: categories, images, annotations, detector boxes.

A rule returns the first thing that is wrong with an entry: a word to count by, and a short text
that begins with the key. The caller puts the entry's name before it and reports all faults of a
file at once. Training and evaluation share the rules; scoring asks for more (`scored`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from keypoint.data.report import Fault
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton

MAX_COORDINATE = 1e6  # pixels; float32 does not hold a sixteenth of a larger one
NO_BOX = np.zeros(4)
Wrong = tuple[str, str]  # what is wrong, in a word or two that can be counted, and the text


class Person(NamedTuple):
    """The numbers of an annotation of a person; zeros for those that are not needed."""

    crowd: bool
    keypoints: NDArray[Any]  # 3K numbers: x, y, visibility of each keypoint
    bbox_xywh: NDArray[Any]
    area: float


def find_category(content: dict[str, Any], source: object) -> dict[str, Any]:
    """The category that has keypoints, or is named person.

    Raises:
        DataError: There is not exactly one.
    """
    categories = content["categories"]
    candidates = [c for c in categories if c.get("keypoints")]
    candidates = candidates or [c for c in categories if c.get("name") == "person"]
    if len(candidates) != 1 or not is_whole_number(candidates[0].get("id")):
        names = short([c.get("name") for c in categories])
        raise DataError(
            f"{source}: categories {names} have {len(candidates)} with 'keypoints' or named "
            "person; give one, with a whole number as id"
        )
    return dict(candidates[0])


def names_fault(category: dict[str, Any], skeleton: Skeleton) -> str | None:
    """How the category's keypoint names differ from the skeleton's, or None."""
    names = category.get("keypoints")
    if names is not None and not isinstance(names, list):
        return f"the category's keypoints is {names!r}; give a list of names"
    if names is None or names == list(skeleton.keypoints):
        return None
    couples = zip(names, skeleton.keypoints, strict=False)
    different = [f"{short(a)} for {b!r}" for a, b in couples if a != b]
    return (
        f"the category's {len(names)} keypoint names do not match the "
        f"{skeleton.num_keypoints} of skeleton {skeleton.name} in order "
        f"({'; '.join(different[:3]) or 'another number'}); choose the right data.skeleton"
    )


def name_image(entry: dict[str, Any], place: int) -> str:
    """The name of an image in an error: its id, or its place in the list."""
    return f"image id {short(entry['id'])}" if "id" in entry else f"image number {place}"


def image_faults(entry: dict[str, Any], is_repeated: bool, with_file: bool = True) -> list[Wrong]:
    """All faults of an entry of `images`.

    Args:
        entry: The entry.
        is_repeated: Another image has the same id.
        with_file: Check the size and the file name, too; scoring needs neither.
    """
    faults = []
    if not is_whole_number(entry.get("id")):
        faults.append(("image id", "its id must be a whole number"))
    elif is_repeated:
        faults.append(("image id", "duplicate id; ids are unique"))
    if not with_file:
        return faults
    width, height = entry.get("width"), entry.get("height")
    if not all(is_whole_number(side) and side > 0 for side in (width, height)):
        faults.append(("image size", f"width={width!r} height={height!r}; give its size in pixels"))
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        faults.append(("file_name", f"file_name={name!r}; give the file's name"))
    elif re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
        control = "a NUL byte (\\x00)" if "\0" in name else "a control character"
        faults.append(("file_name", f"file_name={name!r} has {control}; rename the file"))
    elif re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        text = f"file_name={name!r} is a URL; nothing is fetched, give files of the image folder"
        faults.append(("file_name", text))
    elif PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        text = f"file_name={name!r} points outside the image folder (absolute or ..)"
        faults.append(("file_name", text))
    return faults


def name_annotation(entry: dict[str, Any], place: int) -> str:
    """The name of an annotation in an error: its id, or its place in the list."""
    if "id" in entry:
        return f"annotation id {short(entry['id'])}"
    return f"annotation number {place} (image_id {short(entry.get('image_id'))})"


def reference_fault(
    entry: dict[str, Any], images: set[int], categories: set[int], seen: set[int]
) -> Wrong | None:
    """The first thing wrong with the ids of an annotation of any category, or None.

    `images` and `categories` are the ids of the file, `seen` those of the annotations before this
    one; its own is added.
    """
    key = entry.get("id")
    if not is_whole_number(key):
        return "id", "its id must be a whole number"
    if key in seen:
        return "id", "duplicate id; ids are unique"
    seen.add(key)
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_whole_number(image_id) or image_id not in images:
        return "image_id", f"image_id {short(image_id)} is not among the images"
    if not is_whole_number(category_id) or category_id not in categories:
        return "category_id", f"category_id {short(category_id)} is not among the categories"
    return None


def read_person(entry: dict[str, Any], num_keypoints: int, scored: bool) -> Person | Wrong:
    """The numbers of an annotation of the persons' category, or the first thing wrong with it.

    A missing `iscrowd` is 0, a missing `num_keypoints` is counted, and a crowd may lack keypoints.
    Training looks at nothing of a crowd and at no box without a labelled keypoint. COCOeval looks
    at everything (`scored`) and needs an area, over 0 if the person counts: OKS divides by it.
    """
    crowd = entry.get("iscrowd", 0)
    if isinstance(crowd, (str, list, dict, type(None))) or crowd not in (0, 1):
        return "iscrowd", f"iscrowd {short(crowd)} must be 0 or 1"
    if crowd and not scored:
        return Person(True, np.zeros(3 * num_keypoints), NO_BOX, 0.0)
    given = entry.get("keypoints", np.zeros(3 * num_keypoints) if crowd else None)
    keypoints = _read_keypoints(given, num_keypoints)
    if isinstance(keypoints, str):
        return "visibility" if keypoints.startswith("visibility") else "keypoints", keypoints
    labelled = int(np.count_nonzero(keypoints[2::3]))
    count = entry.get("num_keypoints")
    if count is not None and (
        not is_whole_number(count) or (not crowd and (count > 0) != (labelled > 0))
    ):
        text = f"num_keypoints {short(count)}, but {labelled} are labelled; correct or remove it"
        return "num_keypoints", text
    counts = labelled > 0 and not crowd
    given, area = entry.get("area"), as_number(entry.get("area"))
    if given is None and scored:
        return "area", "area is missing; OKS needs it (square pixels)"
    if given is not None and (area is None or not math.isfinite(area) or area < 0):
        return "area", f"area {short(given)} must be a finite number, 0 or more (square pixels)"
    if scored and counts and not area:
        return "area", "area 0 of a labelled person; OKS divides by it, give square pixels"
    if not counts and not scored:
        return Person(False, keypoints, NO_BOX, area or 0.0)
    bbox = read_bbox(entry.get("bbox"))
    if isinstance(bbox, str):
        return "bbox", bbox
    if min(bbox[2:]) < 0:
        text = f"bbox {bbox.tolist()} has a negative width or height; give x, y, width, height"
        return "bbox", text
    return Person(bool(crowd), keypoints, bbox, area or 0.0)


@dataclass
class CheckedEntries:
    """The outcome of the rules for every entry of a file, by its place in the file's lists.

    Attributes:
        category: The category with keypoints.
        num_keypoints: K.
        scored: Whether they were checked for what COCOeval needs.
        bad_images: All faults of each bad entry of `images`, or of its file.
        bad_annotations: The first fault of each bad annotation.
        persons: The numbers of the category's other annotations.
    """

    category: dict[str, Any]
    num_keypoints: int
    scored: bool
    bad_images: dict[int, list[Fault]] = field(default_factory=dict)
    bad_annotations: dict[int, Fault] = field(default_factory=dict)
    persons: dict[int, Person] = field(default_factory=dict)

    def image_faults(self) -> list[Fault]:
        """All faults of images."""
        return [fault for faults in self.bad_images.values() for fault in faults]

    def faults(self) -> list[Fault]:
        """All faults, those of images first."""
        return self.image_faults() + list(self.bad_annotations.values())


def check_entries(
    content: dict[str, Any],
    category: dict[str, Any],
    num_keypoints: int,
    *,
    scored: bool,
    with_files: bool = True,
) -> CheckedEntries:
    """Look at every image and annotation of a file; no image file is opened.

    Args:
        content: Content of the file, of the right form.
        category: The category with keypoints.
        num_keypoints: K.
        scored: Ask for what COCOeval needs.
        with_files: Check the images' sizes and file names.
    """
    checked = CheckedEntries(category, num_keypoints, scored)
    ids = Counter(e["id"] for e in content["images"] if is_whole_number(e.get("id")))
    for place, entry in enumerate(content["images"]):
        key, file = _whole(entry, "id"), entry.get("file_name")
        wrong = image_faults(entry, key is not None and ids[key] > 1, with_files)
        if wrong:
            name, file = name_image(entry, place), file if isinstance(file, str) else None
            faults = [Fault(name, text, reason, key, file, key) for reason, text in wrong]
            checked.bad_images[place] = faults
    categories = {c["id"] for c in content["categories"] if is_whole_number(c.get("id"))}
    images, seen = set(ids), set[int]()
    for place, entry in enumerate(content.get("annotations", [])):
        found: Person | Wrong | None = reference_fault(entry, images, categories, seen)
        if found is None and entry["category_id"] == category["id"]:
            found = read_person(entry, num_keypoints, scored)
        if isinstance(found, Person):
            checked.persons[place] = found
        elif found is not None:
            name, (reason, text) = name_annotation(entry, place), found
            ids_of = _whole(entry, "id"), _whole(entry, "image_id")
            checked.bad_annotations[place] = Fault(name, text, reason, ids_of[0], None, ids_of[1])
    return checked


def _read_keypoints(given: Any, num_keypoints: int) -> NDArray[Any] | str:
    """The 3K numbers, or what is wrong with them."""
    keypoints = as_numbers(given)
    if keypoints is None or len(keypoints) != 3 * num_keypoints:
        meaning = f"x, y, visibility for each of {num_keypoints} keypoints"
        return describe_numbers("keypoints", given, keypoints, 3 * num_keypoints, meaning)
    if not np.isfinite(keypoints).all():
        return "keypoints has nan or inf; coordinates must be finite"
    odd = [flag for flag in keypoints[2::3].tolist() if flag not in (0, 1, 2)]
    if odd:
        return f"visibility v={odd[0]:g}; flags are 0 (unlabelled), 1 (occluded) or 2 (visible)"
    largest = np.abs(keypoints.reshape(-1, 3)[:, :2].astype(np.float64)).max()
    if largest > MAX_COORDINATE:
        return f"keypoints has the coordinate {largest:g}, outside of any image; give pixels"
    return keypoints


def read_bbox(given: Any) -> NDArray[Any] | str:
    """The four numbers of a box, or what is wrong with them."""
    bbox = as_numbers(given)
    if bbox is None or len(bbox) != 4:
        return describe_numbers("bbox", given, bbox, 4, "x, y, width, height")
    if not np.isfinite(bbox).all():
        return f"bbox {given} has nan or inf; it must be finite"
    if np.abs(bbox.astype(np.float64)).max() > MAX_COORDINATE:
        return f"bbox {given} reaches outside of any image; give pixels"
    return bbox


def _whole(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if is_whole_number(value) else None


def is_whole_number(value: Any) -> TypeGuard[int]:
    """Whether a value can be an id: an int that fits 64 bits, and no bool, string or 1.0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return False
    return -(2**63) <= int(value) < 2**63


def as_numbers(values: Any) -> NDArray[Any] | None:
    """A flat list of numbers as an array, nan and inf included; None for anything else.

    One conversion of all is several times faster than a look at each entry's type.
    """
    if not isinstance(values, (list, tuple, np.ndarray)):
        return None
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        return None
    if array.size == 0:
        return np.zeros(0)
    return array if array.ndim == 1 and array.dtype.kind in "iuf" else None


def as_number(value: Any) -> float | None:
    """One number, nan and inf included; None for anything else, such as a list or a string."""
    if type(value) in (int, float) and abs(value) < 2**63:
        return float(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return None
    numbers = as_numbers([value])
    return None if numbers is None else float(numbers[0])


def describe_numbers(
    key: str, given: Any, numbers: NDArray[Any] | None, length: int, meaning: str
) -> str:
    """The fault of a list that is not `length` numbers; `numbers` is `as_numbers(given)`."""
    shown = short(given) if numbers is None else f"has {len(numbers)} numbers"
    return f"{key} {shown}; give {length} numbers ({meaning})"
