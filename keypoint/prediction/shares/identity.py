"""Identity of a run in a few values, so that shares of different runs are never merged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keypoint import __version__
from keypoint.errors import DataError
from keypoint.files import FINGERPRINT_LETTERS, sha256_of
from keypoint.prediction.inputs.find import Input

Identity = dict[str, Any]


def identify(inputs: Sequence[Input], sizes: Sequence[int], options: Mapping[str, Any]) -> Identity:
    """Describe a run.

    Args:
        inputs: Inputs in their order.
        sizes: Bytes of each file.
        options: Options that change the results. Paths are replaced by their file's content.

    Returns:
        Plain values by name.

    Raises:
        DataError: A file cannot be read.
    """
    hashed = hashlib.sha256()
    for one, size in zip(inputs, sizes, strict=True):
        changed = one.path.stat().st_mtime_ns if one.path.exists() else 0
        name = str(one.path).encode("utf-8", "surrogateescape")
        hashed.update(name + f"\0{size} {changed} {one.image_id}\n".encode())
    listed = (
        f"{len(inputs)} files of {sum(sizes)} bytes, {hashed.hexdigest()[:FINGERPRINT_LETTERS]}"
    )
    described = {
        name: _content(value) if isinstance(value, Path) else value
        for name, value in options.items()
    }
    return {"version": __version__, "inputs": listed, **described}


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """Return names and values in which two runs differ, for an error; None if they are equal."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if not names:
        return None
    return "; ".join(f"{name}: {theirs.get(name)} there, {ours.get(name)} here" for name in names)


def file_sizes(inputs: Sequence[Input]) -> list[int]:
    """Return the bytes of each file; 0 if it was removed since it was found."""
    return [one.path.stat().st_size if one.path.exists() else 0 for one in inputs]


def _content(path: Path) -> str:
    try:
        return f"content {sha256_of(path)[:FINGERPRINT_LETTERS]}"
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a file") from None
