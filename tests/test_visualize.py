import numpy as np
import pytest

from keypoint.skeleton import load_skeleton
from keypoint.visualize import (
    LEFT,
    MIDDLE,
    RIGHT,
    draw_keypoints,
    heatmap_overlay,
    keypoint_colors,
    picture_sheet,
    training_sheet,
)

SKELETON = load_skeleton("coco17")
POINTS = np.random.default_rng(0).uniform(30, 170, (1, 17, 2))


def test_colours_tell_the_side():
    colors = dict(zip(SKELETON.keypoints, keypoint_colors(SKELETON), strict=True))
    assert colors["left_wrist"] == LEFT
    assert colors["right_wrist"] == RIGHT
    assert colors["nose"] == MIDDLE


@pytest.mark.parametrize("ground", [0, 255])
def test_keypoints_are_drawn_where_they_are(ground):
    image = np.full((200, 200, 3), ground, np.uint8)
    drawn = draw_keypoints(image, POINTS, np.ones((1, 17)), SKELETON)
    assert (image == ground).all()  # the caller's image is untouched
    for (x, y), color in zip(POINTS[0], keypoint_colors(SKELETON), strict=True):
        near = drawn[int(y) - 1 : int(y) + 3, int(x) - 1 : int(x) + 3].reshape(-1, 3).astype(int)
        others = np.delete(POINTS[0], np.flatnonzero((POINTS[0] == [x, y]).all(1)), axis=0)
        if np.linalg.norm(others - [x, y], axis=1).min() > 15:  # nothing is drawn over it
            assert np.abs(near - color).sum(axis=1).min() < 40


def test_low_scores_fade_and_vanish():
    image = np.full((200, 200, 3), 255, np.uint8)
    ink = [
        int(
            (255 - draw_keypoints(image, POINTS, np.full((1, 17), score), SKELETON))
            .astype(int)
            .sum()
        )
        for score in (0.1, 0.21, 0.3, 0.9)
    ]
    assert ink[0] == 0
    assert 0 < ink[1] < ink[2] < ink[3]


def test_points_far_outside_and_nan_are_left_out():
    image = np.zeros((50, 60, 3), np.uint8)
    wild = POINTS.copy()
    wild[0, :3] = [[np.nan, 5], [1e12, 5], [-1e5, 1e5]]
    assert draw_keypoints(image, wild, np.ones((1, 17)), SKELETON).shape == image.shape
    assert (
        draw_keypoints(image, np.zeros((0, 17, 2)), np.zeros((0, 17)), SKELETON).shape
        == image.shape
    )


def test_overlay_is_bright_at_the_peak():
    maps = np.zeros((17, 16, 12))
    maps[4, 10, 5] = 1
    overlay = heatmap_overlay(np.full((64, 48, 3), 100, np.uint8), maps).astype(int).sum(axis=2)
    y, x = np.unravel_index(overlay.argmax(), overlay.shape)
    assert abs(y - 42) <= 4
    assert abs(x - 22) <= 4


def test_sheet_has_every_picture_in_its_cell():
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 200, 0), (0, 200, 200)]
    images = [np.full((30 + 20 * i, 80, 3), color, np.uint8) for i, color in enumerate(colors)]
    sheet = picture_sheet(images, [f"picture {i}" for i in range(5)], columns=2, cell_size=(60, 60))
    for i, color in enumerate(colors):
        top, left = 6 + (i // 2) * (60 + 18 + 6), 6 + (i % 2) * 66
        assert (sheet[top + 30, left + 30] == color).all()
    with pytest.raises(ValueError, match="at least one image"):
        picture_sheet([])


def test_training_pictures():
    history = [
        {"epoch": 1, "loss": 0.1},
        {"epoch": 2, "loss": 0.05, "metrics": {"AP": 0.1, "AP50": 0.2, "AR": 0.3}},
    ]
    assert training_curves(history).shape == (320, 960, 3)
    assert training_curves(history[:1]).shape == (320, 480, 3)
    crops = np.zeros((3, 64, 48, 3), np.uint8)
    sheet = training_sheet(
        crops, POINTS.repeat(3, 0), np.ones((3, 17)), np.zeros((3, 17, 16, 12)), SKELETON.to_dict()
    )
    assert sheet.ndim == 3
