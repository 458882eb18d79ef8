"""A picture of clips of the set: a row of eight frames each, with a description."""

from __future__ import annotations

import numpy as np

from keypoint.action.echo.clips import CLASSES, GESTURES, SIDE, Story, draw_clip, tell_story
from keypoint.drawing.canvas import PAPER, Image
from keypoint.drawing.persons import picture_sheet

GAP = 2  # px between frames
ENLARGED = 2
SPLIT = 3  # part of the seed; clips have 0 and 1, single frames 2


def class_sheet(seed: int = 0, clips: int = 2) -> Image:
    """Draw some clips of each class, (H, W, 3) uint8 RGB."""
    pictures, titles = [], []
    for label, name in enumerate(CLASSES):
        for number in range(clips):
            rng = np.random.default_rng([seed, SPLIT, label, number])
            story = tell_story(rng, label)
            pictures.append(_row(draw_clip(rng, story.poses())))
            titles.append(f"{name}: {_words(story)}")
    height, width = pictures[0].shape[:2]
    size = (ENLARGED * height, ENLARGED * width)
    return picture_sheet(pictures, titles, columns=1, cell_size=size)


def _row(frames: Image) -> Image:
    """Put frames (T, H, W, 3) side by side, with gaps."""
    gap = np.full((SIDE, GAP, 3), PAPER, np.uint8)
    parts = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _words(story: Story) -> str:
    acts = sorted(zip(story.pairs, ("left", "right"), story.gestures, strict=True))
    arms = dict(zip(GESTURES, ("left", "right"), strict=True))
    words = []
    for pair, figure, gesture in acts:
        frames = f"frames {2 * pair + 1}-{2 * pair + 2}"
        words.append(f"the {figure} figure, its arm on the {arms[gesture]} ({frames})")
    return ", then ".join(words)
