"""The stories of the generated clips, their figures, and what they depend on."""

from collections import Counter

import numpy as np
import pytest

from keypoint.action.echo.clips import CLASSES, FRAMES, SIDE, draw_clip, tell_story
from keypoint.action.echo.dataset import make_clip
from keypoint.action.echo.picture import class_sheet


def told(poses):
    """The class in words, read off the poses (8, 2) of all frames."""
    acting = [np.flatnonzero(poses[:, figure]) for figure in (0, 1)]
    for frames in acting:
        assert len(frames) == 2
        assert frames[1] == frames[0] + 1
        assert frames[0] % 2 == 0
    assert not set(acting[0]) & set(acting[1])
    left, right = (poses[frames, figure] for figure, frames in enumerate(acting))
    assert left[0] == left[1]
    assert right[0] == right[1]
    first = "left" if acting[0][0] < acting[1][0] else "right"
    return f"{'same' if left[0] == right[0] else 'different'}_{first}_first"


def test_a_story_is_of_its_class():
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        stories = [tell_story(rng, label) for _ in range(300)]
        assert {told(story.poses()) for story in stories} == {name}
        assert {story.label for story in stories} == {label}
        # 2 gestures of the first and 6 choices of two pairs: all, about equally often
        counts = Counter(stories)
        assert len(counts) == 12
        assert min(counts.values()) >= 10


def test_classes_are_in_alphabetical_order():
    """A folder per class is read in this order."""
    assert sorted(CLASSES) == list(CLASSES)


def test_a_frame_tells_nothing_of_the_class():
    """The poses of the frames, without their times, are the same of all classes."""
    rng = np.random.default_rng(1)
    shares = []
    for label in range(len(CLASSES)):
        poses = np.concatenate([tell_story(rng, label).poses() for _ in range(1500)])
        shares.append(np.bincount(3 * poses[:, 0] + poses[:, 1], minlength=9) / len(poses))
    np.testing.assert_allclose(shares, np.repeat([shares[0]], 4, axis=0), atol=0.02)
    assert set(np.flatnonzero(shares[0])) == {0, 1, 2, 3, 6}  # never both


@pytest.mark.parametrize(("figure", "side"), [(0, slice(0, 28)), (1, slice(20, 48))])
def test_a_gesture_moves_one_arm_of_one_figure(figure, side):
    for seed in range(20):
        rest, up, other = (
            draw_clip(np.random.default_rng(seed), np.array([[0, 0], pose]))[..., 0].astype(int)
            for pose in ([0, 0], *([(g, 0) if figure == 0 else (0, g) for g in (1, 2)]))
        )
        assert (rest[0] == up[0]).all()
        moved = [(clip[1] != rest[1]) for clip in (up, other)]
        for change in moved:
            assert change[:, side].sum() > 20
            assert change.sum() == change[:, side].sum()
        columns = [np.flatnonzero(change.any(axis=0)).mean() for change in moved]
        assert columns[0] < columns[1]  # gesture 1 is the arm on the picture's left
        rows = [np.flatnonzero(change.any(axis=1)).mean() for change in moved]
        assert abs(rows[0] - rows[1]) < 4


def test_clips_are_grey_and_differ():
    clip, _ = make_clip(0, 0, 5)
    assert clip.shape == (FRAMES, SIDE, SIDE, 3)
    assert clip.dtype == np.uint8
    assert (clip == clip[..., :1]).all()
    assert (clip[0] != clip[1]).mean() > 0.5  # white noise of each frame
    keys = [(0, 0, 5), (0, 0, 9), (0, 1, 5), (1, 0, 5)]
    assert len({make_clip(*key)[0].tobytes() for key in keys}) == 4
    assert (make_clip(0, 0, 5)[0] == clip).all()


def test_sheet_shows_every_class():
    sheet = class_sheet(clips=1)
    assert sheet.shape[0] > 4 * 2 * SIDE
    assert sheet.std() > 20
