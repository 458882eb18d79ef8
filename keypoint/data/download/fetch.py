"""One file from an HTTP server, whole or not at all, going on where an earlier attempt broke off.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (Range). A file under way is NAME.part with
NAME.part.json beside it, which says of which version on the server it is a part. It is continued
only under `If-Range` with that version, so that no file gets the end of another one.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from keypoint.errors import DataError

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
ATTEMPTS = 6  # in a row that bring nothing
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled each time, a minute at most
HEADROOM = 1 << 28  # bytes to leave free on a disk

Progress = Callable[[int, int], object]  # (bytes so far, bytes in all; 0: not known)
TRANSIENT = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class _ChangedError(Exception):
    """The server has another file than the one that the part was begun from."""


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    progress: Progress | None = None,
    attempts: int = ATTEMPTS,
    wait: float = FIRST_WAIT,
) -> None:
    """Download a file; a part that an earlier run left is continued.

    Args:
        url: http or https.
        target: Where the whole file goes; replaced if it is there.
        size: Bytes that it must have; None: as many as the server announces.
        progress: Called as ``progress(bytes so far, bytes in all)``.
        attempts: Failures in a row without a new byte after which it gives up.
        wait: Seconds before the second attempt.

    Raises:
        DataError: The server refuses or is not there, announces another size, or the disk is full;
            what came so far is kept. Or another run is at it, or the target is a folder.
    """
    part = target.with_name(target.name + ".part")
    failures = 0
    with _open(part, target) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{part}: another run is downloading it; wait for that one") from None
        while True:
            before = _length(file)
            try:
                _attempt(url, file, part, size, progress)
                break
            except _ChangedError:
                problem = "the file on the server is another one now, beginning anew"
                _note(part).unlink(missing_ok=True)
            except urllib.error.HTTPError as error:
                problem = f"the server says {error.code} {error.reason}"
                if error.code < 500 and error.code not in (408, 429):
                    raise DataError(
                        f"{url}: {problem}; check the address (a mirror's base address?)"
                    ) from None
            except TRANSIENT as error:
                problem = str(getattr(error, "reason", "") or error) or type(error).__name__
            kept = _length(file)
            failures = 0 if kept > before else failures + 1
            if failures >= attempts:
                raise DataError(
                    f"{url}: {problem}, {attempts} times in a row; {kept} bytes are kept in "
                    f"{part}: run the command again to go on"
                )
            pause = min(wait * 2**failures, 60.0)
            logger.warning("%s: %s (%d bytes so far); again in %g s", url, problem, kept, pause)
            time.sleep(pause)
    part.replace(target)
    _note(part).unlink(missing_ok=True)


def check_space(folder: Path, number: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: Where the bytes go; it exists.
        number: Of bytes.

    Raises:
        DataError: There is less free, or less than 256 MiB would be left.
    """
    free = shutil.disk_usage(folder).free
    if number > 0 and free < number + HEADROOM:
        raise DataError(
            f"{folder}: {number / 1e9:.1f} GB needed and 0.3 to spare, {free / 1e9:.1f} GB free; "
            "free some space or choose another folder"
        )


def _attempt(
    url: str, file: IO[bytes], part: Path, size: int | None, progress: Progress | None
) -> None:
    """One request, from the part's end on; the file is whole when it returns."""
    begun, known = _length(file), _read_note(part)
    headers = {"User-Agent": "keypoint", "Accept-Encoding": "identity"}
    if begun and known.get("url") == url and known.get("version"):
        headers |= {"Range": f"bytes={begun}-", "If-Range": str(known["version"])}
    else:
        if begun:
            logger.warning("%s: begun anew, its %d bytes are of unknown origin", part, begun)
        begun = 0  # nothing says what these bytes are a part of
    # S310 fears file:// addresses; the command lets http:// and https:// through.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or not begun:
            raise
        total = _number(r"bytes \*/(\d+)$", error.headers.get("Content-Range"))
        if total == begun and size in (None, begun):
            return  # the part was the whole, only its name was missing
        raise _ChangedError from None
    with response:
        if response.status == 206:
            given = response.headers.get("Content-Range")
            total = _number(r"bytes \d+-\d+/(\d+)$", given)
            if _number(r"bytes (\d+)-", given) != begun:
                raise _ChangedError
        else:
            begun = 0  # all of it from the start, whatever was asked for
            total = _number(r"(\d+)$", response.headers.get("Content-Length"))
        if size is not None and total not in (None, size):
            raise DataError(
                f"{url}: the server announces {total} bytes, the file has {size}; another file or "
                "a proxy's error page: check the address"
            )
        total = size if total is None else total
        check_space(part.parent, (total or 0) - begun)
        if not begun:
            file.truncate(0)
            note = {"url": url, "version": _version(response.headers)}
            _write_note(part, note)
        done = begun
        while chunk := response.read(CHUNK):
            _write(file, chunk, part)
            done += len(chunk)
            if progress is not None:
                progress(done, total or 0)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended {total - done} bytes early")
    if total is not None and done > total:
        file.truncate(0)
        raise DataError(f"{url}: sent more than the {total} bytes it announced; try again")


def _open(part: Path, target: Path) -> IO[bytes]:
    try:
        if target.is_dir():  # seen now, and not when all is there and to be renamed
            raise DataError(
                f"{target}: is a folder, no place for a file; move it or choose another"
            )
        part.parent.mkdir(parents=True, exist_ok=True)
        return part.open("ab")
    except OSError as error:
        raise DataError(f"{part}: cannot be written ({error.strerror}); choose a folder") from None


def _write(file: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise DataError(
            f"{part}: cannot be written ({error.strerror}); what came so far is kept: free some "
            "space and run the command again"
        ) from None


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _version(headers: Mapping[str, str]) -> str | None:
    """What If-Range takes: a strong ETag, else the date; None: no part can be continued."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _number(pattern: str, text: str | None) -> int | None:
    found = re.match(pattern, text or "")
    return int(found[1]) if found else None


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write_note(part: Path, note: dict[str, Any]) -> None:
    try:
        _note(part).write_text(json.dumps(note), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{_note(part)}: cannot be written ({error.strerror}); move away what is there, or "
            "free some space"
        ) from None


def _read_note(part: Path) -> dict[str, Any]:
    try:
        content = json.loads(_note(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
