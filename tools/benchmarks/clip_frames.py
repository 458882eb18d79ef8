"""Check that each reader returns the requested frames, by the numbers painted into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import clip_videos
import numpy as np
import straightforward_clips
from clip_readers import READERS
from clip_videos import Frame
from timing import table

from keypoint.action.data.frames import open_frames

SEEKS = ("straightforward: seeks each frame", "straightforward: seeks each clip")
STEP = 27  # from one frame to the next, not a multiple of the distance of key frames


def right_frames(path: Path, usable: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Read some frames of a generated video by each reader.

    Args:
        path: The video.
        usable: Libraries that can be imported.

    Returns:
        By reader, a text with the number of right frames; and whether all frames are right.
    """
    numbers = list(range(3, clip_videos.FRAMES, STEP))
    wanted = np.array(numbers)

    def ours() -> Iterator[Frame]:
        with open_frames(path) as video:
            for _, frame in video.frames_at(numbers):
                yield frame

    readers: dict[str, Callable[[], Iterable[Frame]]] = {
        SEEKS[0]: lambda: straightforward_clips.read(path, numbers, "frame"),
        SEEKS[1]: lambda: straightforward_clips.read(path, numbers, "clip"),
        "ours: reads forward": ours,
    }
    for name in usable:
        if name in READERS:
            readers[name] = partial(READERS[name], path, wanted)
    found, all_right = {}, True
    for name, read in readers.items():
        right, end = 0, ""
        try:
            for frame, number in zip(read(), numbers, strict=True):
                right += clip_videos.painted_number(frame) == number
        except (RuntimeError, ValueError, AssertionError):  # of the libraries, too few, a seek
            end = ", then an error"
        found[name] = f"{right} of {len(numbers)}{end}"
        all_right &= right == len(numbers)
    return found, all_right


def misleading_table(folder: Path, usable: Sequence[str]) -> str:
    """Count right frames in containers in which seeking fails; PyAV writes them."""
    paths = {
        "MPEG-TS, H.264": folder / "stream.ts",
        "AVI, MPEG-4 with B-frames": folder / "video.avi",
    }
    clip_videos.write_by_pyav(paths["MPEG-TS, H.264"], 0, "libx264")
    clip_videos.write_by_pyav(paths["AVI, MPEG-4 with B-frames"], 0, "mpeg4", bf="2")
    columns = [right_frames(path, usable)[0] for path in paths.values()]
    rows = [[reader, *(column[reader] for column in columns)] for reader in columns[0]]
    return table(["right frames of", *paths], rows)
