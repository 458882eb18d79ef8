"""Read every image file in full, in as many processes as there are to spare.

Besides what `read_image` refuses, this hears what the JPEG decoder says: it returns a wrong picture
for damaged data and writes a line to the process's standard error, which here is a file.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2

from keypoint.data.image import decode_image, read_file, read_header
from keypoint.errors import DataError

CHUNK = 16  # images a process takes at a time


@dataclass(frozen=True)
class ImageFile:
    """A file to look at.

    Attributes:
        path: The file.
        image_size: (height, width) that the annotation file states.
    """

    path: Path
    image_size: tuple[int, int]


@dataclass(frozen=True)
class Look:
    """What was seen of a file.

    Attributes:
        fault: Why it cannot be used, or None.
        complaint: What the decoder said of a file that it read, or None.
        orientation: EXIF orientation, 1 to 8.
        digest: Of its bytes; None if it could not be read.
    """

    fault: str | None = None
    complaint: str | None = None
    orientation: int = 1
    digest: bytes | None = None


def look_at_images(files: Sequence[ImageFile], workers: int) -> Iterator[Look]:
    """Look at every file.

    Args:
        files: Which.
        workers: Processes beside this one; 0 does it here.

    Yields:
        A `Look` each, in the order of the files.
    """
    if workers == 0:
        yield from map(look_at_image, files)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
        yield from pool.map(look_at_image, files, chunksize=CHUNK)


def look_at_image(file: ImageFile) -> Look:
    """Decode one file and keep what was said about it; nothing is raised."""
    try:
        content = read_file(file.path)
    except DataError as error:
        return Look(fault=str(error))
    header = read_header(content)
    orientation = header.orientation if header else 1
    digest = hashlib.blake2b(content, digest_size=16).digest()
    with _stderr_to_file() as said:
        try:
            decode_image(file.path, content, file.image_size)
            fault = None
        except DataError as error:
            fault = str(error)
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
    # Other libraries warn of what does no harm, such as a colour profile.
    complaints = [line for line in lines if "JPEG" in line]
    complaint = complaints[0].strip() if complaints and fault is None else None
    return Look(fault, complaint, orientation, digest)


@contextmanager
def _stderr_to_file() -> Iterator[IO[bytes]]:
    """A file in place of the process's standard error, for what C libraries write there."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _begin_worker() -> None:
    cv2.setNumThreads(0)  # the processes are the parallelism
