"""Accuracies of a test: top-1, top-5, mean per class, and the confusion matrix.

A video's scores are the mean of the softmax probabilities over its clips. Classes of equal score
are ranked by their index, so the first class of highest score is predicted (as by argmax of NumPy,
torch and scikit-learn). A network with equal scores for all classes is right only on the first.

Letters: N videos, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keypoint.errors import NumericsError

TOP = 5


@dataclass(frozen=True)
class Confused:
    """Videos of one class that are predicted as another.

    Attributes:
        label: The true class.
        predicted: The predicted class.
        videos: Number of these videos.
        share: Their share of all videos of the true class, 0 to 1.
    """

    label: str
    predicted: str
    videos: int
    share: float


@dataclass(frozen=True)
class Accuracy:
    """Counts of correct videos, from which all accuracies are computed.

    Attributes:
        classes: Names of the C classes.
        confusion: (C, C) int64, videos by label (rows) and predicted class (columns).
        top5_right: Number of videos whose class is among the five of highest score; None for
            C <= 5.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    top5_right: int | None

    @property
    def count(self) -> NDArray[np.int64]:
        """Videos of each class, (C,)."""
        count: NDArray[np.int64] = self.confusion.sum(axis=1)
        return count

    @property
    def right(self) -> NDArray[np.int64]:
        """Correct videos of each class, (C,)."""
        return np.diagonal(self.confusion)

    @property
    def videos(self) -> int:
        """Number of all videos."""
        return int(self.confusion.sum())

    @property
    def per_class(self) -> NDArray[np.float64]:
        """Accuracy of each class, (C,) from 0 to 1; nan for a class without a video."""
        count = self.count
        shares = np.full(len(count), np.nan)
        np.divide(self.right, count, out=shares, where=count > 0)
        return shares

    @property
    def top1(self) -> float:
        """Share of correct videos, 0 to 1."""
        return int(self.right.sum()) / self.videos

    @property
    def top5(self) -> float | None:
        """Share of videos whose class is among the five of highest score; None for C <= 5."""
        return None if self.top5_right is None else self.top5_right / self.videos

    @property
    def mean_class(self) -> float:
        """Mean of the accuracies of the classes that have a video, 0 to 1."""
        return float(np.nanmean(self.per_class))

    @property
    def top1_error(self) -> float:
        """Binomial standard error of `top1` over other videos of the same kind, 0 to 0.5.

        It does not include the variation between trainings, and is 0 for a `top1` of 0 or 1.
        """
        return math.sqrt(self.top1 * (1 - self.top1) / self.videos)

    def metrics(self) -> dict[str, float]:
        """Return the accuracies by name, without `top5` if it is None."""
        values = {"top1": self.top1, "top5": self.top5, "mean_class": self.mean_class}
        return {name: value for name, value in values.items() if value is not None}

    def worst(self, number: int) -> list[int]:
        """Return the classes of lowest accuracy; of equal ones, those with more videos first."""
        measured = [c for c in range(len(self.classes)) if self.count[c]]
        accuracies = self.per_class
        return sorted(measured, key=lambda c: (accuracies[c], -self.count[c], c))[:number]

    def confused(self, number: int) -> list[Confused]:
        """Return the pairs of classes with the most wrong videos, each direction separately."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:number]
        pairs = (divmod(int(place), len(self.classes)) for place in order)
        return [
            Confused(
                self.classes[label],
                self.classes[predicted],
                int(wrong[label, predicted]),
                float(wrong[label, predicted] / self.count[label]),
            )
            for label, predicted in pairs
            if wrong[label, predicted]
        ]


def measure_accuracy(scores: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> Accuracy:
    """Count correct videos.

    Args:
        scores: (N, C), higher is more likely.
        labels: (N,) index of each video's class.
        classes: C names.

    Raises:
        NumericsError: A score is not finite.
        ValueError: Shapes do not match, there is no video, or a label is not a class index.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != (len(labels), len(classes)) or not len(labels):
        raise ValueError(
            f"scores {scores.shape} for {len(labels)} labels and {len(classes)} classes; give "
            f"{(len(labels), len(classes))}, for at least one video"
        )
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise NumericsError(f"scores of video {row} are not finite: {scores[row]}")
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(outside):
        raise ValueError(
            f"label {labels[outside[0]]} of video {outside[0]}; give an index of the "
            f"{len(classes)} classes, and leave videos without a label out"
        )
    ranks = rank_labels(scores, labels)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
    top5 = int((ranks < TOP).sum()) if len(classes) > TOP else None
    return Accuracy(tuple(classes), confusion, top5)


def rank_labels(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rank of each video's class among its scores, 0 for the highest.

    Args:
        scores: (N, C), finite.
        labels: (N,) index of each video's class.

    Returns:
        (N,): number of classes with higher score, or with equal score and lower index.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]  # N C
    ranks: NDArray[np.int64] = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return ranks


def top_classes(
    scores: NDArray[np.floating], classes: Sequence[str], number: int = TOP
) -> list[tuple[str, float]]:
    """Return the best classes of one video with their scores, the highest first.

    Args:
        scores: (C,).
        classes: C names.
        number: Number of classes to return, or all if there are fewer.
    """
    order = np.argsort(-scores, kind="stable")[:number]
    return [(classes[place], float(scores[place])) for place in order.tolist()]
