"""The sheet shows frames that the network saw, with their times, and the best classes."""

import numpy as np
import pytest

from keypoint.action.prediction import sheet
from keypoint.action.prediction.predictor import ActionResult
from keypoint.action.prediction.sheet import frames_shown, video_sheet
from tests.action.data.made_up_videos import write_frames, write_video
from tests.action.prediction.tiny_classifier import CLASSES


def result(numbers):
    scores = np.linspace(0, 0.5, 7, dtype=np.float32)
    return ActionResult(CLASSES, scores, np.asarray(numbers))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([[0, 8, 16, 24], [40, 48, 56, 64]], [0, 8, 24, 40, 56, 64]),
        ([[3, 3, 3]], [3]),
        ([[5, 1], [1, 9]], [1, 5, 9]),
    ],
)
def test_frames_shown_were_seen(numbers, expected):
    assert frames_shown(np.array(numbers)) == expected


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_frames_stand_in_a_row_with_their_times(tmp_path, monkeypatch, kind):
    """The red of a cell is its frame's: two of 255 a frame."""
    said = {}
    draw = sheet.picture_sheet
    monkeypatch.setattr(
        sheet, "picture_sheet", lambda *a, **k: (said.update(titles=a[1]), draw(*a, **k))[1]
    )
    numbers = [[0, 20, 40], [60, 80, 100]]
    if kind == "video":
        path = write_video(tmp_path / "a.avi", 110)
        times = ["0.00 s", "0.80 s", "1.60 s", "2.40 s", "3.20 s", "4.00 s"]
    else:
        path = write_frames(tmp_path / "a", 110)
        times = ["frame 0", "frame 20", "frame 40", "frame 60", "frame 80", "frame 100"]
    drawn = video_sheet(path, result(numbers), label="class g")
    assert said["titles"] == times
    row = drawn[70]  # through the middle of the frames
    is_frame = row[:, 2] < 9  # no blue
    starts = np.flatnonzero(is_frame & ~np.roll(is_frame, 1))
    reds = [int(row[x + 20, 0]) for x in starts]
    np.testing.assert_allclose(reds, [0, 40, 80, 120, 160, 200], atol=3)
    assert drawn.shape[0] > 250
    assert not np.array_equal(drawn, video_sheet(path, result(numbers)))
