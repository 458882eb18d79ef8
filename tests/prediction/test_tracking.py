"""Ids against persons whose identity is known."""

import numpy as np
import pytest

from keypoint.evaluation.oks import oks
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.tracking import Tracker

SIGMAS = load_skeleton("coco17").oks_sigmas
RNG = np.random.default_rng(0)
POSES = RNG.uniform([0, 0], [50, 150], (6, 17, 2))  # of persons about 50 by 150 px
SURE = np.ones((6, 17))


def boxes(keypoints):
    first, last = keypoints.min(axis=1), keypoints.max(axis=1)
    return np.concatenate([first, last - first], axis=1)


def walk(frames, number=6, rate=30.0):
    """(T, P, K, 2): persons on lines that cross, 1.5 heights a second fast."""
    start = RNG.uniform(0, 600, (number, 1, 2))
    angle = RNG.uniform(0, 2 * np.pi, number)
    step = 1.5 * 150 / rate * np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None]
    moved = [POSES[:number] + start + i * step for i in range(frames)]
    return np.stack(moved) + RNG.normal(0, 1, (frames, number, 17, 2))


@pytest.mark.parametrize("seed", range(5))
def test_everybody_keeps_an_id_whatever_the_order_of_the_boxes(seed):
    rng = np.random.default_rng(seed)
    tracker = Tracker(SIGMAS)
    id_of = {}
    for i, points in enumerate(walk(60)):
        order = rng.permutation(6)
        ids = tracker.update(i / 30, points[order], SURE, boxes(points[order]))
        assert sorted(set(ids.tolist())) == [1, 2, 3, 4, 5, 6]
        for person, number in zip(order.tolist(), ids.tolist(), strict=True):
            assert id_of.setdefault(person, number) == number


def test_somebody_hidden_comes_back_as_the_same_for_a_second():
    person = POSES[:1]
    tracker = Tracker(SIGMAS)
    nobody = np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4))
    one = person, SURE[:1], boxes(person)
    assert tracker.update(0.0, *one).tolist() == [1]
    assert tracker.update(0.5, *nobody).tolist() == []
    assert tracker.update(0.9, *one).tolist() == [1]
    assert tracker.update(1.5, *nobody).tolist() == []
    assert tracker.update(2.0, *one).tolist() == [2]
    assert tracker.holds(2)
    assert not tracker.holds(1)


def test_frames_may_be_far_apart():
    """A slow network before a camera, or a time-lapse: whoever was on the last frame goes on."""
    tracker = Tracker(SIGMAS)
    for i in range(4):
        assert tracker.update(3.0 * i, POSES[:1], SURE[:1], boxes(POSES[:1])).tolist() == [1]


def test_somebody_else_is_somebody_else():
    tracker = Tracker(SIGMAS)
    assert tracker.update(0, POSES[:1], SURE[:1], boxes(POSES[:1])).tolist() == [1]
    both = np.concatenate([POSES[:1] + 300, POSES[:1]])
    assert tracker.update(0.1, both, SURE[:2], boxes(both)).tolist() == [2, 1]


def test_two_persons_alike_do_not_share_an_id():
    tracker = Tracker(SIGMAS)
    tracker.update(0, POSES[:1], SURE[:1], boxes(POSES[:1]))
    both = np.concatenate([POSES[:1] + [6, 0], POSES[:1] + [4, 0]])
    assert tracker.update(0.1, both, SURE[:2], boxes(both)).tolist() == [2, 1]


def test_similarity_is_oks_where_all_is_seen():
    tracker = Tracker(SIGMAS)
    moved = POSES + RNG.normal(0, 8, POSES.shape)
    tracker.update(0, POSES, SURE, boxes(POSES))
    areas = boxes(moved)[:, 2:].prod(axis=1)
    others = boxes(POSES)[:, 2:].prod(axis=1)
    found = tracker._similarity(moved, SURE > 0, areas)
    expected = [oks(p, POSES, a, others, SIGMAS) for p, a in zip(moved, areas, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_keypoints_that_one_frame_does_not_see_do_not_count():
    tracker = Tracker(SIGMAS)
    half = np.where(np.arange(17) < 5, 1.0, 0.1)[None]
    tracker.update(0, POSES[:1], half, boxes(POSES[:1]))
    elsewhere = POSES[:1].copy()
    elsewhere[:, 5:] += 500
    box = boxes(POSES[:1])
    assert tracker.update(0.1, elsewhere, SURE[:1], box).tolist() == [1]
    nothing = np.zeros((1, 17))
    assert tracker.update(0.2, POSES[:1], nothing, box).tolist() == [2]


def test_the_more_similar_pair_comes_first():
    """Two persons a step apart: the greedy choice is by similarity, not by order."""
    tracker = Tracker(SIGMAS)
    two = np.concatenate([POSES[:1], POSES[:1] + [12, 0]])
    tracker.update(0, two, SURE[:2], boxes(two))
    shifted = two + [5, 0]
    assert tracker.update(0.03, shifted[::-1], SURE[:2], boxes(shifted)).tolist() == [2, 1]
