"""A picture of one video: frames in a row with their time, and bars of the best classes.

Source: PNL, Fig. 5, which shows three classes per video.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.action.data.frames import open_frames
from keypoint.action.prediction.predictor import ActionResult
from keypoint.drawing.bars import draw_bars
from keypoint.drawing.canvas import Image
from keypoint.drawing.persons import picture_sheet
from keypoint.drawing.sheets import stack
from keypoint.errors import DataError

FRAMES = 6
CELL = (135, 180)  # px, (height, width) of a frame


def video_sheet(
    path: Path, result: ActionResult, title: str | None = None, label: str | None = None
) -> Image:
    """Draw a video file, or a folder of frames.

    Args:
        path: The video; it is read again, up to the last frame shown.
        result: Its scores.
        title: Text above the bars; None for the file's name.
        label: The true class, written in another color if it is among the best.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: The video can no longer be read.
    """
    chosen = frames_shown(result.numbers)
    with open_frames(path) as video:
        frames = dict(video.frames_at(chosen))
        try:
            times = video.times(chosen[-1] + 1)[chosen].tolist()
        except DataError:  # a folder of frames has none
            times = None
    titles = [f"frame {n}" for n in chosen]
    if times is not None:
        titles = [f"{seconds:.2f} s" for seconds in times]
    return sheet_of([frames[n] for n in chosen], titles, result, title or path.name, label)


def frames_shown(numbers: NDArray[np.int64], most: int = FRAMES) -> list[int]:
    """Choose evenly spaced frames from those that the network saw, from first to last.

    Args:
        numbers: (clips, T) numbers of the frames seen.
        most: Largest number of frames.
    """
    seen = np.unique(numbers)
    places = np.linspace(0, len(seen) - 1, min(most, len(seen)))
    chosen: list[int] = seen[np.round(places).astype(int)].tolist()
    return chosen


def sheet_of(
    frames: Sequence[Image],
    titles: Sequence[str],
    result: ActionResult,
    title: str,
    label: str | None = None,
) -> Image:
    """Put frames side by side, with bars of the five best classes below.

    Args:
        frames: (H, W, 3) uint8 RGB each.
        titles: A line below each frame.
        result: Scores of the video.
        title: Text above the bars.
        label: The true class, written in another color.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    row = picture_sheet(frames, titles, columns=len(frames), cell_size=CELL)
    bars = {name: [score] for name, score in result.top()}
    width = max(row.shape[1], 480)
    return stack([row, draw_bars(bars, ["score"], title, width=width, highlight=label)])
