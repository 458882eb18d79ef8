"""Write files atomically; read JSON files strictly: annotations, boxes, results, metrics.

Python's own reader silently keeps the last of two equal keys, and its error for an empty or
partly copied file names neither the file nor a remedy. Numbers are not checked here: `NaN` is
accepted, because only the caller can say which entry it belongs to.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError, KeypointError, NumericsError, OutputError
from keypoint.files.json_text import DoubtError, no_collection, parse

FINGERPRINT_LETTERS = 16  # 64 bits: enough to detect mistakes, not attacks
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)  # file systems that cannot sync a folder


def read_json(path: Path, what: str, form: Any = Any) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        what: Its expected content, for messages: "annotations", "person boxes", "results".
        form: The expected type of the content, to save time and memory: keys that its TypedDicts
            lack may be left out. Content of another form is read as it is.

    Raises:
        DataError: No such file, unreadable, empty, not JSON, cut off, nested too deep, or an object
            has a key twice.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of {what}; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what}: {error.strerror}; give a file") from None
    again = f"download or copy the file of {what} again"
    if not raw or raw.isspace():
        raise DataError(f"{path}: empty ({len(raw)} bytes), not JSON; {again}")
    if raw.startswith(b"version https://git-lfs"):
        raise DataError(f"{path}: a Git LFS pointer, not JSON; fetch the file with git lfs pull")
    if raw.lstrip().startswith(b"<"):
        raise DataError(f"{path}: a web page, not JSON (a saved error page?); {again}")
    with no_collection():
        try:
            return parse(raw.removeprefix(codecs.BOM_UTF8), form)
        except DoubtError:
            return _read_slowly(path, what, raw)


def _read_slowly(path: Path, what: str, raw: bytes) -> Any:
    """Read with Python's own reader; errors name the place."""
    again = f"download or copy the file of {what} again"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot decode byte {error.start} as UTF-8; save the {what} as JSON in UTF-8"
        ) from None
    try:
        return json.loads(text, object_pairs_hook=_object_of_unique_keys)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise DataError(f"{path}: JSON cut off after {len(raw)} bytes; {again}") from None
        place = f"line {error.lineno} column {error.colno}"
        raise DataError(f"{path}: not JSON, at {place}: {error.msg}; {again}") from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply to be {what}; {again}") from None
    except ValueError as error:  # a duplicate key, or a number with thousands of digits
        raise DataError(f"{path}: {error}; fix the file of {what}") from None


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; return those that did not exist, the outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of these folders that are empty, the last first."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def whole_file(
    path: Path, what: str, error: type[KeypointError] = OutputError, again: str = "try again"
) -> Iterator[IO[bytes]]:
    """Open a file to write to, as a context; it replaces `path` at the end.

    If the process dies, `path` is the old file or the new one, never a part: a temporary file next
    to it is written, synced and renamed.

    Args:
        path: The file.
        what: Its content, for the error: "checkpoint".
        error: Type of the error.
        again: What to do after the cause is fixed.

    Raises:
        KeypointError: The file cannot be written; the text says what is at `path` now.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old, new = _identity(path), None
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            new = _identity(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as problem:
        raise error(
            f"{path}: cannot write the {what} ({_reason(problem, path.parent)}); "
            f"{_found(path, old, new)}: {_remedy(problem, path.parent, again)}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return an identity of the file at a path, which survives renaming; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename in it is on disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(opened)


def _reason(problem: OSError, folder: Path) -> str:
    """Return the system's message, with the free bytes while the temporary file still exists."""
    words = problem.strerror or str(problem)
    try:
        disk = os.statvfs(folder)
    except OSError:
        return words
    return f"{words}; {disk.f_bavail * disk.f_frsize} bytes free there"


def _found(path: Path, old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> str:
    """Say what is at the path after a failure: a rename may be done although it reported one."""
    found = _identity(path)
    if found == ():
        return "the file there now cannot be read"
    if found is None:
        return "no file exists now" if old else "no file existed before"
    if found == new:
        return "the new file is in place, but the disk may lose it"
    return "the old file is unchanged" if found == old else "another file is there now"


def _remedy(problem: OSError, folder: Path, again: str) -> str:
    if not folder.is_dir():
        return "its folder is gone; give another folder, and start over"
    cause = "free some space" if problem.errno in FULL else "check the disk and its permissions"
    return f"{cause} and {again}"


def write_json(path: Path, content: Any) -> None:
    """Write plain Python values as JSON: a list with one entry per line, anything else indented.

    Raises:
        NumericsError: A number is not finite, which standard JSON cannot represent.
        OutputError: The file cannot be written.
    """
    try:
        if isinstance(content, list) and content:
            lines = [json.dumps(entry, allow_nan=False) for entry in content]
            text = "[\n" + ",\n".join(lines) + "\n]\n"
        else:
            text = json.dumps(content, allow_nan=False, indent=2) + "\n"
    except ValueError:
        place = _first_not_finite(content, "")
        if place is None:  # nan as a key: no place to name
            raise
        raise NumericsError(
            f"{path}: not written, {place} is not finite; JSON holds finite numbers only"
        ) from None
    with whole_file(path, "file") as file:
        file.write(text.encode())


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys; called once per JSON object, which adds about a sixth of the time."""
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f"duplicate key {twice!r} in one JSON object; keys must be unique")


def _first_not_finite(content: Any, place: str) -> str | None:
    """Return place and value of the first number that is not finite, as `[3]['score'] = nan`."""
    if isinstance(content, float):
        return None if math.isfinite(content) else f"{place} = {content}"
    if isinstance(content, dict):
        entries: list[tuple[Any, Any]] = list(content.items())
    elif isinstance(content, (list, tuple)):
        entries = list(enumerate(content))
    else:
        return None
    found = (_first_not_finite(value, f"{place}[{key!r}]") for key, value in entries)
    return next((text for text in found if text is not None), None)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hex digits.

    It is computed only once while the file's size and modification time stay the same.
    """
    found = path.stat()
    return _sha256(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, _identity: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


class Parts(NamedTuple):
    """An array that is generated part by part, because it would not fit in memory.

    Attributes:
        dtype: Type of the array.
        shape: Shape of the whole array.
        parts: The rows, in order.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


def fingerprint(*arrays: NDArray[np.generic] | Parts) -> str:
    """Return the beginning of the SHA-256 of all types, shapes and bytes.

    Args:
        arrays: Arrays of any type except object.
    """
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(f"{array.dtype.str}{array.shape}".encode())
        for part in array.parts if isinstance(array, Parts) else [array]:
            hashed.update(np.ascontiguousarray(part).data)
    return hashed.hexdigest()[:FINGERPRINT_LETTERS]
