"""The rules for the entries of COCO's files: images, and annotations with their ids.

A rule returns the first fault of an entry: a word to count by, and a short text that begins with
the key. The caller puts the entry's name before it and reports all faults of a file at once.
Training and evaluation share the rules; scoring requires more (`scored`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from reprlib import repr as short  # a fault shows the value, however long it is
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.entries.categories import Category
from keypoint.data.entries.columns import Entries, whole_column
from keypoint.data.entries.ids import describe_id, with_whole_numbers
from keypoint.data.entries.numbers import is_whole_number
from keypoint.data.entries.person import FILLED_IN, Wrong
from keypoint.data.entries.persons import PersonArrays, read_persons
from keypoint.data.notes import Note
from keypoint.data.report import Fault

# Limits of file systems: characters of a part of a path, and bytes of a path.
MOST_LETTERS, MOST_BYTES = 255, 4095
PLAIN_NAME = re.compile(r"\w[\w ./-]{0,254}", re.ASCII)


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
        faults.append(("image id", describe_id(entry.get("id"))))
    elif is_repeated:
        faults.append(("image id", "duplicate id; ids are unique"))
    if not with_file:
        return faults
    width, height = entry.get("width"), entry.get("height")
    if not all(is_whole_number(side) and side > 0 for side in (width, height)):
        text = f"width={short(width)} height={short(height)}; give its size in pixels, two whole "
        faults.append(("image size", text + "numbers above 0"))
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        faults.append(("file_name", f"file_name={short(name)}; give the file's name"))
    elif re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
        control = "a NUL byte (\\x00)" if "\0" in name else "a control character"
        faults.append(("file_name", f"file_name={short(name)} has {control}; rename the file"))
    elif _is_too_long(name):
        text = f"file_name={short(name)} has {len(name)} characters, longer than a path can be "
        text += (
            f"({MOST_LETTERS} characters per part, {MOST_BYTES} bytes in all); give the file's name"
        )
        faults.append(("file_name", text))
    elif re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        text = f"file_name={short(name)} is a URL, which is not downloaded; give a local file"
        faults.append(("file_name", text))
    elif name.startswith("/") or ".." in name.split("/"):
        text = f"file_name={short(name)} points outside the image folder (absolute or ..)"
        faults.append(("file_name", text))
    return faults


def _is_plain(entry: dict[str, Any], ids: Counter[int], with_file: bool) -> bool:
    """Return true for nearly all valid images, by a fast check; `ids` counts those of the file."""
    width, height, name = entry.get("width"), entry.get("height"), entry.get("file_name")
    if type(entry.get("id")) is not int or ids[entry["id"]] != 1:
        return False
    if not with_file:
        return True
    if type(width) is not int or type(height) is not int or not isinstance(name, str):
        return False
    is_size = 0 < width < 2**31 and 0 < height < 2**31
    return is_size and ".." not in name and PLAIN_NAME.fullmatch(name) is not None


def _is_too_long(name: str) -> bool:
    if len(name) <= MOST_LETTERS:
        return False
    parts = re.split(r"[/\\]", name)
    return max(map(len, parts)) > MOST_LETTERS or len(name.encode()) > MOST_BYTES


def name_annotation(entry: dict[str, Any], place: int) -> str:
    """The name of an annotation in an error: its id, or its place in the list."""
    if "id" in entry:
        return f"annotation id {short(entry['id'])}"
    return f"annotation number {place} (image_id {short(entry.get('image_id'))})"


def reference_faults(entries: Entries, images: Set[int], categories: Set[int]) -> dict[int, Wrong]:
    """Return the first fault in the ids of each faulty annotation, by place.

    `images` and `categories` are the ids of the file.
    """
    columns = [whole_column(entries, key) for key in ("id", "image_id", "category_id")]
    ids, of_image, of_category = (set() if c is None else set(c.tolist()) for c in columns)
    are_whole = all(column is not None for column in columns)
    if are_whole and len(ids) == len(entries) and of_image <= images and of_category <= categories:
        return {}
    seen = set[int]()
    found = [reference_fault(entry, images, categories, seen) for entry in entries]
    return {place: fault for place, fault in enumerate(found) if fault}


def reference_fault(
    entry: dict[str, Any], images: Set[int], categories: Set[int], seen: set[int]
) -> Wrong | None:
    """Return the first fault in the ids of an annotation of any category, or None.

    `images` and `categories` are the ids of the file, `seen` those of the annotations before this
    one; its own is added.
    """
    key = entry.get("id")
    if not is_whole_number(key):
        return "id", describe_id(key)
    if key in seen:
        return "id", "duplicate id; ids are unique"
    seen.add(key)
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_whole_number(image_id) or image_id not in images:
        return "image_id", f"image_id {short(image_id)} is not among the images"
    if not is_whole_number(category_id) or category_id not in categories:
        return "category_id", f"category_id {short(category_id)} is not among the categories"
    return None


@dataclass
class CheckedEntries:
    """The outcome of the rules for every entry of a file, by its place in the file's lists.

    Attributes:
        content: Content of the file, with whole numbers for ids and sizes that mean one.
        category: The persons' category.
        num_keypoints: K.
        scored: Whether they were checked for what COCOeval needs.
        notes_on_ids: Notes on ids that were converted to integers.
        bad_images: All faults of each bad entry of `images`, or of its file.
        bad_annotations: The first fault of each bad annotation.
        persons: The numbers of the category's valid annotations.
    """

    content: dict[str, Any]
    category: Category
    num_keypoints: int
    scored: bool
    notes_on_ids: list[Note]
    persons: PersonArrays
    bad_images: dict[int, list[Fault]] = field(default_factory=dict)
    bad_annotations: dict[int, Fault] = field(default_factory=dict)

    def image_faults(self) -> list[Fault]:
        """All faults of images."""
        return [fault for faults in self.bad_images.values() for fault in faults]

    def faults(self) -> list[Fault]:
        """All faults, those of images first."""
        return self.image_faults() + list(self.bad_annotations.values())

    def notes(self, used: NDArray[np.bool_]) -> list[Note]:
        """Return notes on values that were corrected, for the persons (P,) that are used."""
        notes, total = list(self.notes_on_ids), int(used.sum())
        names = self.category.names
        if len(names) > 1 and total:
            text = "persons have several categories, which count as one class; results have "
            text += f"category_id {self.category.id}"
            notes += [Note(total, total, text, tuple(map(short, names)))]
        places = set(self.persons.places[used].tolist())
        filled_in = {n: keys for n, keys in self.persons.filled_in.items() if n in places}
        for key, text in FILLED_IN.items():
            of_key = [n for n in sorted(filled_in) if key in filled_in[n]]
            ids = [self.content["annotations"][n]["id"] for n in of_key]
            notes += Note.of([f"annotation id {key}" for key in ids], total, text)
        return notes


def check_entries(
    content: dict[str, Any],
    category: Category,
    num_keypoints: int,
    *,
    scored: bool,
    with_files: bool = True,
) -> CheckedEntries:
    """Check every image and annotation of a file; no image file is opened.

    Args:
        content: Content of the file, of the right form; not modified.
        category: The persons' category.
        num_keypoints: K.
        scored: Check what COCOeval needs.
        with_files: Check the images' sizes and file names.
    """
    content, notes = with_whole_numbers(content)
    images, entries = content["images"], content.get("annotations", [])
    ids = Counter(e["id"] for e in images if is_whole_number(e.get("id")))
    categories = {c["id"] for c in content["categories"] if is_whole_number(c.get("id"))}
    wrong = reference_faults(entries, ids.keys(), categories)
    of_persons = [
        place
        for place, entry in enumerate(entries)
        if place not in wrong and entry["category_id"] in category.ids
    ]
    persons, more = read_persons(entries, of_persons, num_keypoints, scored)
    checked = CheckedEntries(content, category, num_keypoints, scored, notes, persons)
    for place, entry in enumerate(images):
        if _is_plain(entry, ids, with_files):
            continue
        key, file = _whole(entry, "id"), entry.get("file_name")
        found = image_faults(entry, key is not None and ids[key] > 1, with_files)
        if found:
            name, file = name_image(entry, place), file if isinstance(file, str) else None
            faults = [Fault(name, text, reason, key, file, key) for reason, text in found]
            checked.bad_images[place] = faults
    for place, (reason, text) in sorted((wrong | more).items()):
        entry = entries[place]
        name = name_annotation(entry, place)
        ids_of = _whole(entry, "id"), _whole(entry, "image_id")
        checked.bad_annotations[place] = Fault(name, text, reason, ids_of[0], None, ids_of[1])
    return checked


def _whole(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if is_whole_number(value) else None
