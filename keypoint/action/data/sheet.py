"""A picture of a split: some videos, each as the frames of one clip over the whole video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keypoint.action.data.frames import read_drawn
from keypoint.action.data.looks import Look
from keypoint.action.data.sampling import ClipSampling
from keypoint.action.data.videos import Videos
from keypoint.data.audit.images import stderr_to_file
from keypoint.drawing.canvas import Image
from keypoint.drawing.persons import fit_picture, picture_sheet

CELL = (96, 128)  # (height, width) of a frame
MOST_FRAMES = 8


def video_sheet(
    videos: Videos, looks: Sequence[Look], frames: int, number: int, title: str
) -> Image:
    """Draw random readable videos, one per row, with their class and name.

    Args:
        videos: Videos of a split.
        looks: Results of reading them.
        frames: Frames of a clip; at most 8 are shown, one from each equal part of the video.
        number: Number of videos to show, or all if there are fewer.
        title: Text before each name.
    """
    readable = [row for row, look in enumerate(looks) if look.fault is None]
    chosen = np.random.default_rng(0).permutation(readable)[:number]
    sampling = ClipSampling(min(frames, MOST_FRAMES), sampling="segments")
    rows, titles = [], []
    for row in sorted(chosen.tolist()):
        draw = sampling.test(videos.names[row], 1, "uniform")
        path, span = videos.path(row), videos.span(row)
        with stderr_to_file():  # hides the decoder's messages, which were already reported
            numbers, shown = read_drawn(path, span, draw, lambda frame: fit_picture(frame, CELL)[0])
        rows.append(np.concatenate([shown[at] for at in numbers[0].tolist()], axis=1))
        label = int(videos.labels[row])
        name = videos.classes[label] if label >= 0 else "not labelled"
        titles.append(f"{title}: {name}: {videos.names[row]}")
    cell = (CELL[0], max(row.shape[1] for row in rows))
    return picture_sheet(rows, titles, columns=2, cell_size=cell)
