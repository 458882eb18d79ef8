"""The mark of generated data: in an annotation file's `info`, and a file in the set's folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DEMO_MARKER, SIGN_MARKER = "demo_set.json", "sign_set.json"
ECHO_MARKER = "echo_set.json"  # of keypoint.action.echo
MARKERS = (DEMO_MARKER, SIGN_MARKER, ECHO_MARKER)
DESCRIPTION = re.compile(r"generated (persons|signs), seed \d+")
DEPTH = 4  # folders from a file up to that of its set


def generated_info(what: str, seed: int) -> dict[str, Any]:
    """The `info` of a generated annotation file; `what` is "persons" or "signs"."""
    return {"description": f"generated {what}, seed {seed}", "version": "1.0", "year": 2017}


def is_generated(content: dict[str, Any]) -> bool:
    """Whether an annotation file's content was written by this folder's generators."""
    info = content.get("info")
    text = info.get("description") if isinstance(info, dict) else None
    return isinstance(text, str) and bool(
        re.fullmatch(r"generated (persons|signs), seed \d+", text)
    )


def are_generated(files: Iterable[Path]) -> bool:
    """Return whether all images or videos are in the folder of a generated set."""
    return all(map(_is_marked, {path.resolve().parent for path in files}))


def _is_marked(folder: Path) -> bool:
    """Return whether this folder or one above it is that of a generated set."""
    above = [folder, *folder.parents][:DEPTH]
    return any((place / name).is_file() for place in above for name in MARKERS)
