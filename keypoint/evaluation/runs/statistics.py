"""Means, standard deviations and 95 % intervals of differences, in float64 and without SciPy.

Source: Student's t for paired differences; Welch 1947 for two samples of different variance, with
Satterthwaite's degrees of freedom; Efron 1979 for the percentile bootstrap. The distribution of t
is the incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8, 26.7.1).

An interval is the uncertainty of the *mean over all seeds* (t, Welch), or of the number of *one*
network on other images of the same kind (bootstrap). One does not replace the other.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DRAWS = 1000  # of a bootstrap
MOST_PAIRS = 1000  # that are looked for
TINY = 1e-300


@dataclass(frozen=True)
class Summary:
    """A number measured several times.

    Attributes:
        mean: Of the values.
        std: Sample standard deviation (n - 1); None for a single value.
        n: Number of values.
        low: Lower end of the 95 % t interval of the mean; None for a single value.
        high: Upper end.
    """

    mean: float
    std: float | None
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """A second number minus a first.

    Attributes:
        mean: The difference.
        low: Lower end of its 95 % interval; None if there is no interval.
        high: Upper end.
        method: "paired t", "Welch", "bootstrap", or "none".
        n: Values of each: of the first, of the second; images or videos of a bootstrap.
        std: Sample standard deviation of the differences of pairs; None for other methods.
    """

    mean: float
    low: float | None
    high: float | None
    method: str
    n: tuple[int, int]
    std: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation, with the t interval of the mean.

    Raises:
        ValueError: There is no value, or one that is not finite.
    """
    given = _checked(values)
    mean, n = float(given.mean()), len(given)
    if n == 1:
        return Summary(mean, None, 1)
    std = float(given.std(ddof=1))
    reach = _reach(std / math.sqrt(n), n - 1)
    return Summary(mean, std, n, mean - reach, mean + reach)


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mean of second - first, pair by pair, with the t interval over the pairs.

    Raises:
        ValueError: The numbers differ, there are fewer than two pairs, or a value is not finite.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"{len(first)} and {len(second)} values; give at least two pairs")
    apart = _checked(second) - _checked(first)
    n = len(apart)
    std = float(apart.std(ddof=1))
    found = _interval(float(apart.mean()), std / math.sqrt(n), n - 1, "paired t", (n, n))
    return replace(found, std=std)


def pairs_to_exclude_zero(mean: float, std: float) -> int | None:
    """Return the fewest pairs whose t interval excludes 0, if mean and deviation stay the same.

    Args:
        mean: Of the differences, not 0.
        std: Sample standard deviation of the differences.

    Returns:
        From 2 on; None if it is more than `MOST_PAIRS`.
    """

    def excludes(n: int) -> bool:
        return _reach(std / math.sqrt(n), n - 1) < abs(mean)

    if not excludes(MOST_PAIRS):
        return None
    # The interval becomes narrower with each pair, so this is a bisection.
    return bisect.bisect_left(range(MOST_PAIRS), True, lo=2, key=excludes)


def welch_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return the mean of second minus the mean of first, with Welch's t interval.

    Raises:
        ValueError: One has fewer than two values, or a value is not finite.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} values; give at least two of each")
    sides = [_checked(values) for values in (first, second)]
    of_mean = [float(side.var(ddof=1)) / len(side) for side in sides]
    variance = sum(of_mean)
    squares = sum(v**2 / (len(side) - 1) for v, side in zip(of_mean, sides, strict=True))
    # All equal: any degrees of freedom, as the interval is a point.
    degrees = variance**2 / squares if squares > 0 else 1.0
    mean = float(sides[1].mean() - sides[0].mean())
    counts = len(first), len(second)
    return _interval(mean, math.sqrt(variance), degrees, "Welch", counts)


def bootstrap_differences(
    difference: Callable[[NDArray[np.int64]], Mapping[str, float]],
    samples: int,
    *,
    seed: int,
    draws: int = DRAWS,
) -> dict[str, Difference]:
    """Return differences on a test set, with the percentile interval over resampled samples.

    All numbers are measured on the same draws. A draw on which a number is not defined, as without
    a person of a size, is left out of its interval.

    Args:
        difference: Maps (samples,) how often each sample counts, all 1 for the original test set,
            to differences by name, nan for one that is not defined.
        samples: Images or videos of the test set.
        seed: Of the draws.
        draws: How many times the samples are drawn, with replacement.

    Returns:
        The differences that are defined on the original test set.

    Raises:
        ValueError: Fewer than two samples.
    """
    if samples < 2:
        raise ValueError(f"{samples} samples; a bootstrap needs at least two")
    rng = np.random.default_rng(seed)
    as_it_is = difference(np.ones(samples, np.int64))
    names = [name for name, value in as_it_is.items() if not math.isnan(value)]
    found = np.empty((draws, len(names)))
    for row in found:
        drawn = difference(np.bincount(rng.integers(samples, size=samples), minlength=samples))
        row[:] = [drawn[name] for name in names]
    tail = (1 - CONFIDENCE) / 2
    differences = {}
    for name, column in zip(names, found.T, strict=True):
        defined = column[~np.isnan(column)]
        # Weibull's positions: as many draws as these hold 95 % on average, with fewer draws, too.
        ends = np.quantile(defined, [tail, 1 - tail], method="weibull") if len(defined) else None
        low, high = (None, None) if ends is None else map(float, ends)
        differences[name] = Difference(as_it_is[name], low, high, "bootstrap", (samples, samples))
    return differences


@functools.lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t for a probability.

    Args:
        probability: Above 0, below 1.
        degrees: Above 0; need not be whole.
    """
    if not 0 < probability < 1 or not degrees > 0:
        raise ValueError(f"probability {probability} and {degrees} degrees; give 0 < p < 1 and > 0")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while _below(high, degrees) < probability:
        low, high = high, 2 * high
    while high - low > 1e-14 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _below(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _below(t: float, degrees: float) -> float:
    """Probability that Student's t stays below t >= 0 (Abramowitz and Stegun 26.7.1)."""
    beyond = _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))
    return 1 - beyond / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # there the fraction of the other side converges quickly
        return 1 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a * _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of Abramowitz and Stegun 26.5.8, by Lentz's method."""
    above, below = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = below
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _not_zero(1 + term * below)
            above = _not_zero(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def _interval(
    mean: float, error: float, degrees: float, method: str, n: tuple[int, int]
) -> Difference:
    """Mean +- t times its standard error."""
    reach = _reach(error, degrees)
    return Difference(mean, mean - reach, mean + reach, method, n)


def _reach(error: float, degrees: float) -> float:
    """Half the width of a 95 % t interval."""
    return t_quantile((1 + CONFIDENCE) / 2, degrees) * error


def _checked(values: Sequence[float]) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        raise ValueError(f"values {list(values)}; give at least one finite number")
    return given
