"""The set on disk: a folder per class with lossless videos, read like any set of videos.

    echo_set.json                     parameters of the set; also marks generated data
    train/same_left_first/000006.mkv  ..
    val/same_left_first/000002.mkv    ..

FFV1 in Matroska is the smallest lossless format (50 clips, OpenCV 5.0): 15.6 kB per clip, against
20.9 in AVI, 29.8 as PNG in AVI and 42.4 as eight PNG files. MPEG-4 takes 5.7 kB, with errors of up
to 26 of 255.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.action.echo.clips import CLASSES, SIDE, draw_clip, tell_story
from keypoint.data.synthetic.mark import ECHO_MARKER
from keypoint.errors import DataError
from keypoint.files import write_json

SPLITS = ("train", "val")
RATE = 8.0  # frames per second: a clip lasts one second
SUFFIX = ".mkv"


def make_clip(seed: int, split: int, index: int) -> tuple[NDArray[np.uint8], int]:
    """Return clip `index` of a split, (T, H, W, 3) uint8 RGB, and its label; labels alternate."""
    rng = np.random.default_rng([seed, split, index])
    label = index % len(CLASSES)
    return draw_clip(rng, tell_story(rng, label).poses()), label


def is_echo_set(folder: str | Path, *, train_clips: int, val_clips: int, seed: int = 0) -> bool:
    """Return whether `write_echo_set` has written this set completely."""
    try:
        written = json.loads((Path(folder) / ECHO_MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(written == _settings(train_clips, val_clips, seed, complete=True))


def write_echo_set(
    folder: str | Path,
    *,
    train_clips: int = 4000,
    val_clips: int = 1000,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write the videos of both splits. An earlier set is replaced.

    Args:
        folder: A new or empty folder, or one with an earlier set.
        train_clips: Number of clips in `train/`.
        val_clips: Number of other clips in `val/`.
        seed: 0 or more.
        progress: Called as `progress(1)` after each clip.

    Raises:
        DataError: The folder contains other files, or a video cannot be written.
        ValueError: A number is out of range.
    """
    counts = (train_clips, val_clips)
    if min(counts) < len(CLASSES) or seed < 0:
        raise ValueError(
            f"train_clips={train_clips}, val_clips={val_clips}, seed={seed}: give at least "
            f"{len(CLASSES)} clips per split, and a seed of 0 or more"
        )
    folder = Path(folder)
    _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ECHO_MARKER, _settings(train_clips, val_clips, seed, complete=False))
    for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            frames, label = make_clip(seed, number, index)
            write_lossless(folder / split / CLASSES[label] / f"{index:06d}{SUFFIX}", frames)
            if progress is not None:
                progress(1)
    write_json(folder / ECHO_MARKER, _settings(train_clips, val_clips, seed, complete=True))


def write_lossless(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write (T, H, W, 3) uint8 RGB frames as FFV1, which is lossless.

    Raises:
        DataError: The file cannot be written.
    """
    height, width = frames.shape[1:3]
    code = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path.absolute()), cv2.CAP_FFMPEG, code, RATE, (width, height))
    if not writer.isOpened():
        raise DataError(
            f"{path}: OpenCV cannot write a lossless video there; choose another folder"
        )
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def _settings(train_clips: int, val_clips: int, seed: int, complete: bool) -> dict[str, Any]:
    """Return the content of the marker: all parameters of the set."""
    numbers = {"train": train_clips, "val": val_clips, "seed": seed, "side": SIDE}
    return {**numbers, "complete": complete}


def _clear(folder: Path) -> None:
    """Remove an earlier set's videos."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; give a folder")
    held = sorted(path.name for path in folder.iterdir())
    if held and ECHO_MARKER not in held:
        raise DataError(
            f"{folder}: contains {held[:5]} and no {ECHO_MARKER}, so it is not an earlier set and "
            "was not changed; choose a new or empty folder"
        )
    for split in SPLITS:
        for path in (folder / split).glob(f"*/*{SUFFIX}"):
            if path.parent.name in CLASSES and re.fullmatch(r"\d{6}", path.stem):
                path.unlink()
