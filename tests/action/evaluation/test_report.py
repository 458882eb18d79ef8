"""The text and the files of a test, read back and counted again."""

import csv
import json

import numpy as np
import pytest

from keypoint.action.evaluation.report import save_test, to_text
from keypoint.action.evaluation.scores import VideoScores
from tests.action.evaluation import made


def test_files_hold_what_the_scores_say(tmp_path):
    given = made.scores(gain=1.0)
    save_test(tmp_path, given, date="today")
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json", "per_class.csv", "results.json", "scores.npz",
    }  # fmt: skip
    taken = given.scores.argmax(axis=1)
    right = taken == given.labels
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["metrics"]["top1"] == pytest.approx(right.mean())
    assert (metrics["videos"], metrics["right"]) == (42, right.sum())
    assert metrics["conditions"] == given.conditions
    assert metrics["date"] == "today"
    assert metrics["top1_standard_error"] == pytest.approx((right.var() / 42) ** 0.5)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["conditions"] == given.conditions
    assert [v["predicted"] for v in results["videos"]] == [given.classes[c] for c in taken]
    assert [v["name"] for v in results["videos"]] == list(given.names)
    rows = list(csv.DictReader((tmp_path / "per_class.csv").open()))
    assert [row["class"] for row in rows] == list(given.classes)
    for c, row in enumerate(rows):
        of_class = given.labels == c
        assert int(row["videos"]) == of_class.sum()
        assert int(row["right"]) == right[of_class].sum()
        assert float(row["accuracy"]) == pytest.approx(right[of_class].mean(), abs=1e-6)


def test_the_text_says_numbers_videos_and_error():
    given = made.scores(gain=1.0, input_size=[224, 224])
    share = (given.scores.argmax(axis=1) == given.labels).mean()
    text = to_text(given)
    error = (share * (1 - share) / 42) ** 0.5
    assert f"top1        {share:.4f} +- {error:.4f}  of 42 videos (binomial standard error)" in text
    assert "of 7 classes\n" in text
    assert "input_size  224, 224" in text
    assert "Most confused pairs" in text


def test_a_perfect_test_of_few_classes():
    text = to_text(made.scores(classes=4, gain=50.0))
    assert "top1        1.0000 +- 0.0000" in text
    assert "no top5: there are only 4 classes" in text
    assert "confused" not in text
    listed = text.partition("All classes, lowest accuracy first\n")[2].splitlines()
    assert len(listed) == 1 + 4
    assert all(line.endswith("1.000") for line in listed[1:])


def test_of_many_classes_those_with_errors_are_listed():
    assert "lowest" not in to_text(made.scores(classes=11, gain=50.0))
    text = to_text(made.scores(classes=14, gain=1.0))
    listed = text.partition("Classes of lowest accuracy\n")[2].partition("\n\n")[0].splitlines()
    assert 1 < len(listed) <= 1 + 10
    assert not any(line.endswith("1.000") for line in listed[1:])


def test_videos_without_label(tmp_path):
    given = made.scores()
    labels = np.where(np.arange(42) < 12, -1, given.labels)
    some = VideoScores(given.names, given.classes, labels, given.scores, {})
    text = to_text(some)
    assert "of 30 videos" in text
    assert "left out: 12 videos without a label" in text
    assert "of 5 classes, 2 without a video" in text
    none = VideoScores(given.names, given.classes, np.full(42, -1), given.scores, {})
    save_test(tmp_path, none)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "scores.npz"}
    assert json.loads((tmp_path / "results.json").read_text())["videos"][0]["label"] is None
