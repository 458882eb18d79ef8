"""Ids and smoothing in a stream of images and videos."""

from pathlib import Path

import numpy as np

from keypoint.data.report import Fault
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.follow import follow
from keypoint.prediction.frames import Frame, Unread, VideoEnd
from keypoint.prediction.one_euro import OneEuro
from keypoint.prediction.stream import Predicted

SKELETON = load_skeleton("coco17")
RNG = np.random.default_rng(0)
POSE = RNG.uniform(0, 100, (1, 17, 2))
BOX = np.array([[0.0, 0.0, 100.0, 100.0]])


def predicted(number, keypoints, rate=25.0):
    seconds = 0.0 if number is None else number / rate
    frame = Frame(Path("a.mp4"), number, rate, seconds, 1, (200, 200), 1, None)
    persons = len(keypoints)
    scores = np.ones((persons, 17))
    return Predicted(frame, BOX.repeat(persons, 0), np.ones(persons), keypoints.copy(), scores, 0)


def end():
    return VideoEnd(Path("a.mp4"), 3, 3, None)


def test_videos_are_numbered_each_from_one_and_images_are_not():
    broken = Unread(Path("b.jpg"), Fault("b.jpg", "is broken", "unreadable"))
    events = [
        predicted(None, POSE),
        predicted(0, POSE),
        broken,
        predicted(1, np.concatenate([POSE + 500, POSE])),
        end(),
        predicted(0, POSE + 500),
        end(),
        predicted(None, POSE),
    ]
    found = list(follow(events, SKELETON, smooth=False))
    assert found == events
    ids = [e.ids if e.ids is None else e.ids.tolist() for e in found if isinstance(e, Predicted)]
    assert ids == [None, [1], [2, 1], [1], None]
    np.testing.assert_array_equal(found[3].keypoints[1:], POSE)  # nothing is smoothed


def test_each_person_has_a_filter_and_images_have_none():
    noisy = POSE + RNG.normal(0, 2, (5, 1, 17, 2))
    other = POSE + 500
    events = [predicted(0, noisy[0]), predicted(1, np.concatenate([other, noisy[1]]))]
    events += [predicted(i, np.concatenate([noisy[i], other + i])) for i in (2, 3, 4)]
    events += [end(), predicted(None, noisy[3])]
    found = list(follow(events, SKELETON, smooth=True))
    alone, seen = OneEuro(), np.ones(17, bool)
    for i, place in enumerate((0, 1, 0, 0, 0)):
        expected = alone(i / 25, noisy[i, 0], seen, 100.0)
        np.testing.assert_allclose(found[i].keypoints[place], expected, rtol=1e-12)
    assert np.abs(found[4].keypoints[0] - noisy[4, 0]).max() > 0.1
    np.testing.assert_array_equal(found[-1].keypoints, noisy[3])


def test_a_new_video_begins_anew():
    events = [predicted(0, POSE), end(), predicted(0, POSE + 3)]
    found = list(follow(events, SKELETON, smooth=True))
    np.testing.assert_array_equal(found[2].keypoints, POSE + 3)
