"""Faults of a file's entries, and the counts of all entries: used, or skipped for a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keypoint.data.notes import NAMED, in_number, joined
from keypoint.errors import DataError
from keypoint.files import read_json, write_json

# Numbers and quoted values, which vary between the texts of one kind of fault.
VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\bnan\b|-?\binf\b")


@dataclass(frozen=True)
class Fault:
    """One fault of an entry of a file, of an image, or of a file as a whole.

    Attributes:
        name: Name of the entry in messages: `annotation id 5`; empty for a file as a whole.
        text: What was given, what is allowed, what to do.
        reason: The faulty part, for counts: "keypoints", "bbox", "image file".
        id: The entry's id, if it has one that is a whole number.
        file: The image's file, if the fault is of an image.
        image_id: COCO id of the image that is affected, if it is known.
    """

    name: str
    text: str
    reason: str
    id: int | None = None
    file: str | None = None
    image_id: int | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.name else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        known = {"id": self.id, "file": self.file}
        given = {key: value for key, value in known.items() if value is not None}
        return {"name": self.name, **given, "reason": self.reason, "text": self.text}


def raise_faults(source: str, faults: Sequence[Fault | str]) -> None:
    """Raise one error for all faults of a file; do nothing if there are none.

    Raises:
        DataError: Its text has the first fault and their number; its `faults` has all of them.
    """
    if faults:
        what = "this entry" if len(faults) == 1 else "these entries"
        head = f"{source}: {in_number(len(faults), 'faults')}; fix or remove {what}"
        raise DataError.of_many(head, faults, _alike(faults))


def group_faults(faults: Sequence[Fault | str]) -> list[tuple[int, str]]:
    """Return lines of faults in order; equal ones are joined into one line with their number.

    Texts that differ only in numbers, quoted values and the image's file are joined too; the line
    contains the first text and the names of others.
    """
    return [(len(kind), _line(kind)) for kind in _kinds(faults)]


def fault_lines(faults: Sequence[Fault], stopping: Sequence[Fault], most: int) -> list[str]:
    """Return indented lines of grouped faults: FAULT, or "skipped" for those that stop nothing.

    Args:
        faults: All faults.
        stopping: Those of them that stop training or testing.
        most: Number of lines of each of both; the other faults are counted.
    """
    lines = []
    stop = set(stopping)
    skipped = [fault for fault in faults if fault not in stop]
    for word, kind in (("FAULT", stopping), ("skipped", skipped)):
        groups = group_faults(kind)
        lines += [f"  {word:7}  {line}" for _, line in groups[:most]]
        if len(groups) > most:
            hidden = sum(count for count, _ in groups[most:])
            lines.append(f"  and {in_number(hidden, 'more faults')} of other kinds")
    return lines


def _kinds(faults: Sequence[Fault | str]) -> list[list[Fault]]:
    kinds: dict[tuple[str, str], list[Fault]] = {}
    for given in faults:
        name, mark, text = str(given).partition(": ")
        of_text = Fault(name, text, "") if mark else Fault("", name, "")
        fault = given if isinstance(given, Fault) else of_text
        text = fault.text.replace(fault.file, "#") if fault.file else fault.text
        kinds.setdefault((fault.reason, VALUES.sub("#", text)), []).append(fault)
    return list(kinds.values())


def _line(faults: Sequence[Fault]) -> str:
    """Return one line for faults of one kind."""
    first, count = faults[0], len(faults)
    if count == 1:
        return str(first)
    if any(fault.text != first.text for fault in faults):
        others = _names(faults[1:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        return f"{count} like this: {first}" + (f"; also {others}{more}" if others else "")
    names = _names(faults[:NAMED])
    example = f" (for example {names})" if count > NAMED else f" ({names})"
    return f"{count} times: {first.text}{example if names else ''}"


def _alike(faults: Sequence[Fault | str]) -> str:
    """Say how many faults are of the first one's kind, after `and 29 more`."""
    kind = _kinds(faults)[0][1:]
    if not kind:
        return ""
    names = _names(kind[: NAMED - 1])
    example = f", such as {names}" if names else ""
    if len(kind) == len(faults) - 1:
        return f" like it{example}"
    return f" ({len(kind)} like it{example})"


def _names(faults: Sequence[Fault]) -> str:
    return joined([fault.name for fault in faults if fault.name])


def raise_too_many(
    source: str, what: str, faults: Sequence[Fault], bad: int, total: int, max_bad: float
) -> None:
    """Raise if `bad` of `total` entries are more than the share `max_bad`.

    Args:
        source: The file.
        what: "images", "annotations" or "boxes".
        faults: Faults of these entries, for the error.
        bad: Number of bad entries.
        total: Number of all entries.
        max_bad: Largest share that `data.on_bad=skip` may leave out.

    Raises:
        DataError: The share is larger.
    """
    if bad > max_bad * total:
        raise DataError.of_many(
            f"{source}: {bad} of {total} {what} ({bad / total:.2%}) {'is' if bad == 1 else 'are'} "
            f"bad, over the limit data.max_bad={max_bad:g}; fix them, or raise the limit",
            faults,
            _alike(faults),
        )


@dataclass(frozen=True)
class ImageCounts:
    """Counts of a file's images: total = used + sum of skipped."""

    total: int
    used: int
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: images lost without a reason"
        )


@dataclass(frozen=True)
class DataReport:
    """Counts of a file's entries: total = used + sum of skipped.

    Attributes:
        source: The file.
        total: Entries in it.
        used: Entries that became records.
        skipped: Count by reason.
        images: The same counts of its images, if they are known.
        listed: Entries left out as faulty, each with name, reason and text.
        notes: Notes on values that were corrected, and on values that are probably wrong but used.
        what: Plural noun for the entries.
    """

    source: str
    total: int
    used: int
    skipped: dict[str, int]
    images: ImageCounts | None = None
    listed: Sequence[dict[str, Any]] = field(default=(), compare=False)
    notes: Sequence[str] = field(default=(), compare=False)
    what: str = "persons"

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: entries lost without a reason"
        )

    def __str__(self) -> str:
        entries = in_words(self.what, self.total, self.used, self.skipped)
        images = self.images
        of_images = in_words("images", images.total, images.used, images.skipped) if images else ""
        return f"{self.source}: {entries}" + (f"; {of_images}" if images else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        content: dict[str, Any] = {
            "source": self.source,
            "total": self.total,
            "used": self.used,
            "skipped": dict(self.skipped),
        }
        if self.images:
            content["images"] = asdict(self.images)
        if self.listed:
            content["listed"] = list(self.listed)
        if self.notes:
            content["notes"] = list(self.notes)
        return content


def in_words(what: str, total: int, used: int, skipped: dict[str, int]) -> str:
    """`10 persons = 9 used + 1 skipped (1 crowd)`."""
    if not total:
        return f"0 {what}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "none"
    what = what.removesuffix("s") if total == 1 else what
    return f"{total} {what} = {used} used + {total - used} skipped ({reasons})"


def write_reports(folder: Path, **reports: DataReport) -> None:
    """Write reports by name into `data_report.json`; reports of other names are kept.

    Raises:
        DataError: The file exists and is not a report.
    """
    update_report_file(folder, {name: report.to_dict() for name, report in reports.items()})


def update_report_file(folder: Path, content: dict[str, Any]) -> Path:
    """`write_reports` of plain values; returns the file."""
    file = folder / "data_report.json"
    before = read_json(file, "data report") if file.is_file() else {}
    if not isinstance(before, dict):
        raise DataError(f"{file}: contains a {type(before).__name__}, not a data report; remove it")
    write_json(file, before | content)
    return file
