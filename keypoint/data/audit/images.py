"""Decode every image file, in several processes.

Besides the errors of `read_image`, this catches the messages of the JPEG decoder: for damaged data
it returns a wrong picture and writes a line to the process's standard error, here a file.
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

from keypoint.data.images.header import read_header
from keypoint.data.images.read import decode_image, is_nearly_black, read_file
from keypoint.errors import DataError

CHUNK = 16  # images a process takes at a time
ImageFile = tuple[Path, tuple[int, int]]  # and (height, width) as the annotation file states them


@dataclass(frozen=True)
class Look:
    """Result of decoding one file.

    Attributes:
        fault: Why it cannot be used, or None.
        complaint: The decoder's message about a file that it read, or None.
        orientation: EXIF orientation, 1 to 8.
        digest: Hash of its bytes; None if it could not be read.
        is_dark: It has 16 bits and uses at most a quarter of their range.
    """

    fault: str | None = None
    complaint: str | None = None
    orientation: int = 1
    digest: bytes | None = None
    is_dark: bool = False


def look_at_images(files: Sequence[ImageFile], workers: int) -> Iterator[Look]:
    """Decode all files in order, in `workers` processes; 0 decodes in this one."""
    if workers == 0:
        yield from map(look_at_image, files)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # The processes are the parallelism.
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (0,)) as pool:
        yield from pool.map(look_at_image, files, chunksize=CHUNK)


def look_at_image(file: ImageFile) -> Look:
    """Decode one file; faults are returned, not raised."""
    path, image_size = file
    try:
        content = read_file(path)
    except DataError as error:
        return Look(fault=str(error))
    header = read_header(content)
    orientation = header.orientation if header else 1
    digest = hashlib.blake2b(content, digest_size=16).digest()
    with stderr_to_file() as written:
        try:
            image = decode_image(path, content, image_size)
        except DataError as error:
            return Look(str(error), None, orientation, digest)
        written.seek(0)
        lines = written.read().decode("utf-8", "replace").splitlines()
    # Other libraries warn of harmless things, such as a colour profile.
    complaint = next((line.strip() for line in lines if "JPEG" in line), None)
    is_dark = header is not None and is_nearly_black(header, image)
    return Look(None, complaint, orientation, digest, is_dark)


@contextmanager
def stderr_to_file() -> Iterator[IO[bytes]]:
    """A file instead of the process's standard error, for what C libraries write there."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)
