"""Ids and image sizes as labelling tools write them: 1, 1.0 or "1"."""

from __future__ import annotations

from collections import Counter
from reprlib import repr as short
from typing import Any

from keypoint.data.entries.columns import types_of
from keypoint.data.entries.numbers import describe_no_whole_number, whole_number
from keypoint.data.notes import Note

Entries = list[dict[str, Any]]
UNCHANGED = {int, bool, type(None)}
NUMBERED = (
    *(("images", key) for key in ("id", "width", "height")),
    ("categories", "id"),
    *(("annotations", key) for key in ("id", "image_id", "category_id")),
)


def with_whole_numbers(content: dict[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """Return a file's content with integers for ids and image sizes such as "1" and 1.0.

    "1" and 1.0 become 1 unless another entry of the same list has that number in any form. Such
    ids and their references stay unchanged, and the rules of the entries refuse them.

    Returns:
        The content, copied if anything changed, and a note if ids were text or had a decimal point.
    """
    if all(types_of(content.get(name, []), key) <= UNCHANGED for name, key in NUMBERED):
        return content, []
    images, of_images = _with_ids(content["images"])
    categories, of_categories = _with_ids(content["categories"])
    annotations, _ = _with_ids(content.get("annotations", []))
    annotations = _with_references(annotations, "image_id", of_images)
    annotations = _with_references(annotations, "category_id", of_categories)
    changed = content | {"images": _with_sizes(images), "categories": categories}
    if "annotations" in content:
        changed["annotations"] = annotations
    keys = ("images", "annotations", "categories")
    before = [entry for key in keys for entry in content.get(key, [])]
    after = [entry for key in keys for entry in changed.get(key, [])]
    examples = [
        f"{key} {short(old[key])}"
        for old, new in zip(before, after, strict=True)
        if old is not new
        for key in ("id", "image_id", "category_id")
        if isinstance(old.get(key), (str, float)) and old[key] is not new[key]
    ]
    text = "ids are text or decimals; they are read as integers, which results contain"
    total = len(before) + 2 * len(annotations)
    return changed, Note.of(examples, total, text)


def describe_id(value: Any) -> str:
    """The fault of an id that `with_whole_numbers` left as it was."""
    number = whole_number(value)
    if number is None:
        return f"its id {describe_no_whole_number(value)}"
    return (
        f"its id must be a unique integer: {short(value)} reads as {number}, and so does "
        "that of another entry"
    )


def _with_ids(entries: Entries) -> tuple[Entries, Counter[int]]:
    """The entries with whole ids, and how many of them mean each number."""
    if all(type(entry.get("id")) is int for entry in entries):
        return entries, Counter(entry["id"] for entry in entries)
    numbers = [whole_number(entry.get("id")) for entry in entries]
    counts = Counter(number for number in numbers if number is not None)
    changed = [
        entry if number is None or counts[number] > 1 else _replaced(entry, id=number)
        for entry, number in zip(entries, numbers, strict=True)
    ]
    return changed, counts


def _with_references(entries: Entries, key: str, counts: Counter[int]) -> Entries:
    def read(entry: dict[str, Any]) -> dict[str, Any]:
        value = entry.get(key)
        number = None if type(value) is int else whole_number(value)
        return entry if number is None or counts[number] > 1 else _replaced(entry, **{key: number})

    return [read(entry) for entry in entries]


def _with_sizes(images: Entries) -> Entries:
    def read(entry: dict[str, Any]) -> dict[str, Any]:
        if type(entry.get("width")) is int and type(entry.get("height")) is int:
            return entry
        sides = {key: whole_number(entry.get(key)) for key in ("width", "height")}
        return _replaced(entry, **{key: side for key, side in sides.items() if side is not None})

    return [read(entry) for entry in images]


def _replaced(entry: dict[str, Any], **values: int) -> dict[str, Any]:
    same = all(type(entry.get(key)) is int and entry[key] == n for key, n in values.items())
    return entry if same else entry | values
