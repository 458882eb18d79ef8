"""Are the files of the images there? Asked before training, not when the first one is missed.

By listing folders: a network folder answers one question in the time of many listed names, and
train2017 has 118,287.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keypoint.data.persons import Persons
from keypoint.errors import DataError

SHOWN = 5


def require_image_files(persons: Persons) -> None:
    """Ask for the image of every record; images with nobody on them are never read.

    Args:
        persons: Ground truth or boxes.

    Raises:
        DataError: Some are not there; says how many, and the first ones.
    """
    names = persons.images.file_names[np.unique(persons.image_index)].tolist()
    missing = missing_files(persons.images.root, names)
    if missing:
        more = " .." if len(missing) > SHOWN else ""
        raise DataError(
            f"{persons.images.root}: {len(missing)} of the {len(names)} image files for "
            f"{persons.report.source} are missing: {', '.join(missing[:SHOWN])}{more}\n"
            "  check data.root and the image folder; data.on_bad=skip leaves out a few"
        )


def missing_files(root: Path, names: Sequence[str]) -> list[str]:
    """The names that are no files.

    Args:
        root: Folder that they are relative to.
        names: With "/" between folders.

    Returns:
        Those that are not there, folders, and links to nowhere, in their order.
    """
    there: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, _, base = name.rpartition("/")
        if folder not in there:
            there[folder] = _files_in(root / folder)
        # What is not listed may be there: in a folder that cannot be listed, or under the same
        # name in other letters, where the file system takes the two for one.
        if base not in there[folder] and not (root / name).is_file():
            missing.append(name)
    return missing


def _files_in(folder: Path) -> set[str]:
    """Names of the files in a folder, links to files included; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()
