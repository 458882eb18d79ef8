"""Intervals are SciPy's, and hold what they are about in 95 of 100 simulations."""

import numpy as np
import pytest
from scipy import stats

from keypoint.evaluation.runs.statistics import (
    bootstrap_differences,
    paired_difference,
    pairs_to_exclude_zero,
    summarise,
    t_quantile,
    welch_difference,
)

# scipy 1.17: stats.t.ppf(p, degrees)
QUANTILES = {
    (0.975, 1): 12.706204736174694,
    (0.975, 2): 4.302652729749462,
    (0.975, 2.7): 3.3921483831737507,
    (0.975, 4): 2.7764451051977934,
    (0.95, 9.99): 1.8126452389191674,
    (0.025, 30): -2.042272456301238,
    (0.6, 1.3): 0.3081832765664806,
    (0.99999, 100): 4.4784269029939034,
}
A = [0.704, 0.711, 0.708, 0.699, 0.716]
B = [0.713, 0.712, 0.721, 0.709, 0.715]
PAIRED = (-0.001132306753393755, 0.013932306753393766)
WELCH = (-0.0024984520820973913, 0.017965118748763907)  # the first three of B


@pytest.mark.parametrize(("at", "value"), QUANTILES.items(), ids=str)
def test_quantiles_are_scipys(at, value):
    assert t_quantile(*at) == pytest.approx(value, rel=1e-10)


def test_two_degrees_have_a_closed_form():
    for p in (0.1, 0.5, 0.8, 0.999):
        wanted = (2 * p - 1) / np.sqrt(2 * p * (1 - p))
        assert t_quantile(p, 2) == pytest.approx(wanted, rel=1e-10, abs=1e-12)


def test_intervals_are_scipys():
    """By scipy 1.17: ttest_rel(B, A) and ttest_ind(B, A, equal_var=False)."""
    found = paired_difference(A, B)
    assert (found.low, found.high) == pytest.approx(PAIRED, abs=1e-12)
    assert (found.mean, found.n) == (pytest.approx(0.0064), (5, 5))
    found = welch_difference(A, B[:3])
    assert (found.low, found.high) == pytest.approx(WELCH, abs=1e-12)
    assert (found.method, found.n) == ("Welch", (5, 3))


def test_the_pairs_that_exclude_zero_are_scipys():
    """The first n whose interval excludes 0, by a search from 2 on with SciPy's quantiles."""
    for ratio in (0.01, 0.1, 0.5, 1, 2.5, 4.4, 6, 10):
        fits = (n for n in range(2, 1001) if stats.t.ppf(0.975, n - 1) / n**0.5 * 0.003 < 0.003 / ratio)  # fmt: skip
        assert pairs_to_exclude_zero(-0.003 / ratio, 0.003) == next(fits)
    assert pairs_to_exclude_zero(0.0001, 0.003) is None
    # Such pairs, and one fewer.
    for n, excludes in ((8, True), (7, False)):
        values = np.random.default_rng(0).normal(size=n)
        values = (values - values.mean()) / values.std(ddof=1) + 0.9
        found = paired_difference(np.zeros(n), values)
        assert found.std == pytest.approx(1)
        assert found.clear is excludes
    assert pairs_to_exclude_zero(0.9, 1) == 8


def test_a_summary():
    assert summarise([1.0, 2.0, 6.0]).std == pytest.approx(np.sqrt(7))
    single = summarise([3.0])
    assert (single.mean, single.std, single.n) == (3.0, None, 1)
    assert (single.low, single.high) == (None, None)
    # scipy 1.17: ttest_1samp(A, 0).confidence_interval()
    found = summarise(A)
    assert (found.low, found.high) == pytest.approx((0.6995244097929862, 0.7156755902070138))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]]])
def test_no_summary(values):
    with pytest.raises(ValueError, match="at least one finite number"):
        summarise(values)


def test_too_few_for_an_interval():
    with pytest.raises(ValueError, match="at least two pairs"):
        paired_difference([1.0], [2.0])
    with pytest.raises(ValueError, match="at least two of each"):
        welch_difference([1.0, 2.0], [2.0])
    with pytest.raises(ValueError, match="at least two"):
        bootstrap_differences(lambda times: {}, 1, seed=0)


def test_equal_values_have_a_point_for_an_interval():
    found = welch_difference([0.5, 0.5], [0.5, 0.5])
    assert (found.low, found.high, found.clear) == (0, 0, False)
    assert paired_difference([0.1, 0.2], [0.2, 0.3]).clear


def test_a_number_that_a_draw_does_not_define_is_left_out_of_it():
    nan = float("nan")

    def difference(times):
        some = times @ values / 20 if times[0] else nan
        return {"all": times @ values / 20, "some": some, "none": nan}

    values = np.arange(20) / 20
    found = bootstrap_differences(difference, 20, seed=0, draws=400)
    assert list(found) == ["all", "some"]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(400):  # the same draws, one by one
        times = np.bincount(rng.integers(20, size=20), minlength=20)
        drawn += [difference(times)["some"]] if times[0] else []
    assert 200 < len(drawn) < 300
    drawn = sorted(drawn)
    low = 0.025 * (len(drawn) + 1) - 1  # Weibull: the place of a share p is p (n + 1)
    below = drawn[int(low)] + (low % 1) * (drawn[int(low) + 1] - drawn[int(low)])
    assert found["some"].low == pytest.approx(below, abs=1e-12)
    assert found["some"].mean == found["all"].mean == pytest.approx(values.mean())


def simulated(interval, simulations, rng, seeds=3, shared=0.01):
    """Share of intervals that hold the true difference, .01; seeds of unequal networks' spread."""
    held = 0
    for _ in range(simulations):
        luck = rng.normal(0, shared, seeds)
        first = 0.70 + luck + rng.normal(0, 0.005, seeds)
        other = 0.71 + luck + rng.normal(0, 0.02, seeds)
        found = interval(first, other)
        held += found.low <= 0.01 <= found.high
    return held / simulations


@pytest.mark.parametrize(("interval", "shared"), [(paired_difference, 0.01), (welch_difference, 0)])
def test_the_interval_holds_the_truth_in_95_of_100(interval, shared):
    held = simulated(interval, 1000, np.random.default_rng(1), shared=shared)
    assert held == pytest.approx(0.95, abs=0.02)


def test_the_bootstrap_holds_the_truth_in_95_of_100():
    """Videos of which the first network has .6 right and the second, not independently, .65."""
    rng, held, videos = np.random.default_rng(2), 0, 200
    for seed in range(200):
        u = rng.random(videos)
        other = np.where(rng.random(videos) < 0.7, u < 0.65, rng.random(videos) < 0.65)
        apart = other.astype(float) - (u < 0.6)
        found = bootstrap_differences(
            lambda times, apart=apart: {"a": times @ apart / videos}, videos, seed=seed, draws=200
        )["a"]
        held += found.low - 1e-12 <= 0.05 <= found.high + 1e-12
    assert held / 200 == pytest.approx(0.95, abs=0.045)
