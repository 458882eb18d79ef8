import copy
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest
import torch

import keypoint
from keypoint.data.person_crops import checked_boxes
from keypoint.errors import DataError
from keypoint.models import create_model
from keypoint.pose.geometry import CropFrame
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.predictor import Predictor

SKELETON = load_skeleton("coco17")
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 200, 3), dtype=np.uint8)
BOXES = [[10, 20, 60, 80], [90.5, 5, 40, 100], [-20, -10, 50, 50]]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = create_model("resnet18", input_size=(64, 64))
    torch.nn.init.normal_(model.final_layer.weight, std=1.0)
    return Predictor(model, SKELETON)


def test_points_are_the_crops_points_mapped_back(predictor):
    found = predictor(IMAGE, BOXES)
    assert found.keypoints.shape == (3, 17, 2)
    assert found.scores.shape == (3, 17)
    frame = CropFrame.from_bboxes(np.array(BOXES, float), (64, 64))
    import cv2

    for i, matrix in enumerate(frame.matrices()):
        crop = cv2.warpAffine(IMAGE, matrix, (64, 64), flags=cv2.INTER_LINEAR)
        points, scores = predictor.predict_crops(torch.from_numpy(crop)[None])
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        for k in range(17):
            mapped = inverse @ [*points[0, k].double().numpy(), 1]
            np.testing.assert_allclose(found.keypoints[i, k], mapped, atol=1e-6)
        np.testing.assert_allclose(found.scores[i], scores[0].numpy(), atol=1e-5)


def test_no_boxes_whole_image_and_many(predictor):
    assert predictor(IMAGE, []).keypoints.shape == (0, 17, 2)
    whole = predictor(IMAGE)
    assert whole.boxes.tolist() == [[0, 0, 200, 120]]
    many = predictor(IMAGE, [BOXES[0]] * 70)
    np.testing.assert_allclose(many.keypoints, np.repeat(many.keypoints[:1], 70, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("image", "boxes", "text"),
    [
        (IMAGE.astype(float), None, r"image is float64 \(120, 200, 3\)"),
        (None, None, "image is None, which cv2.imread returns for a file that it cannot read"),
        (IMAGE[..., 0], None, "give .H, W, 3. uint8 RGB"),
        (IMAGE, [[0, 0, 10, 10, 1]], r"boxes are .1, 5.; give .P, 4."),
        (IMAGE, [0, 0, 10, 10], r"boxes are .4,.; give .P, 4."),
        (IMAGE, [[0, 0, 10, 10], [0, 0, 0, 10]], "box 1 is .* positive sides"),
        (IMAGE, [[0, 0, np.nan, 10]], "box 0 is"),
        (IMAGE, [[0, 0, 10, np.inf]], "box 0 is .* give finite"),
        (IMAGE, [[0, None, 10, 10]], "box 0 is .0.0, nan, "),
        (IMAGE, [[0, 0, 1e300, 1e300]], "box 0 is .* up to 1000000, with positive sides"),
        (IMAGE, [[1, 2, 3, 4], [1, 2]], r"boxes are list \[\[1, 2, 3, 4\], \[1, 2\]\]; give"),
        (IMAGE, "1 2 3 4", "boxes are str '1 2 3 4'; give .P, 4. numbers"),
        (IMAGE, [["1", "2", "3", "4"]], "boxes are list .*; give"),
        (IMAGE, np.array([[1, 2, 3, "4"]], object), "boxes are ndarray .*; give"),
        (IMAGE, {"x": 1}, "boxes are dict {'x': 1}; give"),
        (IMAGE, {1, 2, 3, 4}, "boxes are set .*; give"),
        (IMAGE, [{"x": 1}], "boxes are list .*; give"),
        (IMAGE, [[1, 2, 3, 4j]], "boxes are list .*; give"),
        (IMAGE, np.array([[1, 2, 3, 4j]], object), "boxes are ndarray .*; give"),
        (IMAGE, [[True] * 4], "boxes are list .*; give"),
        (IMAGE, [[10**5000, 2, 3, 4]], "boxes are list; give"),
        (IMAGE, torch.ones(1, 4, requires_grad=True), "boxes are Tensor .*; give"),
        (IMAGE, 4, r"boxes are \(\); give"),
        ([[1], [1, 2]], None, "image is list .*; give .H, W, 3. uint8 RGB"),
    ],
)
def test_other_input_is_refused(predictor, image, boxes, text):
    with pytest.raises(DataError, match=text):
        predictor(image, boxes)


def test_boxes_of_any_kind_of_numbers():
    whole = [[10, 20, 60, 80]]
    kinds = [whole, [(10, 20, 60, 80)], np.uint8(whole), np.float16(whole), np.array(whole, object)]
    kinds += [[[Decimal(x) for x in whole[0]]], torch.tensor(whole), torch.Tensor(whole)]
    for given in kinds:
        boxes = checked_boxes(given)
        assert boxes.dtype == np.float64
        np.testing.assert_array_equal(boxes, whole)
    for given in ([], (), [[]], np.zeros((0, 4)), torch.zeros(0, 5)):
        assert checked_boxes(given).shape == (0, 4)


@pytest.mark.parametrize(
    "box", [[200, 20, 60, 80], [-70, 20, 60, 80], [10, 120, 60, 80], [10, -90, 60, 80]]
)
def test_a_box_wholly_outside_is_an_error_that_names_it(predictor, box):
    """Scores of 0 with a warning were taken for a result."""
    words = rf"box 1 is \[{box[0]}\.0, .*\], wholly outside the image of 200 x 120 pixels; give"
    with pytest.raises(DataError, match=words):
        predictor(IMAGE, [BOXES[0], box])
    with pytest.raises(
        DataError, match="200 x 120 pixels; 2 of 3 boxes are; give boxes that overlap"
    ):
        predictor(IMAGE, [box, BOXES[0], box])
    edge = [[199, 20, 60, 80], [-60, 20, 60, 80]]  # a pixel's width is inside
    assert predictor(IMAGE, edge).keypoints.shape == (2, 17, 2)


def test_lazy_name():
    assert keypoint.Predictor is Predictor


def test_threads_may_share_one(predictor):
    """As a server uses it: four threads at once find what one finds after the other."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (100 + i, 150, 3), dtype=np.uint8) for i in range(10)]
    boxes = [rng.uniform([0, 0, 20, 20], [50, 50, 90, 90], (i % 5, 4)) for i in range(10)]
    model = create_model("resnet18", input_size=(64, 64), blocks={"deconv1": "srl_lo"})
    torch.nn.init.normal_(model.final_layer.weight, std=1.0)
    torch.nn.init.constant_(model.blocks["deconv1"].alpha, 0.5)  # else it is the identity
    for alone in (predictor, Predictor(model, SKELETON, flip=True)):
        shared = copy.deepcopy(alone)  # whose first call is one of a thread
        expected = [alone(*pair) for pair in zip(images, boxes, strict=True)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(shared, images * 2, boxes * 2))
        for a, b in zip(found, expected * 2, strict=True):
            np.testing.assert_array_equal(a.keypoints, b.keypoints)
            np.testing.assert_array_equal(a.scores, b.scores)


def test_heatmaps_hold_the_same_keypoints(predictor):
    crops = torch.from_numpy(np.random.default_rng(2).integers(0, 255, (3, 64, 64, 3), np.uint8))
    for one in (predictor, Predictor(predictor.model, SKELETON, flip=True)):
        heatmaps = one.predict_heatmaps(crops)
        assert heatmaps.shape == (3, 17, 16, 16)
        *found, maps = one.predict_with_heatmaps(crops)
        np.testing.assert_array_equal(maps, heatmaps.numpy())
        for a, b in zip(found, one.predict_crops(crops), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
