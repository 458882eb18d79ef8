"""Two or more tests of the same videos, side by side, video by video and class by class.

Source: PNL, Fig. 4: the classes in which a network with a block is better than the base by at least
5 points. Different here: the classes in which it is worse by as much are listed too, and so is the
number of classes to be expected if the networks were equal: of 200 classes with 25 test videos each
(Mini-Kinetics) 32, if one alone is right on a tenth of the videos, as two videos are 8 points.

The tests are paired: both networks saw the same videos, so what counts are the videos that only
one of them has right. If the networks are equally good, each of these is as likely the one's as
the other's (McNemar's test in its exact form, a binomial of one half).
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

LEAST_GAIN = 0.05  # of PNL, Fig. 4
NAMED = 3


@dataclass(frozen=True)
class Paired:
    """Two tests of the same videos.

    Attributes:
        both: Videos that both have right.
        only_first: Videos that only the first has right.
        only_second: Videos that only the second has right.
        neither: Videos that none has right.
        p_value: Probability that `only_first` and `only_second` are as far apart or farther if the
            networks are equally good; exact, two-sided.
        chance_classes: Number of classes in which the second would be better by the least gain, if
            the networks were equally good; as many would be worse.
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
        """Top-1 of the second less that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.videos

    @property
    def gain_error(self) -> float:
        """Standard error of `gain` over other videos of the same kind, from the paired counts."""
        apart = (self.only_first + self.only_second) / self.videos
        return math.sqrt(max(0.0, apart - self.gain**2) / self.videos)


@dataclass(frozen=True)
class Comparison:
    """Tests of the same videos; the first is what the others are compared with.

    Attributes:
        names: Of the R tests.
        accuracies: R.
        paired: R - 1, of the first with each of the others.
        least_gain: By which a class must differ to be listed.
        differences: Conditions in which the tests differ: R values by key, None if it has none.
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
        """Accuracy by class and test, (C, R); nan for a class without a video."""
        return np.stack([accuracy.per_class for accuracy in self.accuracies], axis=1)

    def better(self) -> list[int]:
        """Classes in which the second test is better by the least gain, the greatest gain first."""
        return self._listed(1)

    def worse(self) -> list[int]:
        """Classes in which the second test is worse by the least gain, the greatest loss first."""
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
        tests: Two or more by name; the first is the base. Videos and classes may be in another
            order in each; videos without a label are left out.
        least_gain: Classes that differ by less are not listed; above 0, to 1.

    Raises:
        DataError: The tests are of other videos, classes or labels; names them.
        ValueError: Fewer than two tests, or a least gain that is out of range.
    """
    if len(tests) < 2 or not 0 < least_gain <= 1:
        raise ValueError(
            f"{len(tests)} tests, least gain {least_gain}; give two tests at least, and a gain "
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
        DataError: They are not the same, or a video has another class; says which.
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
            f"{both}: {len(unequal)} of {len(base)} videos have another label, such as "
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
            f"{both}: they are of other {what}: {', '.join(parts)}; test both with the same list"
        )


def count_paired(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    labels: NDArray[np.int64],
    least_gain: float = LEAST_GAIN,
) -> Paired:
    """Count the videos that both, one or none of two networks have right.

    Args:
        first: (N,), whether the first network is right.
        second: (N,), whether the second is.
        labels: (N,) index of each video's class.
        least_gain: For `chance_classes`.
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
    """Videos by which two tests must differ in each class, one at least.

    The gain is reduced by a rounding error: 0.05 of 20 videos is one.
    """
    least: NDArray[np.int64] = np.maximum(1, np.ceil(least_gain * count - 1e-9)).astype(np.int64)
    return least


def _tail(number: int, least: int) -> float:
    """Probability of `least` or more heads in `number` throws of a coin; exact."""
    if least > number:
        return 0.0
    term = total = 1  # number over k, from k = 0, as heads and tails may be exchanged
    for k in range(number - least):
        term = term * (number - k) // (k + 1)
        total += term
    return total / (1 << number)


def differing(conditions: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Conditions by key in which tests differ, the value of each test; None if it has none."""
    keys = dict.fromkeys(key for one in conditions for key in one)
    values = {key: tuple(one.get(key) for one in conditions) for key in keys}
    return {key: each for key, each in values.items() if any(v != each[0] for v in each)}
