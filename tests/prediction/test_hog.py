"""The HOG detector against OpenCV 4's own features and weights (tests/fixtures/hog), and drawn persons."""

from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint.prediction.detector import HOG, detect, load_detector, most_boxes
from keypoint.prediction.inputs.image_list import list_folder
from keypoint.prediction.persons import hog
from keypoint.prediction.persons.detected import detect_boxes
from tests.fixtures.hog.make import draw_person

OPENCV = Path(__file__).parents[1] / "fixtures" / "hog" / "opencv.npz"


def street():
    """Two persons, (H, W, 3) uint8, and their boxes."""
    image = np.full((300, 400, 3), 200, np.uint8)
    draw_person(image, 100, 60, 150, (40, 50, 60))
    draw_person(image, 300, 120, 110, (250, 250, 230))
    return image, np.array([[77.0, 60, 46, 150], [283, 120, 34, 110]])


def iou(one, other):
    first = np.maximum(one[:2], other[:2])
    shared = np.clip(np.minimum(one[:2] + one[2:], other[:2] + other[2:]) - first, 0, None).prod()
    return shared / (one[2:].prod() + other[2:].prod() - shared)


def test_margins_are_opencvs():
    """OpenCV's arctangent is a third of a degree wrong; the margins spread over more than 2."""
    stored = np.load(OPENCV)
    image = torch.from_numpy(stored["image"]).permute(2, 0, 1) / 255
    found = load_detector(HOG).margins(image).numpy()
    assert found.shape == stored["margins"].shape
    assert np.ptp(stored["margins"]) > 2
    np.testing.assert_allclose(found, stored["margins"], atol=0.02)


def test_a_cells_weights_are_those_of_a_slow_loop():
    """A pixel votes for the cells whose centres are less than a cell away."""
    expected = np.zeros((2, 2, 16, 16))
    for y in range(16):
        for x in range(16):
            gauss = np.exp(-((x - 8) ** 2 + (y - 8) ** 2) / 32)
            for cell_y in (0, 1):
                for cell_x in (0, 1):
                    near = [
                        1 - abs((at + 0.5) / 8 - (c + 0.5)) for at, c in ((x, cell_x), (y, cell_y))
                    ]
                    expected[cell_y, cell_x, y, x] = gauss * max(near[0], 0) * max(near[1], 0)
    np.testing.assert_allclose(hog.cell_weights().reshape(2, 2, 16, 16), expected, atol=1e-6)


@pytest.mark.parametrize("longest", [1333, 370])
def test_standing_persons_are_found_once_and_a_mirror_finds_them_too(longest, monkeypatch):
    """Also if the image is shrunk at first."""
    monkeypatch.setattr(hog, "LONGEST", longest)
    image, boxes = street()
    model = load_detector(HOG)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    found, other = detect(model, [image, mirrored], ["a", "b"])
    for each in (found, other):
        assert each.found == len(each.boxes_xywh) == len(boxes)
        assert (np.diff(each.scores) <= 0).all()
        assert ((each.scores > 0.5) & (each.scores <= 1)).all()
    other.boxes_xywh[:, 0] = image.shape[1] - other.boxes_xywh[:, 0] - other.boxes_xywh[:, 2]
    for person in boxes:
        assert max(iou(person, box) for box in found.boxes_xywh) > 0.5
        assert max(iou(person, box) for box in other.boxes_xywh) > 0.5


def test_scores_thresholds_and_the_limit(tmp_path, monkeypatch):
    image, _ = street()
    image[:, 200:] = np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8)
    [low] = detect(load_detector(HOG, 0.005), [image], ["a"])
    [high] = detect(load_detector(HOG, 0.5), [image], ["a"])
    assert len(low.scores) > len(high.scores) == 1
    assert 0.005 < low.scores.min() < 0.5
    np.testing.assert_array_equal(low.boxes_xywh[: len(high.scores)], high.boxes_xywh)
    for one, corners in enumerate(low.boxes_xywh):
        assert corners.min() >= 0
        assert (corners[:2] + corners[2:] <= [400, 300]).all()
        assert all(iou(corners, other) <= 0.3 for other in low.boxes_xywh[:one])
    [none] = detect(load_detector(HOG, 1.0), [image], ["a"])
    assert none.boxes_xywh.shape == (0, 4)

    import cv2

    monkeypatch.setattr(hog, "MOST_BOXES", 2)
    model = load_detector(HOG, 0.0)
    assert most_boxes(model) == 2
    cv2.imwrite(str(tmp_path / "a.png"), image)
    boxes, report = detect_boxes(model, list_folder(tmp_path))
    assert len(boxes) == 2
    assert report.full_images == 1


def test_images_smaller_than_a_window_and_of_one_color():
    """A box may touch the image's edge, so 96 x 32 pixels are enough for a person."""
    small = [np.zeros(size, np.uint8) for size in ((1, 1, 3), (95, 400, 3), (96, 32, 3))]
    found = detect(load_detector(HOG, 0.0), small, ["a", "b", "c"])
    assert [len(each.scores) for each in found] == [0, 0, 1]
    assert found[2].scores[0] < 0.01
