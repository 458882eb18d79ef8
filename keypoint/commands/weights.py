"""List published weights by name: keypoint weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.checkpoint.zoo import local_file, weights_folder
from keypoint.commands.options.weights import parse
from keypoint.models.weights.by_name import (
    LICENCE,
    MEGABYTES,
    Published,
    published,
)


def main(argv: Sequence[str]) -> None:
    """Parse, look, print."""
    args = parse(argv)
    rows = [Listed(row, local_file(row)) for row in published()]
    if args.json:
        print(json.dumps([row.to_dict() for row in rows], indent=2))
        return
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(map(str.ljust, cells, widths)).rstrip())
    print(f"\nlicence of all: {LICENCE}\nfolder: {weights_folder()}")


HEADINGS = ("name", "input", "AP", "AR", "keypoints", "codec", "decoding", "MB", "downloaded")


@dataclass(frozen=True)
class Listed:
    """A row of the table, and its file if it is downloaded."""

    row: Published
    file: Path | None

    def cells(self) -> tuple[str, ...]:
        """Return texts by `HEADINGS`; until the download, the size is that of the network."""
        row = self.row
        height, width = row.input_size
        return (
            row.name,
            f"{height}x{width}",
            f"{100 * row.ap:.1f}",
            "-" if row.ar is None else f"{100 * row.ar:.1f}",
            row.skeleton,
            row.codec,
            "dark" if row.decoding == "codec" else row.decoding,
            f"{self.file.stat().st_size / 1e6:.0f}" if self.file else f"{MEGABYTES[row.network]}",
            "yes" if self.file else "-",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all details in types of JSON."""
        row = self.row
        return {
            **row.facts(),
            "sha256": row.sha256,
            **row.model_section(),
            "decoding": row.decoding,
            "skeleton": row.skeleton,
            "megabytes": MEGABYTES[row.network],
            "file": str(self.file) if self.file else None,
        }
