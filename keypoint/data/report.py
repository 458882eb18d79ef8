"""What became of every entry of a file: used, or skipped for a reason that is counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.data.json_file import read_json, write_json


@dataclass(frozen=True)
class DataReport:
    """What became of every entry of a file.

    Attributes:
        source: The file.
        total: Entries in it.
        used: Entries that became records.
        skipped: Count by reason; total = used + sum of these.
    """

    source: str
    total: int
    used: int
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        assert self.total == self.used + sum(self.skipped.values()), (
            f"{self}: entries lost without a reason"
        )

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items()) or "none"
        counts = f"{self.used} used + {self.total - self.used} skipped ({reasons})"
        return f"{self.source}: {self.total} persons = {counts}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        return {
            "source": self.source,
            "total": self.total,
            "used": self.used,
            "skipped": dict(self.skipped),
        }


def write_reports(folder: Path, **reports: DataReport) -> None:
    """Write reports by name into `data_report.json`; those of other names that stand there stay."""
    file = folder / "data_report.json"
    before = read_json(file, "data report") if file.is_file() else {}
    write_json(file, before | {name: report.to_dict() for name, report in reports.items()})
