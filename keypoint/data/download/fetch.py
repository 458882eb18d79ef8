"""One file from an HTTP server, resumed where an earlier attempt was interrupted.

Source: RFC 9110, section 14 (Range). A download under way is NAME.part. pooch and torchvision start
an interrupted file over, and huggingface_hub resumes only files of the Hub by its public functions;
COCO's largest archive has 19 GB. The caller knows the file's check sum, so no part is trusted here.
"""

from __future__ import annotations

import fcntl
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from keypoint.errors import DataError
from keypoint.progress import progress

logger = logging.getLogger(__name__)

CHUNK = MIB = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
ATTEMPTS = 6  # in a row without a new byte
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled each time, a minute at most
HEADROOM = 1 << 28  # bytes to leave free on a disk
TRANSIENT = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(url: str, target: Path, size: int) -> None:
    """Download a file; continue the part that an earlier run left.

    Args:
        url: http or https.
        target: The whole file; replaced if it exists.
        size: Bytes that it must have.

    Raises:
        DataError: The server refuses, cannot be reached or announces another size; the disk is
            full; another process downloads the file. What was received is kept. `check_space`
            beforehand is the caller's.
    """
    part = target.with_name(target.name + ".part")
    try:
        if target.is_dir():
            raise DataError(f"{target}: is a folder; move it away or choose another root")
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DataError(f"{part}: another run is downloading it; wait for it") from None
            _persist(url, file, part, size)
            part.replace(target)
    except OSError as error:
        raise DataError(
            f"{part}: cannot be written ({error.strerror}); what was received is kept: free some "
            "space or choose another folder, and run the command again"
        ) from None


def check_space(folder: Path, number: int) -> None:
    """Check that a number of bytes fits on the disk of an existing folder.

    Raises:
        DataError: There is less free, or less than 256 MiB would be left.
    """
    free = shutil.disk_usage(folder).free
    if number > 0 and free < number + HEADROOM:
        raise DataError(
            f"{folder}: {number / 1e9:.1f} GB needed and 0.3 to spare, {free / 1e9:.1f} GB free; "
            "free some space or choose another folder"
        )


@contextmanager
def byte_progress(text: str, total: int, begun: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar in MiB; yields a function that takes the number of bytes so far."""
    with progress(total // MIB, text, "MiB") as bar:
        shown = begun // MIB
        bar.skip(shown)

        def show(done: int) -> None:
            nonlocal shown
            bar.update(done // MIB - shown)
            shown = done // MIB

        yield show


def _persist(url: str, file: IO[bytes], part: Path, size: int) -> None:
    """Request the rest of a file until it is whole, or nothing new comes `ATTEMPTS` times."""
    failures, before = 0, file.seek(0, 2)
    while True:
        try:
            return _request(url, file, part, size)
        except urllib.error.HTTPError as error:
            problem = f"the server says {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                raise DataError(
                    f"{url}: {problem}; check the address (a mirror's base address?)"
                ) from None
        except TRANSIENT as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
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


def _request(url: str, file: IO[bytes], part: Path, size: int) -> None:
    """One request for what follows the part's end; the file is whole when it returns."""
    begun = file.seek(0, 2)
    if begun == size:
        return
    if begun > size:
        begun = 0
    headers = {"User-Agent": "keypoint", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    # S310 warns of file:// addresses; the command accepts http:// and https:// only.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
        if response.status != 206:
            begun = 0  # the whole file, whatever was asked for
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
            raise http.client.HTTPException("the server sent another range than was asked for")
        announced = begun + int(response.headers.get("Content-Length", size - begun))
        if announced != size:
            raise DataError(
                f"{url}: the server announces {announced} bytes, the file has {size}; another file "
                "or a proxy's error page: check the address"
            )
        if not begun:
            file.truncate(0)
        done = begun
        with byte_progress(f"download {part.stem}", size, begun) as show:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                show(done)
    if done < size:
        raise ConnectionError(f"the connection ended {size - done} bytes early")
