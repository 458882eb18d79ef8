"""The filter against the paper's algorithm in plain loops, and what it is for."""

import numpy as np
import pytest

from keypoint.prediction.one_euro import BETA, MIN_CUTOFF, OneEuro
from tests.reference.one_euro import one_euro

RNG = np.random.default_rng(0)
SEEN = np.ones(3, bool)
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


def test_an_unseen_keypoint_passes_and_begins_anew():
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
    first = smooth(0.0, points[0], SEEN, 10.0)
    first += 100
    second = smooth(0.1, points[1], SEEN, 10.0)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_allclose(second, run(before, 10.0, 0.1)[1])
