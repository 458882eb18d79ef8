"""Accuracies against a slow restatement with many equal scores, and against counts made by hand."""

import numpy as np
import pytest

from keypoint.action.evaluation.accuracy import measure_accuracy, rank_labels, top_classes
from keypoint.errors import NumericsError


def slowly(scores, labels, count):
    """Right by top 1 and top 5, and the confusion matrix: sort (-score, index) and look."""
    top1 = top5 = 0
    confusion = [[0] * count for _ in range(count)]
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        order = [c for _, c in sorted((-score, c) for c, score in enumerate(row))]
        top1 += order[0] == label
        top5 += label in order[:5]
        confusion[label][order[0]] += 1
    return top1, top5, confusion


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("classes", [6, 11])
def test_counts_are_those_of_a_sorted_list(levels, classes):
    rng = np.random.default_rng(classes * levels)
    scores = rng.integers(0, levels, (300, classes)) / levels
    labels = rng.integers(0, classes - 1, 300)  # the last class has no video
    found = measure_accuracy(scores, labels, [f"c{n}" for n in range(classes)])
    top1, top5, confusion = slowly(scores, labels, classes)
    assert (found.top1, found.top5) == (top1 / 300, top5 / 300)
    np.testing.assert_array_equal(found.confusion, confusion)
    shares = [row[c] / sum(row) for c, row in enumerate(confusion) if sum(row)]
    assert found.mean_class == pytest.approx(sum(shares) / (classes - 1), rel=1e-12)
    assert np.isnan(found.per_class[-1])
    assert found.videos == 300


def test_a_network_that_says_the_same_of_all_is_right_on_the_first_class_only():
    labels = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    found = measure_accuracy(np.full((8, 7), 1 / 7), labels, list("abcdefg"))
    assert (found.top1, found.top5) == (2 / 8, 6 / 8)
    assert found.mean_class == pytest.approx(1 / 7)


def test_five_classes_have_no_top5():
    assert measure_accuracy(np.eye(5), np.arange(5), list("abcde")).metrics() == {
        "top1": 1.0,
        "mean_class": 1.0,
    }
    assert measure_accuracy(np.eye(6), np.arange(6), list("abcdef")).top5 == 1


def test_the_error_is_the_spread_of_other_test_sets():
    labels = np.zeros(200, int)
    scores = np.eye(2)[(np.arange(200) >= 140).astype(int)]
    found = measure_accuracy(scores, labels, ["a", "b"])
    others = (np.random.default_rng(0).random((20_000, 200)) < 0.7).mean(axis=1)
    assert found.top1 == 0.7
    assert found.top1_error == pytest.approx(others.std(), rel=0.02)


def test_pairs_and_worst_classes():
    """a: 3 of 4 right; b: 1 of 3, two taken for a; c: 1 of 3, one for a and one for b; d: no video."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    taken = np.array([0, 0, 0, 1, 1, 0, 0, 2, 0, 1])
    found = measure_accuracy(np.eye(4)[taken], labels, list("abcd"))
    pairs = [(p.label, p.predicted, p.videos, p.share) for p in found.confused(3)]
    assert pairs == [("b", "a", 2, 2 / 3), ("a", "b", 1, 1 / 4), ("c", "a", 1, 1 / 3)]
    assert len(found.confused(99)) == 4
    assert found.worst(9) == [1, 2, 0]


def test_best_classes_of_a_video():
    scores = np.array([0.1, 0.3, 0.1, 0.5])
    assert top_classes(scores, list("abcd"), 3) == [("d", 0.5), ("b", 0.3), ("a", 0.1)]
    assert len(top_classes(scores, list("abcd"))) == 4
    assert rank_labels(scores[None].repeat(4, 0), np.arange(4)).tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        (np.zeros((2, 3)), [0, 1, 2], r"scores \(2, 3\) for 3 labels and 3 classes; give \(3, 3\)"),
        (np.zeros((0, 3)), [], "for at least one video"),
        (np.zeros((2, 3)), [0, -1], "label -1 of video 1; .* without a label out"),
        (np.zeros((2, 3)), [3, 0], "label 3 of video 0"),
    ],
)
def test_refused(scores, labels, words):
    with pytest.raises(ValueError, match=words):
        measure_accuracy(scores, np.array(labels, int), list("abc"))


def test_a_score_that_is_no_number():
    with pytest.raises(NumericsError, match="scores of video 1 are not finite"):
        measure_accuracy([[0, 1], [np.nan, 1]], [0, 0], ["a", "b"])
