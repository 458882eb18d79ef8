"""Find every bad entry of an annotation file, and leave them out where the user asked for that.

Two policies: "error", one message that tells all faults of the file, and "skip", each bad entry
left out, counted and listed, up to a share of them. What concerns the file as a whole (no list of
annotations, another order of keypoints) is an error under both.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keypoint.data.entries import annotation_fault, image_faults, name_annotation, name_image
from keypoint.data.faults import Fault, is_whole_number, raise_faults
from keypoint.data.image import check_header
from keypoint.errors import DataError

logger = logging.getLogger(__name__)

THREADS = 8  # waiting for a disk or a network folder, mostly


@dataclass
class BadEntries:
    """The bad entries of an annotation file, by their place in its lists.

    Attributes:
        images: Faults of entries of `images` and of their files.
        annotations: The first fault of each bad annotation.
    """

    images: dict[int, list[Fault]] = field(default_factory=dict)
    annotations: dict[int, Fault] = field(default_factory=dict)

    def faults(self) -> list[Fault]:
        """All, images first."""
        return [fault for faults in self.images.values() for fault in faults] + list(
            self.annotations.values()
        )


def find_bad_entries(
    content: dict[str, Any], category_id: int, num_keypoints: int, scored: bool = False
) -> BadEntries:
    """Look at every image and annotation of an annotation file; no image file is opened.

    Args:
        content: Of `read_dataset`.
        category_id: Of the persons.
        num_keypoints: K.
        scored: Ask also for what COCOeval needs.
    """
    bad = BadEntries()
    entries = content["images"]
    ids = Counter(entry["id"] for entry in entries if is_whole_number(entry.get("id")))
    for place, entry in enumerate(entries):
        key = entry.get("id") if is_whole_number(entry.get("id")) else None
        wrong = image_faults(entry, is_repeated=key is not None and ids[key] > 1)
        if wrong:
            file = entry.get("file_name") if isinstance(entry.get("file_name"), str) else None
            name = name_image(entry, place)
            bad.images[place] = [Fault(name, text, reason, key, file) for reason, text in wrong]
    categories = {c["id"] for c in content["categories"] if is_whole_number(c.get("id"))}
    seen: set[int] = set()
    known_images = set(ids)
    for place, entry in enumerate(content["annotations"]):
        fault = annotation_fault(
            entry, known_images, categories, seen, category_id, num_keypoints, scored
        )
        if fault:
            key = entry.get("id") if is_whole_number(entry.get("id")) else None
            bad.annotations[place] = Fault(name_annotation(entry, place), fault[1], fault[0], key)
    return bad


def find_bad_files(content: dict[str, Any], bad: BadEntries, image_root: Path) -> None:
    """Add the images whose files' first and last bytes are not in order; the pixels are not read.

    Args:
        content: Of `read_dataset`.
        bad: Of `find_bad_entries`; images in it are not looked at.
        image_root: Folder of the files.
    """
    places = [place for place in range(len(content["images"])) if place not in bad.images]

    def look(place: int) -> Fault | None:
        entry = content["images"][place]
        return header_fault(entry, image_root)

    with ThreadPoolExecutor(THREADS) as threads:
        for place, fault in zip(places, threads.map(look, places), strict=True):
            if fault:
                bad.images[place] = [fault]


def header_fault(entry: dict[str, Any], image_root: Path) -> Fault | None:
    """What the first and last bytes of an image's file tell against it, or None."""
    try:
        check_header(image_root / entry["file_name"], (entry["height"], entry["width"]))
    except DataError as error:
        return file_fault(entry["id"], entry["file_name"], error)
    return None


def file_fault(image_id: int, file_name: str, error: DataError) -> Fault:
    """The fault of an image's file."""
    return Fault(f"image id {image_id}", str(error), "image file", int(image_id), str(file_name))


def limit(
    source: str, what: str, faults: Sequence[Fault], bad: int, total: int, max_bad: float
) -> None:
    """The policy "skip": nothing if few enough are bad.

    Args:
        source: The file.
        what: "images", "annotations" or "boxes".
        faults: Of them, for the error.
        bad: How many are left out.
        total: How many there are.
        max_bad: Largest share that may be left out.

    Raises:
        DataError: More are bad.
    """
    if bad <= max_bad * total:
        return
    raise DataError.of_many(
        f"{source}: {bad} of {total} {what} ({bad / total:.2%}) are bad, over the limit "
        f"data.max_bad={max_bad:g}; mend them, or raise the limit",
        faults,
    )


def settle(
    content: dict[str, Any],
    bad: BadEntries,
    source: str,
    image_root: Path,
    *,
    on_bad: str,
    max_bad: float,
    whole_images: bool,
) -> frozenset[int] | None:
    """Raise what is bad, or decide which images are left out.

    Args:
        content: Of `read_dataset`.
        bad: Of `find_bad_entries`; with "skip" the bad image files are added.
        source: The file.
        image_root: Folder of the images.
        on_bad: "error" or "skip".
        max_bad: Largest share of images, and of annotations, that "skip" leaves out.
        whole_images: Leave out an image with a bad annotation too, as evaluation has to: without
            that person a right prediction would count as a false one.

    Returns:
        Ids of the images left out; None under "error", where nothing may be.

    Raises:
        DataError: Under "error" anything is bad, under "skip" too much.
        ValueError: Another policy.
    """
    if on_bad not in ("error", "skip"):
        raise ValueError(f"on_bad={on_bad!r}; choose 'error' or 'skip'")
    if on_bad == "error":
        raise_faults(source, bad.faults())
        return None
    logger.info("%s: looking at %d image files", source, len(content["images"]))
    find_bad_files(content, bad, image_root)
    entries = {"images": content["images"], "annotations": content["annotations"]}
    of_images = [fault for faults in bad.images.values() for fault in faults]
    of_annotations = list(bad.annotations.values())
    limit(source, "images", of_images, len(bad.images), len(entries["images"]), max_bad)
    count, total = len(bad.annotations), len(entries["annotations"])
    limit(source, "annotations", of_annotations, count, total, max_bad)
    ids = [entries["images"][place].get("id") for place in bad.images]
    if whole_images:
        ids += [entries["annotations"][place].get("image_id") for place in bad.annotations]
    return frozenset(key for key in ids if is_whole_number(key))


def without_images(content: dict[str, Any], left_out: frozenset[int]) -> dict[str, Any]:
    """A copy of an annotation file's content without these images and what is on them.

    Entries that belong to no image that is left are dropped with them.
    """

    def is_kept(key: Any) -> bool:
        return is_whole_number(key) and key not in left_out

    images = [entry for entry in content["images"] if is_kept(entry.get("id"))]
    ids = {entry["id"] for entry in images}
    annotations = [
        entry
        for entry in content["annotations"]
        if is_whole_number(entry.get("image_id")) and entry["image_id"] in ids
    ]
    return content | {"images": images, "annotations": annotations}
