"""Find the usable entries of a list and the faults of the others. No video is opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from keypoint.action.data.lists.classes import read_lines
from keypoint.action.data.lists.entries import Entry, Listing, Part
from keypoint.data.images.names import names_in
from keypoint.data.report import Fault

BAD_VIDEOS = (
    "bad_videos.txt"  # in the root; check-data writes it to the output folder, and users copy it
)
MISSING, BROKEN, LABEL = "missing video", "broken video", "label"


def usable_entries(
    listing: Listing, classes: tuple[str, ...], part: Part, broken: Collection[Path]
) -> tuple[list[Entry], list[Fault]]:
    """Return the usable entries, and the faults of the others.

    Args:
        listing: A list of any format.
        classes: Names of the classes.
        part: "train", whose entries need labels, or "val".
        broken: Files of videos to leave out.
    """
    known, faults, usable = set(classes), list(listing.faults), []
    missing = dict.fromkeys(missing_videos(listing.root, [e.name for e in listing.entries]))
    as_frames = [name.rpartition(".")[0] for name in missing]  # a.mp4 as a folder a of frames
    folders = set(as_frames) - {"", *missing_videos(listing.root, as_frames)}
    for entry in listing.entries:
        if entry.name in missing and (folder := entry.name.rpartition(".")[0]) in folders:
            entry = replace(entry, name=folder)
        label, text, reason = entry.label, "", LABEL
        if isinstance(label, str) and label not in known:
            text = f"class {label!r} is not one of the {len(classes)} classes ({classes[0]}, ..)"
        elif isinstance(label, int) and label >= len(classes):
            text = f"label {label} is not in 0..{len(classes) - 1}, the numbers of the classes; "
            text += "if the numbers start at 1, write class names instead"
        elif label is None and part == "train":
            text = "has no label; training needs one"
        elif entry.name in missing:
            text, reason = f"{listing.root / entry.name}: no such file", MISSING
            text += f"; {listing.searched}" if listing.searched else ""
        elif broken and listing.root / entry.name in broken:
            text, reason = f"{listing.root / entry.name} is listed in {BAD_VIDEOS}", BROKEN
        if text:
            place = f"{listing.source.name} {entry.place}"
            faults.append(Fault(place, text, reason, file=entry.name))
        else:
            usable.append(entry)
    return usable, faults


def missing_videos(root: Path, names: Sequence[str]) -> list[str]:
    """Return the names below `root` that do not exist, by listing each folder once."""
    there: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, _, base = name.rpartition("/")
        if folder not in there:
            there[folder] = names_in(root / folder)
        if base not in there[folder] and not (root / name).exists():
            missing.append(name)
    return missing


def named_broken(root: Path) -> frozenset[Path]:
    """Return the files listed in ROOT/bad_videos.txt, one per line, absolute or below `root`."""
    file = root / BAD_VIDEOS
    lines = read_lines(file, "broken videos") if file.is_file() else []
    return frozenset(root / line.strip() for line in lines if line.strip())
