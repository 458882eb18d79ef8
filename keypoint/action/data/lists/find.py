"""Detect the format of a list or folder of videos by name and content, and find its classes."""

from __future__ import annotations

from pathlib import Path

from keypoint.action.data.lists.classes import classes_beside, read_lines
from keypoint.action.data.lists.entries import (
    Entry,
    Listing,
    Part,
    read_kinetics,
    read_something,
    read_text_list,
)
from keypoint.action.data.lists.folders import videos_by_class
from keypoint.action.data.lists.split_files import (
    is_hmdb,
    is_ucf,
    read_hmdb,
    read_ucf,
    split_files_in,
)
from keypoint.errors import DataError


def read_listing(source: Path, root: Path, part: Part) -> Listing:
    """Detect the format of a list or folder and read it; videos are not searched.

    Raises:
        DataError: It cannot be read.
    """
    if is_hmdb(source):
        return read_hmdb(source, root, part)
    if not source.exists():
        raise DataError(f"{source}: no such list or folder of videos; check data.root and the name")
    if is_ucf(source):
        return read_ucf(source, root)
    if source.is_dir():
        instead = split_files_in(source)
        if instead is not None:
            raise DataError(f"{source}: a folder of split files; name one split, such as {instead}")
        found, skipped, empty = videos_by_class(source)
        entries = [Entry(name, label, name) for label in found for name in found[label]]
        return Listing(source, source, entries, tuple(found), skipped, empty=empty)
    if source.suffix.lower() == ".json":
        return read_something(source, root)
    if "youtube_id" in next(iter(read_lines(source, "videos")), ""):
        return read_kinetics(source, root, part)
    return read_text_list(source, root)


def classes_of(listing: Listing) -> tuple[str, ...]:
    """Return the classes of a list: its own, those next to it, or its labels in alphabetical order.

    Raises:
        DataError: Labels are numbers without names.
    """
    if listing.classes is not None:
        return listing.classes
    beside = classes_beside(listing.source)
    if beside is not None:
        return beside
    labels = {entry.label for entry in listing.entries if entry.label is not None}
    names = sorted(label for label in labels if isinstance(label, str))
    if len(names) < len(labels):
        raise DataError(
            f"{listing.source}: labels are numbers, such as {min(labels - set(names), key=str)}, "
            "and no class names are given\n  give data.classes: a list of names or a file with one "
            "name per line, in the order of the numbers; or put classes.txt next to the list"
        )
    if not names:
        raise DataError(f"{listing.source}: no video has a label; give data.classes")
    return tuple(names)
