#!/usr/bin/env python
"""Fill docs/explanation/evidence.md from the runs of `make evidence`: tools/evidence/write.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import fields
import numbers_of_sweeps
import pictures

from keypoint.commands import cli
from keypoint.errors import ConfigError

RUNS = Path("output/evidence")
REPOSITORY = Path(__file__).parents[2]
SWEEPS = REPOSITORY / "configs" / "sweeps"
DOCUMENT = REPOSITORY / "docs" / "explanation" / "evidence.md"
EPILOG = """examples:
  make evidence
      all training runs and tests, then this command
  tools/evidence/write.py --document /tmp/evidence.md
      another document; tables are between <!-- NAME --> and <!-- end -->

Reads output/evidence (keypoint sweep field.yaml, places.yaml and echo_blocks.yaml), measures the
receptive fields, and writes tables into the document and pictures into images/ next to it.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, measure, write."""
    parser = cli.parser("tools/evidence/write.py", "Write tables and pictures.", EPILOG)
    folder = {"type": Path, "metavar": "DIR", "help": "default: %(default)s"}
    parser.add_argument("--runs", default=RUNS, **folder)
    parser.add_argument("--sweeps", default=SWEEPS, **folder)
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the page to write into")
    args = parser.parse_args(argv)
    text = args.document.read_text(encoding="utf-8")

    sweeps, runs = args.sweeps, args.runs
    measured = fields.measure(sweeps, runs)
    tables = {
        "field": numbers_of_sweeps.persons(sweeps / "field.yaml", runs / "field"),
        "places": numbers_of_sweeps.persons(sweeps / "places.yaml", runs / "places"),
        "echo": numbers_of_sweeps.clips(sweeps / "echo_blocks.yaml", runs / "echo"),
        "receptive fields": fields.to_markdown(measured),
    }
    images = args.document.parent / "images"
    images.mkdir(exist_ok=True)
    drawn = {
        "evidence_fields.jpg": fields.sheet(measured),
        "evidence_field_runs.jpg": pictures.read(runs / "field" / "runs.png"),
        **pictures.seen(runs / "seen"),
    }
    for name, picture in drawn.items():
        cv2.imwrite(str(images / name), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    args.document.write_text(filled(text, tables), encoding="utf-8")
    print(f"written: {args.document}, {', '.join(str(images / name) for name in drawn)}")


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The document with each table between its marks.

    Raises:
        ConfigError: A table has no place, or more than one.
    """
    for name, table in tables.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end or mark in rest:
            raise ConfigError(f"the document needs one place <!-- {name} --> .. <!-- end -->")
        text = f"{before}{mark}{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
