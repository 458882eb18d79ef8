"""What became of every entry of a file: used, or skipped for a reason that is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keypoint.files import read_json, write_json


@dataclass(frozen=True)
class ImageCounts:
    """What became of every image of a file: total = used + sum of skipped."""

    total: int
    used: int
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: images lost without a reason"
        )


@dataclass(frozen=True)
class DataReport:
    """What became of every entry of a file.

    Attributes:
        source: The file.
        total: Entries in it.
        used: Entries that became records.
        skipped: Count by reason; total = used + sum of these.
        images: The same counts of its images, where they are known: total, used, skipped.
        listed: Entries left out as faulty, each with name, reason and text.
    """

    source: str
    total: int
    used: int
    skipped: dict[str, int]
    images: ImageCounts | None = None
    listed: Sequence[dict[str, Any]] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: entries lost without a reason"
        )

    def __str__(self) -> str:
        persons = in_words("persons", self.total, self.used, self.skipped)
        images = self.images
        of_images = in_words("images", images.total, images.used, images.skipped) if images else ""
        return f"{self.source}: {persons}" + (f"; {of_images}" if images else "")

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
        return content


def in_words(what: str, total: int, used: int, skipped: dict[str, int]) -> str:
    """`10 persons = 9 used + 1 skipped (1 crowd)`."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "none"
    return f"{total} {what} = {used} used + {total - used} skipped ({reasons})"


def write_reports(folder: Path, **reports: DataReport) -> None:
    """Write reports by name into `data_report.json`; those of other names that stand there stay."""
    file = folder / "data_report.json"
    before = read_json(file, "data report") if file.is_file() else {}
    write_json(file, before | {name: report.to_dict() for name, report in reports.items()})
