"""Bars are as long as their shares."""

import numpy as np
import pytest

from keypoint.drawing.bars import draw_bars
from keypoint.drawing.curves import CURVES, GRID


def lengths(picture, color):
    """Pixels of a color in each row that has a bar of it; the squares of a legend are shorter."""
    counts = (picture == color).all(axis=2).sum(axis=1)
    return sorted({int(n) for n in counts if n > 10})


def test_bars_are_as_long_as_their_shares():
    drawn = draw_bars({"a": [0.25, 1.0], "b": [0.5, float("nan")]}, ["x", "y"], "t", width=600)
    quarter, half = lengths(drawn, CURVES[0])
    (whole,) = lengths(drawn, CURVES[1])
    assert abs(2 * quarter - half) <= 1
    assert abs(4 * quarter - whole) <= 3
    assert drawn.shape[1] == 600


def test_long_names_leave_room_for_bars():
    drawn = draw_bars({"n" * 80: [1.0]}, ["x"], "t" * 80, width=300)
    assert drawn.shape[1] == 300
    assert lengths(drawn, CURVES[0])[-1] > 90


def test_a_row_can_be_highlighted():
    rows = {"a": [0.1], "b": [0.2]}
    plain, marked = (draw_bars(rows, ["x"], "t", highlight=name) for name in (None, "b"))
    assert not lengths(plain, CURVES[1])
    assert (marked == CURVES[1]).all(axis=2).any()
    assert not np.array_equal(plain, marked)


def test_a_share_that_is_no_number_has_no_bar_and_no_text():
    drawn = draw_bars({"a": [float("nan")]}, ["x"], "t", width=300)[36:50, 40:]
    assert {tuple(color) for color in drawn.reshape(-1, 3).tolist()} == {GRID, (255, 255, 255)}


def test_refused():
    with pytest.raises(ValueError, match="2 shares; give 1"):
        draw_bars({"a": [0.1, 0.2]}, ["x"], "t")
    with pytest.raises(ValueError, match="at least one row"):
        draw_bars({}, ["x"], "t")
