"""Ids against persons whose identity is known; the filter against the paper's algorithm."""

from pathlib import Path

import numpy as np
import pytest

from keypoint.data.report import Fault
from keypoint.evaluation.oks import oks
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.inputs.frames import Frame, Unread, VideoEnd
from keypoint.prediction.output import record_of
from keypoint.prediction.stream import Predicted
from keypoint.prediction.tracking import BETA, MIN_CUTOFF, OneEuro, Tracker, follow
from tests.reference.one_euro import one_euro

SKELETON = load_skeleton("coco17")
SIGMAS = SKELETON.oks_sigmas
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
def test_everyone_keeps_an_id_whatever_the_order_of_the_boxes(seed):
    rng = np.random.default_rng(seed)
    tracker = Tracker(SIGMAS)
    id_of = {}
    for i, points in enumerate(walk(60)):
        order = rng.permutation(6)
        ids = tracker.update(i / 30, points[order], SURE, boxes(points[order]))
        assert sorted(set(ids.tolist())) == [1, 2, 3, 4, 5, 6]
        for person, number in zip(order.tolist(), ids.tolist(), strict=True):
            assert id_of.setdefault(person, number) == number


def test_a_hidden_person_comes_back_as_the_same_for_a_second():
    person = POSES[:1]
    tracker = Tracker(SIGMAS)
    nothing = np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4))
    one = person, SURE[:1], boxes(person)
    assert tracker.update(0.0, *one).tolist() == [1]
    assert tracker.update(0.5, *nothing).tolist() == []
    assert tracker.update(0.9, *one).tolist() == [1]
    assert tracker.update(1.5, *nothing).tolist() == []
    assert tracker.update(2.0, *one).tolist() == [2]
    assert tracker.holds(2)
    assert not tracker.holds(1)


def test_frames_may_be_far_apart():
    """A slow network before a camera, or a time-lapse: a person on the last frame keeps the id."""
    tracker = Tracker(SIGMAS)
    for i in range(4):
        assert tracker.update(3.0 * i, POSES[:1], SURE[:1], boxes(POSES[:1])).tolist() == [1]


def test_another_person_is_another():
    tracker = Tracker(SIGMAS)
    assert tracker.update(0, POSES[:1], SURE[:1], boxes(POSES[:1])).tolist() == [1]
    both = np.concatenate([POSES[:1] + 300, POSES[:1]])
    assert tracker.update(0.1, both, SURE[:2], boxes(both)).tolist() == [2, 1]


def test_two_persons_alike_do_not_share_an_id():
    tracker = Tracker(SIGMAS)
    tracker.update(0, POSES[:1], SURE[:1], boxes(POSES[:1]))
    both = np.concatenate([POSES[:1] + [6, 0], POSES[:1] + [4, 0]])
    assert tracker.update(0.1, both, SURE[:2], boxes(both)).tolist() == [2, 1]


def test_similarity_by_loops():
    """OKS with scores as weights, and the boxes' overlap as a third as many keypoints."""
    tracker = Tracker(SIGMAS)
    scores, later = RNG.uniform(-0.1, 1, (2, 6, 17))
    moved = POSES + RNG.normal(0, 8, POSES.shape)
    areas = [boxes(points)[:, 2:].prod(axis=1) for points in (moved, POSES)]
    tracker.update(0, POSES, scores, boxes(POSES))
    found = tracker._similarity(0.1, moved, np.maximum(later, 0), boxes(moved))
    for p, t in np.ndindex(6, 6):
        scale, total, most = min(areas[0][p], areas[1][t]), 0.0, 0.0
        for k in range(17):
            lower, higher = sorted([max(later[p, k], 0), max(scores[t, k], 0)])
            distance = np.sum((moved[p, k] - POSES[t, k]) ** 2)
            total += lower * np.exp(-distance / (2 * scale * (2 * SIGMAS[k]) ** 2))
            most += higher
        iou = overlap(boxes(moved)[p], boxes(POSES)[t])
        assert found[p, t] == pytest.approx((total + 17 / 3 * iou) / (most + 17 / 3), rel=1e-9)
    same = Tracker(SIGMAS)
    same.update(0, POSES, SURE, boxes(POSES))
    among = same._similarity(0.1, moved, SURE, boxes(moved))
    without_boxes = (among * (17 + 17 / 3) - 17 / 3 * overlaps(moved, POSES)) / 17
    least = np.minimum(areas[0][:, None], areas[1])
    expected = [oks(p, POSES, a, a, SIGMAS) for p, a in zip(moved, least, strict=True)]
    np.testing.assert_allclose(without_boxes, expected, rtol=1e-9)


def overlap(one, other):
    """Intersection over union of two boxes xywh, from the spans of x and of y."""
    shared = 1.0
    for i in (0, 1):
        ends = min(one[i] + one[i + 2], other[i] + other[i + 2])
        shared *= max(0.0, ends - max(one[i], other[i]))
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def overlaps(ones, others):
    return np.array([[overlap(a, b) for b in boxes(others)] for a in boxes(ones)])


def test_keypoints_count_by_their_scores():
    tracker = Tracker(SIGMAS)
    half = np.where(np.arange(17) < 5, 1.0, 0.1)[None]
    tracker.update(0, POSES[:1], half, boxes(POSES[:1]))
    elsewhere, apart = POSES[:1].copy(), POSES[:1].copy()
    elsewhere[:, 5:] += 500
    apart[:, :5] += 500
    both = np.concatenate([apart, elsewhere])
    same_box = boxes(POSES[[0, 0]])
    assert tracker.update(0.1, both, half[[0, 0]], same_box).tolist() == [2, 1]


# A person of 60 by 180 px who walks, as detections: keypoints, scores, box.
STANDING = np.stack([RNG.uniform(12, 48, 17), np.linspace(9, 171, 17)], axis=1)


def walker(i, speed=12.0):
    return STANDING + [100 + speed * i, 50], np.full(17, 0.9), [100 + speed * i, 50, 60, 180]


def sure_of(*keypoints):
    return np.where(np.isin(np.arange(17), keypoints), 0.9, 0.05)


def lower_half(i):
    x = 100 + 12 * i
    return STANDING + [x - 6, 50], sure_of(11, 12), [x, 140, 60, 90]


def upper_half(i):
    x = 100 + 12 * i
    return STANDING + [x - 6, 50], sure_of(*range(11)), [x, 50, 60, 90]


def bystander(i):
    """Stands where the walker comes along; one keypoint is sure, just where the walker had it."""
    points = STANDING + [136, 50]
    points[5] = STANDING[5] + [100 + 12 * (i - 1), 50]
    return points, sure_of(5), [136, 50, 60, 180]


def whole_image_box(i):
    """With keypoints that lie a quarter of a person off."""
    return STANDING + [85 + 12 * i, 90], np.full(17, 0.9), [0, 0, 640, 480]


def again(i):
    points, scores, box = walker(i)
    return points + 1, scores - 0.1, [box[0] + 1, box[1] + 1, 60, 180]


def tracked(frames, rate=30.0):
    """Ids of frames, each a list of detections."""
    tracker, found = Tracker(SIGMAS), []
    for i, persons in enumerate(frames):
        columns = [np.array(column, float) for column in zip(*persons, strict=True)]
        found.append(tracker.update(i / rate, *columns).tolist() if persons else [])
    return found


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "other", [lower_half, upper_half, bystander, whole_image_box, again], ids=lambda f: f.__name__
)
def test_a_moving_person_keeps_the_id_next_to_other_detections(other, first):
    """These come for three frames, for some frames, or stay."""
    for there in ([3, 4, 5], [3, 6, 9], range(3, 12)):
        frames = [[walker(i), other(i)] if i in there else [walker(i)] for i in range(12)]
        frames = frames if first else [frame[::-1] for frame in frames]
        assert {found[0 if first else -1] for found in tracked(frames)} == {1}


def test_low_scores_are_no_reason_for_a_new_id():
    """The peaks of a network that was hardly trained: anywhere, and low or even below 0."""
    rng = np.random.default_rng(3)
    for level in (0.03, 0.2, -0.01):
        scores = level * rng.uniform(0.5, 1.5, (90, 17))
        points = rng.uniform(0, 1, (90, 17, 2)) * [640, 480]
        frames = [[(points[i], scores[i], [0, 0, 640, 480])] for i in range(90)]
        assert {found[0] for found in tracked(frames)} == {1}


def test_a_walker_is_found_where_the_speed_has_brought_them():
    """Hidden for half a second; and at five frames a second, a third of the width from the start."""
    hidden = [[] if 15 <= i < 30 else [walker(i, 6.0)] for i in range(45)]
    assert {number for found in tracked(hidden) for number in found} == {1}
    slow = [[walker(i, 40.0), walker(12 - i, 40.0)] for i in range(12)]
    ids = tracked(slow, rate=5.0)
    assert ids == [[1, 2]] * 12


def test_the_more_similar_pair_comes_first():
    """Two persons a step apart: the greedy choice is by similarity, not by order."""
    tracker = Tracker(SIGMAS)
    two = np.concatenate([POSES[:1], POSES[:1] + [12, 0]])
    tracker.update(0, two, SURE[:2], boxes(two))
    shifted = two + [5, 0]
    assert tracker.update(0.03, shifted[::-1], SURE[:2], boxes(shifted)).tolist() == [2, 1]


ALL_SEEN = np.ones(3, bool)
PERIOD = 1 / 30


def run(points, size=100.0, period=PERIOD, seen=None):
    """(T, K, 2) through one filter."""
    smooth = OneEuro()
    shown = np.ones(points.shape[:2], bool) if seen is None else seen
    return np.stack(
        [smooth(i * period, p, s, size) for i, (p, s) in enumerate(zip(points, shown, strict=True))]
    )


@pytest.mark.parametrize(("period", "size"), [(1 / 30, 100.0), (1 / 12.5, 37.0)])
def test_as_the_paper_writes_it(period, size):
    points = RNG.normal(0, 20, (50, 3, 2)).cumsum(axis=0)
    expected = [one_euro(points[:, k].tolist(), period, size, MIN_CUTOFF, BETA) for k in range(3)]
    np.testing.assert_allclose(run(points, size, period), np.swapaxes(expected, 0, 1), rtol=1e-9)


def test_still_keypoints_tremble_less():
    points = 50 + RNG.normal(0, 1, (300, 3, 2))
    assert run(points)[30:].std() < 0.4 * points[30:].std()


def test_a_moving_keypoint_is_followed():
    """At two sizes a second, which is fast, it lags less than a frame and a half."""
    points = np.repeat(np.arange(90)[:, None, None] * [2 * 100 * PERIOD, 0], 3, axis=1)
    lag = (points - run(points))[60:, :, 0] / (2 * 100 * PERIOD)
    assert (lag > 0).all()
    assert lag.max() < 1.5


def test_the_same_at_any_resolution():
    points = RNG.normal(0, 5, (40, 3, 2)).cumsum(axis=0)
    np.testing.assert_allclose(run(10 * points, 1000.0), 10 * run(points, 100.0), rtol=1e-9)


def test_an_unseen_keypoint_passes_and_starts_over():
    points = RNG.normal(0, 5, (20, 3, 2))
    seen = np.ones((20, 3), bool)
    seen[8:11, 1] = False
    found = run(points, seen=seen)
    np.testing.assert_array_equal(found[8:12, 1], points[8:12, 1])
    np.testing.assert_allclose(found[11:, 1], run(points[11:])[:, 1], rtol=1e-9)
    np.testing.assert_allclose(found[:, 0], run(points)[:, 0], rtol=1e-9)


def test_the_callers_arrays_stay():
    smooth = OneEuro()
    points = RNG.normal(0, 5, (2, 3, 2))
    before = points.copy()
    first = smooth(0.0, points[0], ALL_SEEN, 10.0)
    first += 100
    second = smooth(0.1, points[1], ALL_SEEN, 10.0)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_allclose(second, run(before, 10.0, 0.1)[1])


POSE = RNG.uniform(0, 100, (1, 17, 2))
BOX = np.array([[0.0, 0.0, 100.0, 100.0]])


def predicted(number, keypoints, rate=25.0):
    seconds = 0.0 if number is None else number / rate
    frame = Frame(Path("a.mp4"), number, rate, seconds, 1, (200, 200), 1, None)
    persons = len(keypoints)
    scores = np.ones((persons, 17))
    return Predicted(frame, BOX.repeat(persons, 0), np.ones(persons), keypoints.copy(), scores, 0)


def test_seconds_are_written_to_the_microsecond():
    assert record_of(predicted(3, POSE, rate=7.0))["seconds"] == 0.428571


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


def test_a_new_video_starts_over():
    events = [predicted(0, POSE), end(), predicted(0, POSE + 3)]
    found = list(follow(events, SKELETON, smooth=True))
    np.testing.assert_array_equal(found[2].keypoints, POSE + 3)
