"""Labelled videos of one split: `load_videos` reads lists and folders in the usual formats.

Class order is never guessed: integer labels need names, from data.classes or a file next to the
list. Labels that are names are numbered in the given order, or alphabetically.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.action.data.lists.classes import given_classes
from keypoint.action.data.lists.entries import FORMS, Listing, Part
from keypoint.action.data.lists.find import classes_of, read_listing
from keypoint.action.data.lists.usable import MISSING, named_broken, usable_entries
from keypoint.data.images.names import find_name_forms
from keypoint.data.notes import Note, find
from keypoint.data.persons import FileNames
from keypoint.data.report import DataReport, Fault, raise_faults, raise_too_many
from keypoint.data.synthetic.mark import are_generated
from keypoint.errors import DataError
from keypoint.files import fingerprint


@dataclass(frozen=True)
class Videos:
    """Labelled videos of one split.

    Attributes:
        names: Names from the list, relative to `root`; a name seeds the video's random clips in
            testing.
        root: Folder of the videos.
        labels: (N,) int64, index of the class; -1 without a label.
        classes: Names in the order of the indices.
        spans: (N, 2) int64, first frame and end (exclusive); (0, -1) is the whole video.
        report: Counts of the list's entries.
        generated: Whether one of our generators wrote them.
        stated_frames: (N,) int64, number of frames according to the list, -1 if not given; None if
            it gives none.
        empty_folders: Folders without a video, which are no class of their own, in a folder per
            class.
    """

    names: tuple[str, ...]
    root: Path
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    spans: NDArray[np.int64]
    report: DataReport
    generated: bool = False
    stated_frames: NDArray[np.int64] | None = None
    empty_folders: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """Return the file of video `index`, or its folder of frames."""
        return self.root / self.names[index]

    def span(self, index: int) -> tuple[int, int]:
        """Return the first frame and the end of video `index`."""
        first, end = self.spans[index].tolist()
        return first, end

    def fingerprint(self) -> str:
        """Return a hash of videos, labels and classes in their order, independent of the folder."""
        names = FileNames.of(self.names).fixed_width(np.arange(len(self)))
        classes = FileNames.of(self.classes).fixed_width(np.arange(len(self.classes)))
        return fingerprint(names, self.labels, classes, self.spans)

    def counts(self) -> dict[str, int]:
        """Return the number of videos by class, including classes without a video."""
        numbers = np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def class_notes(self) -> list[Note]:
        """Return warnings about classes without a video, and folders that could be such classes."""
        empty = [count == 0 for count in self.counts().values()]
        notes = find("classes have no video", empty, self.classes)
        others = [name for name in self.empty_folders if name not in self.classes]
        folders = len({name.split("/")[0] for name in self.names}) + len(self.empty_folders)
        text = "class folders have no video: left out of the classes"
        return notes + Note.of(others, folders, text)


def load_videos(
    source: Path,
    root: Path,
    *,
    part: Part,
    classes: Sequence[str] | str | Path | None = None,
    on_bad: str = "error",
    max_bad: float = 0.001,
) -> Videos:
    """Read the videos of a split, and check that each exists; none is opened.

    `source` may be a list: `path label`, `folder frames label` (folders of frames), Kinetics' csv,
    UCF101's trainlist or testlist, all of HMDB51's files of a split (`splits/*_test_split1.txt`),
    Something-Something's JSON; or a folder with a folder of videos for each class.

    Args:
        source: The list or folder; a relative path starts at `root`.
        root: The folder to which names in a list are relative. If there is a folder for each class,
            names are relative to `source`.
        part: "train" or "val", for lists that contain both.
        classes: The class names, or a file of them with a path relative to `root`. For the
            validation part give the classes of the training part. None: those in the list or next
            to it.
        on_bad: "error", or "skip": leave out videos that are missing, are listed in
            ROOT/bad_videos.txt, or have a faulty entry, and report them.
        max_bad: The largest share of videos that "skip" may leave out.

    Raises:
        DataError: The list cannot be read, class names are missing, entries are faulty, or no video
            is left.
    """
    broken = named_broken(root) if on_bad == "skip" else frozenset()
    listing = read_listing(root / source, root, part)
    videos, faults = _of_listing(listing, root, part, classes, broken)
    if on_bad == "skip":
        total = len(videos) + len(faults)
        raise_too_many(videos.report.source, "videos", faults, len(faults), total, max_bad)
    else:
        _raise(videos, faults, listing.searched)
    if len(videos) == 0:
        raise DataError(f"{videos.report}; there is no usable video; a list is {FORMS}")
    notes = tuple(map(str, videos.class_notes()))
    return replace(videos, report=replace(videos.report, notes=notes))


def find_videos(
    source: Path,
    root: Path,
    *,
    part: Part,
    classes: Sequence[str] | str | Path | None = None,
    broken: Collection[Path] = (),
) -> tuple[Videos, list[Fault]]:
    """Return the videos as `load_videos`, and the faults of entries left out, without raising.

    Args:
        source: See `load_videos`.
        root: See `load_videos`.
        part: See `load_videos`.
        classes: See `load_videos`.
        broken: Files of videos to leave out.

    Raises:
        DataError: The list cannot be read, or class names are missing.
    """
    return _of_listing(read_listing(root / source, root, part), root, part, classes, broken)


def _of_listing(
    listing: Listing,
    root: Path,
    part: Part,
    classes: Sequence[str] | str | Path | None,
    broken: Collection[Path],
) -> tuple[Videos, list[Fault]]:
    """Return the videos of a list that was read, and the faults of entries left out."""
    total = len(listing.entries) + len(listing.faults) + sum(listing.skipped.values())
    names = given_classes(classes, root) or classes_of(listing)
    entries, faults = usable_entries(listing, names, part, broken)
    report = DataReport(
        str(listing.source),
        total,
        len(entries),
        dict(listing.skipped + Counter(fault.reason for fault in faults)),
        listed=[fault.to_dict() for fault in faults],
        what="videos",
    )
    numbers: dict[str | int | None, int] = {name: index for index, name in enumerate(names)}
    numbers |= {index: index for index in range(len(names))} | {None: -1}
    folders = {(listing.root / entry.name).parent for entry in entries}
    stated = np.array([entry.frames for entry in entries], np.int64)
    videos = Videos(
        names=tuple(entry.name for entry in entries),
        root=listing.root,
        labels=np.array([numbers[entry.label] for entry in entries], np.int64),
        classes=names,
        spans=np.array([entry.span for entry in entries], np.int64).reshape(-1, 2),
        report=report,
        generated=are_generated(folder / "any" for folder in folders),
        stated_frames=stated if (stated >= 0).any() else None,
        empty_folders=tuple(listing.empty),
    )
    return videos, faults


def _raise(videos: Videos, faults: Sequence[Fault], searched: str) -> None:
    """Raise an error for faults; for missing videos, with the probable cause.

    Args:
        videos: The videos that can be used.
        faults: The faults of the others.
        searched: See `Listing`.

    Raises:
        DataError: There are faults.
    """
    source, total = videos.report.source, len(videos) + len(faults)
    missing = [fault.file for fault in faults if fault.reason == MISSING and fault.file]
    forms = [] if searched else find_name_forms(videos.root, missing)
    if forms:
        raise DataError.of_many(
            f"{source}: its names do not match the videos in {videos.root}", forms
        )
    if missing and len(missing) == len(faults):
        shown = ", ".join(missing[:3]) + (" .." if len(missing) > 3 else "")
        raise DataError.of_many(
            f"{source}: {len(missing)} of {total} videos are missing in {videos.root}: {shown}"
            f"{f' ({searched})' if searched else ''}; check data.root, or leave out a few with "
            "data.on_bad=skip",
            [f"{name} is missing" for name in missing],
        )
    raise_faults(source, faults)
