"""Check of a split of videos: faults, which stop training, and warnings.

If fewer frames can be read than the file announces, the video is used up to there and reported.
This is common in MP4 files that were cut without re-encoding. A video without any readable frame is
a fault.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.action.data.lists.entries import Part
from keypoint.action.data.lists.usable import BAD_VIDEOS
from keypoint.action.data.looks import Look, look_at_videos
from keypoint.action.data.videos import Videos, find_videos
from keypoint.data.notes import Note, find
from keypoint.data.report import Fault
from keypoint.errors import DataError

UNREADABLE = "unreadable video"
NOT_SKIPPED = (UNREADABLE, "list")  # faults that stop training even with data.on_bad=skip
# UCF101: the clips of a group are cut from one video of one person.
GROUP = re.compile(r"(.+_g\d+)_c\d+(\.\w+)?")


@dataclass
class VideoCheck:
    """Result of checking one split.

    Attributes:
        source: The list or folder.
        faults: Faults that stop training or testing.
        warnings: Findings that are probably wrong.
        videos: Videos with valid entries in the list; None if the list cannot be read.
        looks: Results of reading each of `videos`.
        broken: Files without a readable frame.
        total: Number of the list's videos, including faulty entries.
    """

    source: Path
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)
    videos: Videos | None = None
    looks: list[Look] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    total: int = 0

    @property
    def is_readable(self) -> bool:
        """Return whether any video can be read."""
        return any(look.fault is None for look in self.looks)

    @property
    def bad_share(self) -> float:
        """Return the share of faulty entries; `data.max_bad` has to allow it."""
        return len(self.faults) / self.total if self.total else 0.0

    def stopping_faults(self, on_bad: str, max_bad: float) -> list[Fault]:
        """Return the faults that stop training under `data.on_bad` and `data.max_bad`.

        Unreadable videos stop it unless they are listed in the root's bad_videos.txt.
        """
        too_many = len(self.faults) > max_bad * self.total
        if on_bad == "error" or too_many:
            return self.faults
        return [fault for fault in self.faults if fault.reason in NOT_SKIPPED]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `data_report.json`."""
        counts: dict[str, Any] = {"source": str(self.source)}
        if self.videos is not None:
            counts = self.videos.report.to_dict()
            counts.pop("listed", None)
            counts["classes"] = self.videos.counts()
        return counts | {
            "frames": spread([look.frames for look in self.looks if look.fault is None]),
            "sizes": sizes(self.looks),
            "rates": rates(self.looks),
            "faults": [fault.to_dict() for fault in self.faults],
            "warnings": [note.to_dict() for note in self.warnings],
        }


def check_videos(
    source: Path,
    root: Path,
    *,
    part: Part,
    classes: Sequence[str] | str | Path | None = None,
    left_out: Collection[Path] = (),
    workers: int = 0,
    track: Callable[[int], Any] | None = None,
) -> VideoCheck:
    """Check a list, and read every video in it.

    Args:
        source: See `load_videos`.
        root: See `load_videos`.
        part: See `load_videos`.
        classes: See `load_videos`.
        left_out: Files of broken videos to leave out; they are not read.
        workers: Number of processes that read videos; 0 for the main process.
        track: Takes the number of videos and returns a context manager with `update()`.
    """
    check = VideoCheck(root / source)
    try:
        videos, faults = find_videos(source, root, part=part, classes=classes, broken=left_out)
    except DataError as error:
        check.faults.append(Fault("", str(error), "list"))
        return check
    check.videos, check.faults, check.total = videos, faults, len(videos) + len(faults)
    files = [videos.path(row) for row in range(len(videos))]
    with track(len(files)) if track else nullcontext() as bar:
        for row, look in enumerate(look_at_videos(files, workers)):
            check.looks.append(look)
            fault = look.fault or _beyond(look, videos.span(row))
            if fault is not None:
                name, fault = videos.names[row], fault.removeprefix(f"{files[row]}: ")
                check.faults.append(Fault(name, fault, UNREADABLE, file=name))
                check.broken.append(files[row])
            if bar is not None:
                bar.update()
    readable = len(videos) - len(check.broken)
    skipped = dict(Counter(videos.report.skipped) + Counter({UNREADABLE: len(check.broken)}))
    check.videos = replace(videos, report=replace(videos.report, used=readable, skipped=skipped))
    check.warnings += look_notes(videos, check.looks)
    listed = sorted(left_out)
    check.warnings += find(
        f"lines of {BAD_VIDEOS} are not a file: names are relative to {root}",
        [not path.exists() for path in listed],
        listed,
    )
    check.warnings += videos.class_notes()
    return check


def _beyond(look: Look, span: tuple[int, int]) -> str | None:
    """Return the fault of a span that exceeds a video, or None."""
    if span[0] < look.frames:
        return None
    return (
        f"the list names frames {span[0]} to {span[1]}, but it has {look.frames}; correct the list"
    )


def look_notes(videos: Videos, looks: Sequence[Look]) -> list[Note]:
    """Return warnings about videos that can be read."""
    usable = [look.fault is None for look in looks]

    def found(text: str, values: Sequence[Any]) -> list[Note]:
        """Return the warning about all videos with a value, which is shown after the name."""
        named = [f"{name}: {value}" for name, value in zip(videos.names, values, strict=True)]
        return find(text, [bool(v) and u for v, u in zip(values, usable, strict=True)], named)

    notes = found(
        "videos have fewer frames than the file announces: the existing frames are used",
        [look.shortfall for look in looks],
    )
    notes += found(
        "videos have frames or times that are probably wrong",
        ["; ".join(look.notes) for look in looks],
    )
    notes += found(
        "videos have damaged frames according to the decoder: these frames are used",
        [look.complaint for look in looks],
    )
    notes += found(
        "folders of frames have gaps in their numbers: missing frames are not counted",
        [look.gaps for look in looks],
    )
    if videos.stated_frames is not None:
        stated = videos.stated_frames.tolist()
        notes += found(
            "videos have another number of frames than listed: the list's number is ignored",
            [
                f"{say} in the list, {look.frames} in the video"
                if say not in (-1, look.frames)
                else ""
                for look, say in zip(looks, stated, strict=True)
            ],
        )
    copies = Counter(look.digest for look in looks if look.digest is not None)
    text = "videos are copies of another, byte for byte"
    notes += find(text, [copies[look.digest or ""] > 1 for look in looks], videos.names)
    keys = [(n, *span) for n, span in zip(videos.names, videos.spans.tolist(), strict=True)]
    times = Counter(keys)
    return notes + find("entries repeat another", [times[key] > 1 for key in keys], videos.names)


def overlap_notes(train: VideoCheck, val: VideoCheck) -> list[Note]:
    """Return warnings about videos that validation and training split have in common."""
    if train.videos is None or val.videos is None:
        return []
    names = val.videos.names
    files = {train.videos.path(row) for row in range(len(train.videos))}
    seen = {look.digest for look in train.looks if look.digest}
    same = [
        val.videos.path(row) in files or look.digest in seen for row, look in enumerate(val.looks)
    ]
    text = "validation videos are also training videos, by file or content: accuracy is too high"
    found = find(text, same, names)
    groups = {group_of(name) for name in train.videos.names} - {None}
    divided = [group_of(name) in groups for name in names]
    text = "validation videos are of a group (gXX) that is also in training, so cut from the "
    text += "same video: accuracy is far too high; put each group into one split"
    return found + find(text, divided, names)


def group_of(name: str) -> str | None:
    """Return the group of a video named as in UCF101, `v_Class_g01_c02.avi`, or None."""
    found = GROUP.fullmatch(name.rpartition("/")[2])
    return found[1] if found else None


def short_notes(check: VideoCheck, frames: int, stride: int, short: str) -> list[Note]:
    """Return the warning about videos that are shorter than a clip.

    Args:
        check: Check of a split.
        frames: See `clips.frames`.
        stride: See `clips.stride`.
        short: See `clips.short`.
    """
    if check.videos is None:
        return []
    span = (frames - 1) * stride + 1
    why = f"clips.frames={frames}, clips.stride={stride}"
    does = "starts over" if short == "loop" else "repeats the last frame"
    text = f"videos are shorter than a clip of {span} frames ({why}), which {does}: "
    text += "give clips.sampling=segments" + (" or a smaller stride" if stride > 1 else "")
    flags = [look.fault is None and look.frames < span for look in check.looks]
    pairs = zip(check.videos.names, check.looks, strict=True)
    names = [f"{name}: {look.frames}" for name, look in pairs]
    return find(text, flags, names)


def spread(numbers: Sequence[int]) -> dict[str, int]:
    """Return minimum, median, maximum and sum of numbers."""
    if not numbers:
        return {}
    median = int(np.median(numbers))
    return {"min": min(numbers), "median": median, "max": max(numbers), "total": sum(numbers)}


def sizes(looks: Sequence[Look]) -> dict[str, int]:
    """Return the number of videos by size, `width x height`, most frequent first."""
    counts = Counter(look.image_size for look in looks if look.fault is None)
    return {f"{width} x {height}": n for (height, width), n in counts.most_common()}


def rates(looks: Sequence[Look]) -> dict[str, int]:
    """Return the number of videos by frame rate, most frequent first."""
    counts = Counter(f"{look.rate:.4g}" for look in looks if look.rate and look.fault is None)
    return dict(counts.most_common())
