"""Frames to keypoints: the same whatever the batching, in order, with bounded memory."""

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypoint.data.report import Fault
from keypoint.errors import NumericsError
from keypoint.prediction import stream
from keypoint.prediction.inputs.frames import Frame, Unread
from keypoint.prediction.stream import detected_persons, predict_stream, whole_image
from tests import tiny_network

RNG = np.random.default_rng(0)
IMAGES = [
    cv2.resize(RNG.integers(0, 255, (9, 9, 3), dtype=np.uint8), (60 + 7 * (i % 4), 80 + i % 3))
    for i in range(17)
]
BOXES = [RNG.uniform([0, 0, 20, 20], [20, 20, 50, 60], (i % 5, 4)) for i in range(17)]


@pytest.fixture(scope="module")
def predictor():
    return tiny_network.predictor()


def events_of(order=range(17)):
    for i in order:
        size = IMAGES[i].shape[:2]
        yield Frame(Path(f"{i}.jpg"), None, 0.0, 0.0, i, size, 1, IMAGES[i])
        if i == 3:
            yield Unread(Path("x.jpg"), Fault("x.jpg", "x.jpg: broken", "that cannot be read"))


def boxes_of(frames):
    return [(BOXES[f.image_id], np.full(len(BOXES[f.image_id]), 0.7)) for f in frames]


@pytest.mark.parametrize(("batch_size", "group_size"), [(1, 1), (2, 4), (17, 1), (64, 4)])
def test_as_one_image_after_the_other(predictor, batch_size, group_size):
    options = {"batch_size": batch_size, "group_size": group_size}
    found = list(predict_stream(events_of(), boxes_of, predictor, **options))
    assert isinstance(found.pop(4), Unread)
    assert [one.frame.image_id for one in found] == list(range(17))
    for i, one in enumerate(found):
        alone = predictor(IMAGES[i], BOXES[i])
        np.testing.assert_allclose(one.keypoints, alone.keypoints, atol=1e-5)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-5)
        np.testing.assert_array_equal(one.boxes, BOXES[i])
        assert one.missing == 0
        assert one.frame.image is None


def test_images_are_kept_for_drawing_and_no_longer(predictor, monkeypatch):
    monkeypatch.setattr(stream, "BYTES_AHEAD", 5 * IMAGES[0].nbytes)
    there = weakref.WeakSet()
    most = 0

    class Watched(np.ndarray):
        pass

    def frames():
        for i in range(40):
            image = np.zeros((80, 60, 3), np.uint8).view(Watched)
            there.add(Holder(image))
            yield Frame(Path(f"{i}.jpg"), None, 0.0, 0.0, i, (80, 60), 1, image)

    class Holder:  # arrays cannot be in a WeakSet, so what dies with them is
        def __init__(self, array):
            array.holder = self

    for one in predict_stream(frames(), whole_image, predictor, batch_size=64, keep_images=True):
        assert one.frame.image is not None
        most = max(most, len(there))
    assert 5 <= most <= 8  # a batch of 64 would hold 40


def test_empty_images_do_not_wait_for_ever(predictor, monkeypatch):
    monkeypatch.setattr(stream, "EVENTS_WAITING", 10)
    read = []

    def frames():
        for i in [1, *[0] * 30]:
            read.append(i)
            yield Frame(Path("a"), None, 0.0, 0.0, i, IMAGES[i].shape[:2], 1, IMAGES[i])

    results = predict_stream(frames(), boxes_of, predictor, batch_size=8)
    assert len(next(results).boxes) == 1
    assert len(read) < 15


def test_a_broken_network_is_refused_and_the_images_named():
    broken = tiny_network.predictor()
    broken.model.final_layer.bias.data[5] = float("nan")
    with pytest.raises(NumericsError, match=r"2 persons are nan or inf, on 1\.jpg, 2\.jpg; the n"):
        list(predict_stream(events_of([1, 2]), whole_image, broken, batch_size=8))
    with pytest.raises(NumericsError, match="on the image"):
        broken(IMAGES[0])


def test_flat_heatmaps_have_a_low_score():
    flat = tiny_network.predictor()
    torch.nn.init.zeros_(flat.model.final_layer.weight)
    torch.nn.init.zeros_(flat.model.final_layer.bias)
    assert (flat(IMAGES[0]).scores == 0).all()


def test_odd_boxes_stay_near_the_image(predictor):
    boxes = [[-30, -20, 40, 60], [55, 75, 50, 50], [10, 10, 0.3, 0.2], [10, 10, 20, 30], [10, 10, 20, 30]]  # fmt: skip
    found = predictor(IMAGES[0], boxes)
    sides = np.array(IMAGES[0].shape[1::-1])
    assert (found.keypoints > -sides).all()
    assert (found.keypoints < 2 * sides).all()
    np.testing.assert_array_equal(found.keypoints[3], found.keypoints[4])


class Detector(torch.nn.Module):
    """Answers with a box as bright as the image, so that answers cannot be mixed up."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.sizes = []

    def forward(self, images):
        self.sizes.append([tuple(image.shape) for image in images])
        return [
            {
                "labels": torch.tensor([1, 2]),
                "boxes": torch.tensor([[0, 0, 1 + image.mean(), 5], [0, 0, 9, 9]]),
                "scores": torch.tensor([0.9, 0.8]),
            }
            for image in images
        ]


def test_a_detector_sees_images_of_one_size_at_a_time(predictor):
    detector = Detector()
    found = predict_stream(
        events_of(), detected_persons(detector), predictor, batch_size=8, group_size=4
    )
    for one in found:
        if not isinstance(one, Unread):
            mean = IMAGES[one.frame.image_id].mean() / 255
            np.testing.assert_allclose(one.boxes, [[0, 0, 1 + mean, 5]], rtol=1e-5)
            np.testing.assert_allclose(one.box_scores, [0.9])
    assert all(len(set(sizes)) == 1 for sizes in detector.sizes)
