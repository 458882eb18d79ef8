"""Paired counts, their probabilities and the listed classes, against enumeration and simulation."""

import csv
import itertools

import numpy as np
import pytest

from keypoint.action.evaluation.compare import align, compare_tests, count_paired
from keypoint.action.evaluation.compare_report import picture, to_csv, to_markdown
from keypoint.action.evaluation.scores import FILE, VideoScores, save_scores
from keypoint.errors import DataError
from tests.action.evaluation import made
from tests.calling import tool


def changed(scores, **values):
    return VideoScores(**(vars(scores) | values))


def of_right(right, labels, classes=3):
    """Scores of a network that is right on these videos."""
    taken = np.where(right, labels, (labels + 1) % classes)
    names = tuple(map(str, range(len(labels))))
    return VideoScores(
        names, tuple("abc"[:classes]), labels, np.eye(classes, dtype=np.float32)[taken], {}
    )


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (2, 6), (5, 5), (9, 3)])
def test_p_is_the_share_of_all_coin_throws_as_far_apart(counts):
    first, second = counts
    total = first + second
    throws = np.array(list(itertools.product([0, 1], repeat=total))).reshape(2**total, total)
    apart = np.abs(2 * throws.sum(axis=1) - total)
    expected = (apart >= abs(first - second)).mean()
    rights = np.repeat([[True, False], [False, True]], [first, second], axis=0).T
    rights = np.concatenate([rights, [[True, True, False], [True, True, False]]], axis=1)
    found = count_paired(*rights, np.zeros(total + 3, int))
    assert (found.both, found.only_first, found.only_second, found.neither) == (2, *counts, 1)
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert found.videos == total + 3


def test_p_of_thousands_of_videos():
    """By scipy 1.17: binomtest(5200, 10200).pvalue and binomtest(170, 290).pvalue."""
    for counts, expected in (((5000, 5200), 0.0487879631268), ((120, 170), 0.0039333365128)):
        first = np.repeat([True, False], counts)
        found = count_paired(first, ~first, np.zeros(len(first), int))
        assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_chance_and_error_are_those_of_simulated_equal_networks():
    """The videos that one alone has right go to either at random; the listed classes are counted."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    first = rng.random(60) < 0.5
    apart = rng.random(60) < 0.4
    found = count_paired(first, first ^ apart, labels, least_gain=0.1)
    listed, gains = [], []
    for _ in range(4000):
        second_wins = apart & (rng.random(60) < 0.5)
        change = second_wins.astype(int) - (apart & ~second_wins)
        listed.append(sum(change[labels == c].mean() >= 0.1 - 1e-9 for c in range(3)))
        gains.append(change.mean())
    assert found.chance_classes == pytest.approx(np.mean(listed), abs=0.05)
    even = count_paired(np.repeat([True, False], 12), np.repeat([False, True], 12), labels[:24])
    assert even.gain == 0
    assert even.gain_error == pytest.approx((24 / 24**2) ** 0.5)
    assert (found.only_first + found.only_second) ** 0.5 / 60 == pytest.approx(
        np.std(gains), rel=0.05
    )


def test_listed_classes():
    """Of 20 videos each: a gains 1 (5 points: listed), b loses 4, c gains none."""
    labels = np.repeat([0, 1, 2], 20)
    first, second = np.zeros((2, 60), bool)
    first[20:30], second[0], second[24:30], first[40], second[41] = True, True, True, True, True
    found = compare_tests({"base": of_right(first, labels), "new": of_right(second, labels)})
    assert (found.better(), found.worse()) == ([0], [1])
    assert found.paired[0].gain == pytest.approx(-3 / 60)
    text = to_markdown(found)
    assert "1 class in which new is better than base by 0.05 or more" in text
    assert "| a | 20 | 0.000 | 0.050 | +0.050 |" in text
    assert "| b | 20 | 0.500 | 0.300 | -0.200 |" in text
    assert (
        compare_tests(
            {"base": of_right(first, labels), "new": of_right(second, labels)}, 0.06
        ).better()
        == []
    )


def test_other_orders_are_aligned():
    base, other = made.scores(), made.scores(gain=2.5)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(len(other)), rng.permutation(7)
    mixed = VideoScores(
        tuple(other.names[row] for row in rows),
        tuple(other.classes[column] for column in columns),
        np.array([columns.tolist().index(label) for label in other.labels[rows]]),
        other.scores[rows][:, columns],
        {},
    )
    back = align("base", base, "mixed", mixed)
    np.testing.assert_array_equal(back.scores, other.scores)
    np.testing.assert_array_equal(back.labels, other.labels)
    straight = compare_tests({"base": base, "other": other})
    found = compare_tests({"base": base, "other": mixed})
    assert found.paired == straight.paired
    np.testing.assert_array_equal(found.table(), straight.table())


def test_what_cannot_be_compared_is_refused():
    base = made.scores()
    labels = base.labels.copy()
    labels[3] = 6
    for other, words in (
        (made.scores(per_class=5), r"different videos: 42 only in base \('0/v_000.avi'"),
        (changed(base, names=("x.avi", *base.names[1:])), r"1 only in new \('x.avi'\)"),
        (
            changed(base, classes=("yoga", *base.classes[1:])),
            r"different classes: 1 only in base \('class 0'\), 1 only in new \('yoga'\)",
        ),
        (
            changed(base, labels=labels),
            "1 of 42 videos have different labels, such as '0/v_003.avi': 'class 0' and 'class 6'",
        ),
    ):
        if len(other) != len(base):
            other = changed(other, names=tuple(f"new {name}" for name in other.names))
        with pytest.raises(DataError, match="base and new cannot be compared: .*" + words):
            compare_tests({"base": base, "new": other})
    with pytest.raises(ValueError, match="1 tests, least gain 0.05; give at least two"):
        compare_tests({"base": base})


def test_conditions_that_differ_are_named():
    tests = {"a": made.scores(blocks=None), "b": made.scores(gain=2.0, blocks="pnl", clips=30)}
    found = compare_tests(tests)
    assert found.differences == {"clips": (25, 30), "blocks": (None, "pnl")}
    assert "| blocks | - | pnl |" in to_markdown(found)


def test_a_class_without_a_video_and_awkward_names():
    kept = np.flatnonzero(made.scores().labels != 2).tolist()
    classes = ("a|b", "c\nd", "e,f", *made.scores().classes[3:])
    tests = {
        name: changed(made.scores(gain=gain).rows(kept), classes=classes)
        for name, gain in (("x", 0.5), ("y", 3.0))
    }
    found = compare_tests(tests)
    assert 2 not in found.better()
    assert r"| a\|b |" in to_markdown(found)
    lines = list(csv.reader(to_csv(found).splitlines(keepends=True)))
    assert lines[0] == ["class", "videos", "x", "y"]
    assert lines[3] == ["e,f", "0", "", ""]
    assert float(lines[1][3]) == pytest.approx(found.table()[0, 1], abs=1e-6)


def test_the_picture_has_a_bar_for_each_run():
    found = compare_tests({"a": made.scores(gain=0.5), "b": made.scores(gain=3.0)})
    drawn = picture(found)
    rows = len(found.better()) + len(found.worse())
    assert drawn.shape[2] == 3
    assert drawn.shape[0] > 26 * rows > 0
    same = {"a": made.scores(), "b": made.scores()}
    assert picture(compare_tests(same)) is None


@pytest.fixture
def runs(tmp_path):
    for name, gain in (("base", 0.5), ("pnl", 3.0), ("nl", 2.0)):
        (tmp_path / name).mkdir()
        save_scores(tmp_path / name / FILE, made.scores(gain=gain))
    return tmp_path


def test_the_command(runs, capsys):
    out = runs / "out"
    words = [runs / "base", runs / "pnl" / FILE, runs / "nl"]
    assert tool("compare", *words, "--output", out) == 0
    said = capsys.readouterr().out
    assert "| class | videos | base | pnl | nl | gain |" in said
    assert {path.name for path in out.iterdir()} == {"compare.md", "compare.csv", "compare.png"}
    assert (out / "compare.md").read_text().strip() in said
    assert tool("compare", *words, "--output", out) == 2
    assert "already contains compare.md and compare.csv and compare.png" in capsys.readouterr().err
    assert tool("compare", *words[:2], "--output", out, "--overwrite") == 0
    assert tool("compare", runs / "base", runs / "base" / FILE) == 2
    assert "is given twice" in capsys.readouterr().err
    assert tool("compare", runs / "base") == 2
    assert tool("compare", *words, "--least-gain", 0) == 2
    assert tool("compare", runs / "base", runs / "absent") == 3


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, capsys):
    for name, gain in (("a", 0.5), ("b", 1.5)):
        (runs / name / "test").mkdir(parents=True)
        save_scores(runs / name / "test" / FILE, made.scores(gain=gain))
    assert tool("compare", runs / "a" / "test", runs / "b" / "test") == 0
    assert "| a/test | 42 |" in capsys.readouterr().out
