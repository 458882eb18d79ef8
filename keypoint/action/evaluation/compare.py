"""Compare two or more tests of the same videos, by video and by class.

Source: PNL, Fig. 4: the classes in which a network with a block is better than the base by at least
5 points. Different here: classes that are worse by as much are listed too, as is the number of
classes expected by chance if the networks are equally good. For example, that is 32 of 200 classes
with 25 test videos each (Mini-Kinetics), if only one network is right on a tenth of the videos,
because two videos are 8 points.

The tests are paired: both networks saw the same videos, so only the videos matter on which exactly
one of them is right. If the networks are equally good, each of these is equally likely for either
network (McNemar's exact test, a binomial distribution with p = 1/2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.action.evaluation.accuracy import Accuracy, measure_accuracy
from keypoint.action.evaluation.scores import VideoScores
from keypoint.errors import DataError

LEAST_GAIN = 0.05  # PNL, Fig. 4
NAMED = 3


@dataclass(frozen=True)
class Paired:
    """Two tests of the same videos.

    Attributes:
        both: Number of videos on which both are right.
        only_first: Number of videos on which only the first is right.
        only_second: Number of videos on which only the second is right.
        neither: Number of videos on which neither is right.
        p_value: Probability of at least this difference between `only_first` and `only_second` if
            the networks are equally good; exact, two-sided.
        chance_classes: Expected number of classes in which the second is better by the least gain,
            if the networks are equally good; the same number is worse.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float
    chance_classes: float

    @property
    def videos(self) -> int:
        """Number of all videos."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def gain(self) -> float:
        """Top-1 of the second minus that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.videos

    @property
    def gain_error(self) -> float:
        """Standard error of `gain` over other videos of the same kind, from the paired counts."""
        apart = (self.only_first + self.only_second) / self.videos
        return math.sqrt(max(0.0, apart - self.gain**2) / self.videos)


@dataclass(frozen=True)
class Comparison:
    """Tests of the same videos, compared with the first one.

    Attributes:
        names: Names of the R tests.
        accuracies: Accuracies of the R tests.
        paired: R - 1 comparisons of the first with each of the others.
        least_gain: Smallest difference of a class that is listed.
        differences: Conditions in which the tests differ: R values by key, None if missing.
    """

    names: tuple[str, ...]
    accuracies: tuple[Accuracy, ...]
    paired: tuple[Paired, ...]
    least_gain: float
    differences: dict[str, tuple[Any, ...]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.accuracies[0].classes

    @property
    def count(self) -> NDArray[np.int64]:
        """Videos of each class, (C,)."""
        return self.accuracies[0].count

    def table(self) -> NDArray[np.float64]:
        """Return the accuracy by class and test, (C, R); nan for a class without a video."""
        return np.stack([accuracy.per_class for accuracy in self.accuracies], axis=1)

    def better(self) -> list[int]:
        """Return the classes in which the second test is better by the least gain, best first."""
        return self._listed(1)

    def worse(self) -> list[int]:
        """Return the classes in which the second test is worse by the least gain, worst first."""
        return self._listed(-1)

    def _listed(self, sign: int) -> list[int]:
        right = [accuracy.right for accuracy in self.accuracies[:2]]
        gained = sign * (right[1] - right[0])
        listed = np.flatnonzero(gained >= _least_videos(self.least_gain, self.count))
        gains = {int(c): gained[c] / self.count[c] for c in listed}
        return sorted(gains, key=lambda c: (-gains[c], c))


def compare_tests(tests: Mapping[str, VideoScores], least_gain: float = LEAST_GAIN) -> Comparison:
    """Compare tests of the same videos.

    Args:
        tests: Two or more by name; the first is the base. Their videos and classes may be in
            different orders; videos without a label are left out.
        least_gain: Classes that differ by less are not listed; above 0, up to 1.

    Raises:
        DataError: The tests have different videos, classes or labels; names them.
        ValueError: There are fewer than two tests, or the least gain is out of range.
    """
    if len(tests) < 2 or not 0 < least_gain <= 1:
        raise ValueError(
            f"{len(tests)} tests, least gain {least_gain}; give at least two tests, and a gain "
            "above 0 and up to 1"
        )
    names = tuple(tests)
    base = tests[names[0]].labelled()
    aligned = [base, *(align(names[0], base, name, tests[name]) for name in names[1:])]
    accuracies = [measure_accuracy(test.scores, test.labels, test.classes) for test in aligned]
    rights = [test.scores.argmax(axis=1) == test.labels for test in aligned]
    paired = [count_paired(rights[0], right, base.labels, least_gain) for right in rights[1:]]
    conditions = [test.conditions for test in aligned]
    return Comparison(names, tuple(accuracies), tuple(paired), least_gain, differing(conditions))


def align(base_name: str, base: VideoScores, name: str, other: VideoScores) -> VideoScores:
    """Put videos and classes of a test in the order of another.

    Raises:
        DataError: They are not the same, or a video has another class; names them.
    """
    other = other.labelled()
    both = f"{base_name} and {name} cannot be compared"
    for what, first, second in (
        ("classes", base.classes, other.classes),
        ("videos", base.names, other.names),
    ):
        _require_same(both, what, first, second, (base_name, name))
    row_of = {video: row for row, video in enumerate(other.names)}
    column_of = {label: column for column, label in enumerate(other.classes)}
    rows = [row_of[video] for video in base.names]
    columns = [column_of[label] for label in base.classes]
    labels = np.argsort(columns)[other.labels[rows]]  # argsort of a permutation is its inverse
    unequal = np.flatnonzero(labels != base.labels)
    if len(unequal):
        video = int(unequal[0])
        raise DataError(
            f"{both}: {len(unequal)} of {len(base)} videos have different labels, such as "
            f"{base.names[video]!r}: {base.classes[base.labels[video]]!r} and "
            f"{base.classes[labels[video]]!r}; test both with the same list"
        )
    scores = other.scores[np.ix_(rows, columns)]
    return VideoScores(base.names, base.classes, labels, scores, other.conditions)


def _require_same(
    both: str, what: str, first: Sequence[str], second: Sequence[str], names: tuple[str, str]
) -> None:
    """Refuse two sets of names that differ."""
    extra = [sorted(set(a) - set(b)) for a, b in ((first, second), (second, first))]
    parts = [
        f"{len(only)} only in {name} ({', '.join(map(repr, only[:NAMED]))}"
        f"{' ..' if len(only) > NAMED else ''})"
        for name, only in zip(names, extra, strict=True)
        if only
    ]
    if parts:
        raise DataError(
            f"{both}: they have different {what}: {', '.join(parts)}; test both with the same list"
        )


def count_paired(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    labels: NDArray[np.int64],
    least_gain: float = LEAST_GAIN,
) -> Paired:
    """Count the videos on which both, one or neither of two networks is right.

    Args:
        first: (N,), whether the first network is right.
        second: (N,), whether the second is right.
        labels: (N,) index of each video's class.
        least_gain: Least gain for `chance_classes`.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count = np.bincount(labels)
    apart = np.bincount(labels[first != second], minlength=len(count))
    least = _least_videos(least_gain, count)
    chance = sum(
        _tail(int(n), math.ceil((int(n) + int(m)) / 2))
        for n, m in zip(apart, least, strict=True)
        if n
    )
    total = only_first + only_second
    return Paired(
        int((first & second).sum()),
        only_first,
        only_second,
        int((~first & ~second).sum()),
        min(1.0, 2 * _tail(total, max(only_first, only_second))),
        chance,
    )


def _least_videos(least_gain: float, count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of videos by which tests must differ in each class, at least one.

    The gain is reduced by a rounding error, so that 0.05 of 20 videos is one.
    """
    least: NDArray[np.int64] = np.maximum(1, np.ceil(least_gain * count - 1e-9)).astype(np.int64)
    return least


def _tail(number: int, least: int) -> float:
    """Return the exact probability of at least `least` heads in `number` tosses of a coin."""
    if least > number:
        return 0.0
    term = total = 1  # number over k, from k = 0, because heads and tails are symmetric
    for k in range(number - least):
        term = term * (number - k) // (k + 1)
        total += term
    return total / (1 << number)


def differing(conditions: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the conditions in which tests differ: the value of each test by key, or None."""
    keys = dict.fromkeys(key for one in conditions for key in one)
    values = {key: tuple(one.get(key) for one in conditions) for key in keys}
    return {key: each for key, each in values.items() if any(v != each[0] for v in each)}
