"""Curves pass through their points, and panels side by side agree."""

import numpy as np
import pytest

from keypoint.drawing.curves import draw_curves, training_curves


def test_curve_passes_through_its_points():
    points = [(0, 0.0), (5, 1.0), (10, 0.5)]
    picture = draw_curves({"AP": points}, "t", "epoch", size=(320, 480)).astype(int)
    blue = np.abs(picture - (31, 119, 180)).sum(axis=2) < 60
    for (x, y), expected in zip(points, [(64, 276), (264, 34), (464, 155)], strict=True):
        column, row = expected
        assert blue[row - 2 : row + 3, column - 2 : column + 3].any(), (x, y)
    with pytest.raises(ValueError, match="at least one finite point"):
        draw_curves({"AP": [(0, float("nan"))]}, "t", "epoch")


def test_both_panels_have_the_same_epochs():
    """However few evaluations there are: the numbers below the two axes stand at the same places."""
    metrics = {"AP": 0.1, "AP50": 0.2, "AR": 0.3}
    history = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 11)]
    for evaluated in ([9], [3], [1, 5, 9]):
        scored = [
            r | ({"metrics": metrics} if place in evaluated else {})
            for place, r in enumerate(history)
        ]
        below = training_curves(scored)[282:].astype(int)  # the numbers and their name
        np.testing.assert_array_equal(below[:, :480], below[:, 480:])


def test_an_evaluation_brings_a_second_panel():
    history = [
        {"epoch": 1, "loss": 0.1},
        {"epoch": 2, "loss": 0.05, "metrics": {"AP": 0.1, "AP50": 0.2, "AR": 0.3}},
    ]
    assert training_curves(history).shape == (320, 960, 3)
    assert training_curves(history[:1]).shape == (320, 480, 3)
