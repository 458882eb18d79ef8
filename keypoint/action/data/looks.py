"""Read every video of a list once, from its first frame to its last."""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from keypoint.action.data.frames import FrameFolder
from keypoint.data.audit.images import stderr_to_file
from keypoint.data.video import VideoReader
from keypoint.errors import DataError
from keypoint.files import sha256_of

CHUNK = 4  # videos a process takes at a time
# FFmpeg's messages about damaged frames; others are about files cut without re-encoding.
DAMAGE = re.compile(r"(?i)\b(error|invalid|concealing|corrupt|damaged)\b")

ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # of the decoder, in its messages


@dataclass(frozen=True)
class Look:
    """Result of reading one video.

    Attributes:
        frames: Number of frames that could be read.
        claimed: Number of frames according to the file, or of images in a folder.
        image_size: (height, width); (0, 0) if no frame could be read.
        rate: Frames per second; None for a folder.
        fault: Why it cannot be used, or None.
        shortfall: Message about missing frames at the end, or None; the others are used.
        notes: What is probably wrong with its frames and times.
        complaint: The decoder's message about damaged frames, or None.
        gaps: Number of missing images in a folder, by their numbers.
        digest: Hash of the file; None for a folder, or if it cannot be read.
    """

    frames: int = 0
    claimed: int = 0
    image_size: tuple[int, int] = (0, 0)
    rate: float | None = None
    fault: str | None = None
    shortfall: str | None = None
    notes: tuple[str, ...] = ()
    complaint: str | None = None
    gaps: int = 0
    digest: str | None = None


def look_at_videos(files: Sequence[Path], workers: int) -> Iterator[Look]:
    """Read all videos in order, in `workers` processes; with 0 in this one."""
    if workers == 0:
        yield from map(look_at_video, files)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # The processes are the parallelism.
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (0,)) as pool:
        yield from pool.map(look_at_video, files, chunksize=CHUNK)


def look_at_video(path: Path) -> Look:
    """Read one video; faults are returned, not raised."""
    with stderr_to_file() as written:
        try:
            look = _look_at_folder(path) if path.is_dir() else _look_at_file(path)
        except (DataError, OSError) as error:
            look = Look(fault=str(error))
        written.seek(0)
        lines = written.read().decode("utf-8", "replace").splitlines()
    complaint = next((ADDRESS.sub("", line).strip() for line in lines if DAMAGE.search(line)), None)
    return replace(look, complaint=complaint)


def _look_at_file(path: Path) -> Look:
    size = (0, 0)
    with VideoReader(path, threads=1) as reader:
        for frame in reader:
            size = (frame.shape[0], frame.shape[1])
        shortfall = reader.shortfall()
        if reader.read == 0:
            return Look(claimed=reader.claimed, fault=shortfall)
        return Look(
            reader.read,
            reader.claimed,
            size,
            reader.rate,
            shortfall=shortfall and shortfall.removeprefix(f"{path}: "),
            notes=tuple(note.removeprefix(f"{path}: ") for note in reader.notes()),
            digest=sha256_of(path),
        )


def _look_at_folder(path: Path) -> Look:
    size = (0, 0)
    with FrameFolder(path) as folder:
        for _, frame in folder.frames_at(range(folder.claimed)):
            size = (frame.shape[0], frame.shape[1])
        return Look(folder.claimed, folder.claimed, size, gaps=folder.gaps())
