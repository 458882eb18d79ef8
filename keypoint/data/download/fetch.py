"""Download one file from an HTTP server, and resume an interrupted download.

Source: RFC 9110, section 14 (Range). An unfinished download is in NAME.part. pooch and torchvision
restart an interrupted download, and the public functions of huggingface_hub resume only files of
the Hub; COCO's largest archive has 19 GB. The caller checks the file's checksum, so a part is never
trusted. urllib handles proxies (http_proxy, https_proxy, no_proxy).
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from keypoint.errors import DataError
from keypoint.files import sha256_of
from keypoint.progress import progress

logger = logging.getLogger(__name__)

CHUNK = MIB = 1 << 20
FIRST_TIMEOUT = 15.0  # seconds without an answer, before the server has ever answered
TIMEOUT = 60.0  # seconds without a byte
ATTEMPTS = 6  # in a row without a new byte
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled each time, a minute at most
HEADROOM = 1 << 28  # bytes to leave free on a disk
TRANSIENT = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(url: str, target: Path, size: int | None = None, sha256: str | None = None) -> None:
    """Download a file; resume the part of an earlier run, wait for that of a concurrent run.

    Args:
        url: http or https.
        target: The whole file; replaced if it exists.
        size: Bytes that it must have; None to use the server's number.
        sha256: Beginning of its SHA-256, checked before the file is renamed; None for a caller that
            checks the whole file itself. After a mismatch, a resumed download starts over once.

    Raises:
        DataError: The server cannot be reached (raised at the first attempt), refuses, or sends
            another file; the disk is full. A received part is kept if the size is right. A caller
            that knows the size should call `check_space` first.
    """
    part = target.with_name(target.name + ".part")
    try:
        if target.is_dir():
            raise DataError(f"{target}: is a folder; move it away or choose another root")
        with _opened_alone(part) as (file, waited):
            if waited and target.is_file():
                return
            continued = file.seek(0, 2) > 0
            _persist(url, file, part, size)
            if sha256 is not None and not _begins(part, sha256) and continued:
                logger.warning("%s: the resumed part is from another file; starting over", part)
                file.truncate(0)
                _persist(url, file, part, size)
            if sha256 is not None and not _begins(part, sha256):
                found = sha256_of(part)[: len(sha256)]
                file.truncate(0)
                raise DataError(
                    f"{url}: the SHA-256 of what the server sent begins with {found}, that of the "
                    f"file with {sha256}; it was deleted: try again, or from another network"
                )
            part.replace(target)
    except OSError as error:
        raise DataError(
            f"{error.filename or part}: cannot be written ({error.strerror}); what was received is "
            "kept: free some space or choose another folder, and run the command again"
        ) from None


@contextmanager
def _opened_alone(part: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open the part to append, as a context; only one process at a time holds it.

    Yields:
        The file, and whether another process held it before. An empty part is removed.
    """
    waited = False
    while True:
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.warning("%s: another process is downloading it; waiting", part)
                waited = True
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                logger.info("%s: the file system has no locks", part)
            if not _is_at(file, part):
                continue  # the other process has renamed or removed it
            try:
                yield file, waited
            finally:
                with contextlib.suppress(OSError):
                    if _is_at(file, part) and not part.stat().st_size:
                        part.unlink()
            return


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Return whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _begins(path: Path, sha256: str) -> bool:
    return sha256_of(path).startswith(sha256)


def check_space(folder: Path, number: int) -> None:
    """Check that a number of bytes fits on the disk of an existing folder.

    Raises:
        DataError: There is less free, or less than 256 MiB would be left.
    """
    free = shutil.disk_usage(folder).free
    if number > 0 and free < number + HEADROOM:
        raise DataError(
            f"{folder}: {number / 1e9 + 0.3:.1f} GB needed, {free / 1e9:.1f} GB free; "
            "free some space or choose another folder"
        )


def move_aside(path: Path) -> Path:
    """Rename a damaged file to NAME.damaged1, or the next free number; returns the new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    return path.rename(aside)


@contextmanager
def byte_progress(text: str, total: int | None, begun: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar in MiB; yields a function that takes the number of bytes so far."""
    with progress(None if total is None else total // MIB, text, "MiB") as bar:
        shown = begun // MIB
        bar.skip(shown)

        def show(done: int) -> None:
            nonlocal shown
            bar.update(done // MIB - shown)
            shown = done // MIB

        yield show


def _persist(url: str, file: IO[bytes], part: Path, size: int | None) -> None:
    """Request the rest of a file until it is complete, or `ATTEMPTS` times without a new byte.

    A server that has never answered is not retried, so that an offline user gets the error at once.
    """
    failures, before, answered = 0, file.seek(0, 2), False
    while size is None or before != size:
        try:
            begun = before if size is None or before < size else 0
            with _request(url, begun, TIMEOUT if answered else FIRST_TIMEOUT) as response:
                answered = True
                return _receive(url, response, file, part, begun, size)
        except urllib.error.HTTPError as error:
            answered = True
            problem = f"the server responded {error.code} {error.reason}"
            if error.code == 416 and before:  # nothing follows the part
                if error.headers.get("Content-Range") == f"bytes */{before}":
                    return None
                file.truncate(0)
            elif error.code < 500 and error.code not in (408, 429):
                raise DataError(
                    f"{url}: {problem}; check the address (a mirror's base address?)"
                ) from None
        except TRANSIENT as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
            if not answered:
                raise DataError(
                    f"{url}: cannot be reached ({problem}); check the connection and the proxy"
                ) from None
        kept = file.seek(0, 2)
        failures = 0 if kept > before else failures + 1
        before = kept
        if failures >= ATTEMPTS:
            raise DataError(
                f"{url}: {problem}, {ATTEMPTS} times in a row; {kept} bytes are kept in {part}: "
                "run the command again to resume"
            )
        pause = min(FIRST_WAIT * 2**failures, 60.0)
        logger.warning("%s: %s (%d bytes so far); again in %g s", url, problem, kept, pause)
        time.sleep(pause)
    return None


def _request(url: str, begun: int, timeout: float) -> http.client.HTTPResponse:
    """Request a file from a byte on."""
    headers = {"User-Agent": "keypoint", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    # S310 warns of file:// addresses; the callers' addresses are http:// and https:// only.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    return response


def _receive(
    url: str,
    response: http.client.HTTPResponse,
    file: IO[bytes],
    part: Path,
    begun: int,
    size: int | None,
) -> None:
    """Append the server's response to the part, which completes the file."""
    if response.headers.get_content_type() == "text/html":
        raise DataError(
            f"{url}: the server sent a web page instead of the file (a proxy's or a login page?); "
            "check the address and the connection"
        )
    if response.status != 206:
        begun = 0  # the server sent the whole file
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
        raise http.client.HTTPException("the server sent another range than was requested")
    rest = response.headers.get("Content-Length")
    announced = size if rest is None else begun + int(rest)
    if size is None and announced is not None:
        check_space(part.parent, announced - begun)
    elif announced != size:
        raise DataError(
            f"{url}: the server announces {announced} bytes, but the file has {size}; another file "
            "or a proxy's error page: check the address"
        )
    if not begun:
        file.truncate(0)
    done = begun
    with byte_progress(f"download {part.stem}", announced, begun) as show:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            show(done)
    file.flush()
    if announced is not None and done < announced:
        raise ConnectionError(f"the connection ended {announced - done} bytes early")
