"""Accuracies on drawn videos are those of a test in which the copies are written out."""

import numpy as np
import pytest

from keypoint.action.evaluation.accuracy import measure_accuracy
from keypoint.action.evaluation.videos_again import SEED, differences_on_videos
from keypoint.evaluation.runs.statistics import CONFIDENCE
from tests.action.evaluation.made import scores

DRAWS = 60


@pytest.mark.parametrize("classes", [5, 7])
def test_each_draw_is_the_accuracy_of_its_videos(classes):
    tests = [scores(classes, per_class=2, gain=gain) for gain in (0.5, 1.5)]
    found = differences_on_videos(("a", "b"), *tests, draws=DRAWS)
    assert list(found) == ["top1", "mean_class", *(["top5"] if classes > 5 else [])]
    rng, drawn = np.random.default_rng(SEED), []
    videos = len(tests[0])
    for number in range(DRAWS + 1):
        # The first is the test as it is; few videos, so that a class is missing in most draws.
        rows = np.arange(videos) if not number else rng.integers(videos, size=videos)
        one, other = (measure_accuracy(t.scores[rows], t.labels[rows], t.classes) for t in tests)
        drawn.append({name: value - one.metrics()[name] for name, value in other.metrics().items()})
    for name, difference in found.items():
        values = [each[name] for each in drawn]
        assert difference.mean == pytest.approx(values[0], abs=1e-12)
        tail = (1 - CONFIDENCE) / 2
        ends = np.quantile(values[1:], [tail, 1 - tail], method="weibull")
        assert (difference.low, difference.high) == pytest.approx(tuple(ends), abs=1e-12)
    assert found["top1"].low < found["top1"].high
