"""Check before training starts that the image files exist and are complete.

Missing files are found by listing folders: in a network folder, one query per file is much slower,
and train2017 has 118,287 files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.data.images.names import find_name_forms, is_file, names_in
from keypoint.data.images.read import check_header
from keypoint.data.persons import Persons
from keypoint.data.report import Fault
from keypoint.errors import DataError

SHOWN = 5
REASON = "image file"
THREADS = 8  # they mostly wait for a disk or a network folder


def require_image_files(persons: Persons) -> None:
    """Check that the image of every record exists; other images are never read.

    Raises:
        DataError: Some are missing; the text has their number and the first names, or the reason
            why they are not found by their names.
    """
    names = persons.images.file_names.part(np.unique(persons.image_index)).tolist()
    root, source = persons.images.root, persons.report.source
    missing = missing_files(root, names)
    forms = find_name_forms(root, missing)
    if forms:
        raise DataError.of_many(f"{source}: {_not_found(root)}", forms)
    if missing:
        more = " .." if len(missing) > SHOWN else ""
        raise DataError(
            f"{root}: {len(missing)} of the {len(names)} image files for "
            f"{source} are missing: {', '.join(missing[:SHOWN])}{more}\n"
            "  check data.root and the image folder; data.on_bad=skip leaves out a few"
        )


def name_forms_once(faults: Sequence[Fault], root: Path, source: str) -> list[Fault]:
    """Return the faults of a file; images that are not found for one reason have one fault."""
    names = [fault.file for fault in faults if fault.file and fault.reason == REASON]
    forms = find_name_forms(root, missing_files(root, names))
    explained = {name for form in forms for name in form.files}
    once = [Fault("", f"{source}: {_not_found(root)}: {form}", REASON) for form in forms]
    return once + [f for f in faults if f.reason != REASON or f.file not in explained]


def _not_found(root: Path) -> str:
    return f"image files in {root} are not found by its file_names"


def missing_files(root: Path, names: Sequence[str]) -> list[str]:
    """Return the names below `root` that are missing, folders or broken links, in their order.

    Folders in `names` are separated by "/".
    """
    there: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, _, base = name.rpartition("/")
        if folder not in there:
            there[folder] = names_in(root / folder, os.DirEntry.is_file)
        # A file that is not listed may exist: in a folder that cannot be listed, or under a name
        # that the file system treats as equal (upper and lower case).
        if base not in there[folder] and not is_file(root / name):
            missing.append(name)
    return missing


def find_bad_files(
    images: Sequence[dict[str, Any]], known: Collection[int], root: Path
) -> dict[int, list[Fault]]:
    """Faults of the images' files by place; only their first and last bytes are read.

    Args:
        images: Entries of an annotation file.
        known: Places of entries that are bad already; their files are not read.
        root: Folder of the files.
    """
    places = [place for place in range(len(images)) if place not in known]
    with ThreadPoolExecutor(THREADS) as threads:
        faults = list(threads.map(lambda place: header_fault(images[place], root), places))
    found = {place: fault for place, fault in zip(places, faults, strict=True) if fault}
    names = [images[place]["file_name"] for place in found]
    for form in find_name_forms(root, missing_files(root, names)):
        for place, fault in found.items():
            if fault.file in form.files:
                text = f"{_not_found(root)}: {form.of(fault.file)}"
                found[place] = replace(fault, text=text)
    return {place: [fault] for place, fault in found.items()}


def header_fault(entry: dict[str, Any], root: Path) -> Fault | None:
    """The fault that the first and last bytes of an image's file show, or None."""
    try:
        check_header(root / entry["file_name"], (entry["height"], entry["width"]))
    except DataError as error:
        return file_fault(entry["id"], entry["file_name"], error)
    return None


def file_fault(image_id: int, file_name: str, error: DataError) -> Fault:
    """The fault of an image's file."""
    key = int(image_id)
    return Fault(f"image id {key}", str(error), REASON, key, str(file_name), key)
