"""Readers for the published formats of video lists.

Files are not searched here; names are relative to the folder of the videos. The frame counts of a
list are only compared later, because wrong counts are common (folders of frames that start at 1).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from keypoint.action.data.lists.classes import read_lines
from keypoint.action.data.lists.folders import StemIndex
from keypoint.data.report import Fault
from keypoint.errors import DataError
from keypoint.files import read_json

Part = Literal["train", "val"]
# Names of splits in lists.
SPLIT_WORDS = {"train": ("train", "training"), "val": ("val", "validate", "validation")}
FORMS = (
    "`path label`, Kinetics' csv, UCF101's or HMDB51's split files, or Something-Something's JSON"
)


@dataclass(frozen=True)
class Entry:
    """One video of a list.

    Attributes:
        name: Relative to the folder of the videos.
        label: A class name or its index; None without a label.
        place: Its position in the list, for messages: "line 7".
        span: First frame, and end (exclusive; -1 for the video's).
        frames: Number of frames according to the list; -1 if it is not given.
    """

    name: str
    label: str | int | None
    place: str
    span: tuple[int, int] = (0, -1)
    frames: int = -1


@dataclass
class Listing:
    """The content of a list.

    Attributes:
        source: The list.
        root: The folder to which names are relative.
        entries: The videos.
        classes: Classes in the order of the list; None if it contains no order.
        skipped: Counts of other entries, by reason.
        faults: Entries that cannot be read; they are not in `entries`.
        empty: Folders of classes without a video.
        searched: Places below `root` that were searched for videos, if the list gives no paths;
            for errors.
    """

    source: Path
    root: Path
    entries: list[Entry] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    empty: Sequence[str] = ()
    searched: str = ""

    def refuse(self, place: str, text: str) -> None:
        """Add a fault of an entry."""
        self.faults.append(Fault(f"{self.source.name} {place}", text, "list entry"))


def read_text_list(source: Path, root: Path) -> Listing:
    """Read `path label`, or `folder frames label`, or `path first frames label`.

    Columns are separated by spaces, tabs or one comma; a path may contain spaces. A label is a
    class index from 0, or a class name without a space. A longer form, as in mmaction2, is assumed
    if all lines end in that many numbers. `frames` is only compared with the video; `first` starts
    at 0.

    Raises:
        DataError: It is not a text file, or has no entry.
    """
    listing = Listing(source, root)
    lines = [
        (f"line {number}", line.strip())
        for number, line in enumerate(read_lines(source, "videos"), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise DataError(f"{source}: has no video; a list is {FORMS}")
    rows = [(place, _columns(line)) for place, line in lines]
    numbers = min(_trailing_numbers(words) for _, words in rows)  # columns of numbers of all lines
    for place, words in rows:
        if len(words) < 2:
            listing.refuse(place, f"{words[0]!r} has no label; write `path label`")
            continue
        *path, label = words
        span, frames = (0, -1), -1
        if numbers >= 3:
            *path, first, count = path
            span = int(first), int(first) + int(count)
        elif numbers == 2:
            *path, count = path
            frames = int(count)
        name = " ".join(path).replace("\\", "/")
        listing.entries.append(
            Entry(name, int(label) if label.isdecimal() else label, place, span, frames)
        )
    return listing


def _columns(line: str) -> list[str]:
    words = line.split()
    if len(words) == 1 and "," in line:
        return [word.strip() for word in line.rsplit(",", 1)]
    return [word.rstrip(",") for word in words]


def _trailing_numbers(words: list[str]) -> int:
    """Return how many of the last three columns of a line, after a path, are whole numbers."""
    count = 0
    while count < min(3, len(words) - 1) and words[-1 - count].isdecimal():
        count += 1
    return count


def read_kinetics(source: Path, root: Path, part: Part) -> Listing:
    """Read Kinetics' csv: label, youtube_id, time_start, time_end, split; tests have no label.

    Videos are named id_SSSSSS_EEEEEE with any suffix, in a folder of the class or of the split, in
    a folder of the class within that of the split, or in the root. If the csv has several splits,
    only that of `part` is used.

    Raises:
        DataError: A column is missing.
    """
    listing = Listing(source, root)
    rows = list(csv.DictReader(read_lines(source, "videos")))
    columns = set(rows[0]) if rows else set()
    missing = {"youtube_id", "time_start", "time_end"} - columns
    if missing:
        raise DataError(
            f"{source}: the csv has no {', '.join(sorted(missing))}; Kinetics' header is "
            "label,youtube_id,time_start,time_end,split"
        )
    splits = {str(row.get("split") or "") for row in rows}
    folders = SPLIT_WORDS[part]
    if len(splits) == 1:  # which may be the other one
        folders = next((words for words in SPLIT_WORDS.values() if splits & set(words)), folders)
    files = StemIndex(root, folders)
    listing.searched = f"searched: NAME.*, FOLDER/NAME.*, {folders[0]}/CLASS/NAME.*"
    for number, row in enumerate(rows, 2):
        if len(splits) > 1 and row.get("split") not in SPLIT_WORDS[part]:
            listing.skipped["of another split"] += 1
            continue
        place, label = f"line {number}", row.get("label") or None
        try:
            times = [round(float(row[key])) for key in ("time_start", "time_end")]
        except (TypeError, ValueError):
            listing.refuse(place, f"{row['youtube_id']!r}: time_start and time_end must be seconds")
            continue
        stem = f"{row['youtube_id']}_{times[0]:06d}_{times[1]:06d}"
        name = files.find(stem, label) or f"{stem}.mp4"
        listing.entries.append(Entry(name, label, place))
    return listing


def read_something(source: Path, root: Path) -> Listing:
    """Read Something-Something V2's JSON: a list of id and template.

    The class is the template without brackets. Videos are named by id with any suffix, in the root
    or in one folder. A test set has no template.

    Raises:
        DataError: The JSON has another structure.
    """
    listing = Listing(source, root, searched="searched: NAME.*, FOLDER/NAME.*")
    content = read_json(source, "videos")
    if not isinstance(content, list) or not all(isinstance(e, dict) and "id" in e for e in content):
        raise DataError(f"{source}: not a JSON list of videos with id and template; use {FORMS}")
    files = StemIndex(root)
    for number, entry in enumerate(content):
        video, label = str(entry["id"]), _template(entry)
        name = files.find(video, label) or f"{video}.webm"
        listing.entries.append(Entry(name, label, f"entry {number}"))
    return listing


def _template(entry: dict[str, Any]) -> str | None:
    template = entry.get("template")
    return template.replace("[", "").replace("]", "") if isinstance(template, str) else None
