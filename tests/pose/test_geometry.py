import cv2
import numpy as np
import pytest

from keypoint.pose.geometry import (
    CropFrame,
    apply_affine,
    clean_bbox,
)
from tests.reference import simple_baseline as reference

INPUT_SIZE = (256, 192)
BOXES = np.array([[10.0, 20, 50, 120], [0, 0, 300, 40], [33.5, 7.25, 60, 80]])


def test_clean_bbox_by_hand():
    bbox = np.array([[-5.0, 10, 20, 30], [600, 400, 100, 100], [10, 10, 0.5, 50], [700, 10, 5, 5]])
    cleaned = clean_bbox(bbox, np.array([[480, 640]] * 4))
    # x1 = 0, x2 = min(639, 0 + 19); clipped at the far corner; a side under 1 px; wholly outside
    assert cleaned[:2].tolist() == [[0, 10, 19, 29], [600, 400, 39, 79]]
    assert cleaned[2, 2] == 0
    assert cleaned[3, 2] < 0


@pytest.mark.parametrize("rotation", [0.0, 30.0, -75.5])
@pytest.mark.parametrize("input_size", [(256, 192), (384, 288), (64, 96)])
def test_crop_equals_simple_baselines_three_point_map(rotation, input_size):
    frame = CropFrame.from_bboxes(BOXES, input_size)
    for box, matrix, place in zip(BOXES, frame.matrices(rotation), frame.center, strict=True):
        their_center, scale = reference.center_and_scale(box, input_size)
        np.testing.assert_allclose(place, their_center, atol=1e-9)
        theirs = reference.affine_from_three_points(their_center, scale, rotation, input_size)
        np.testing.assert_allclose(matrix, theirs, atol=1e-9)


def test_crop_at_left_edge_centre_and_right_edge():
    # box 50 x 120, grown to 90 x 120, times 1.25
    frame = CropFrame.from_bboxes(BOXES[:1], INPUT_SIZE)
    assert frame.crop_size.tolist() == [[150, 112.5]]
    assert frame.area.tolist() == [150 * 112.5]
    middle = frame.center[0, 0]
    points = np.array([[middle - 112.5 / 2, 80.0], [middle, 80.0], [middle + 112.5 / 2, 80.0]])
    mapped = apply_affine(frame.matrices()[0], points)
    # no half pixel, no W - 1: the crop's edges land on 0 and W exactly
    np.testing.assert_allclose(mapped, [[0, 128], [96, 128], [192, 128]], atol=1e-9)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_mirror_equals_flipping_the_image_first(rotation):
    """The reference mirrors image, keypoints and centre (x' = W - 1 - x), then crops."""
    image_width = 320
    frame = CropFrame.from_bboxes(BOXES, INPUT_SIZE)
    folded = frame.matrices(rotation, mirror=True)
    mirrored_center = frame.center * [-1, 1] + [image_width - 1, 0]
    after_flip = CropFrame(mirrored_center, frame.crop_size, INPUT_SIZE).matrices(rotation)
    points = np.random.default_rng(0).uniform(0, 300, (3, 5, 2))
    flipped_points = points * [-1, 1] + [image_width - 1, 0]
    np.testing.assert_allclose(
        apply_affine(folded, points), apply_affine(after_flip, flipped_points), atol=1e-9
    )


def test_mirror_one_by_one():
    frame = CropFrame.from_bboxes(BOXES, INPUT_SIZE)
    mixed = frame.matrices(np.array([0, 10.0, 20]), np.array([True, False, True]))
    for i, (rotation, mirror) in enumerate([(0, True), (10, False), (20, True)]):
        np.testing.assert_array_equal(mixed[i], frame[[i]].matrices(rotation, mirror)[0])


def test_rows_and_their_concatenation_keep_every_crop():
    frame = CropFrame.from_bboxes(BOXES, INPUT_SIZE, udp=True)
    together = CropFrame.concatenate([frame[2:], frame[np.array([1, 0])]])
    assert len(together) == 3
    np.testing.assert_array_equal(together.matrices(), frame.matrices()[[2, 1, 0]])
    np.testing.assert_array_equal(together.area, frame.area[[2, 1, 0]])
    assert len(frame[:0]) == len(frame[:0].matrices()) == 0


def test_warped_pixel_lands_where_its_point_does():
    """A bright dot of the image is at the mapped point of the crop: OpenCV's convention is ours."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[90, 140] = 255
    frame = CropFrame.from_bboxes(np.array([[110.0, 60, 48, 64]]), INPUT_SIZE)
    for rotation, mirror in [(0, False), (20, True)]:
        matrix = frame.matrices(rotation, mirror)[0]
        crop = cv2.warpAffine(image, matrix, INPUT_SIZE[::-1], flags=cv2.INTER_LINEAR)
        crop = crop[..., 0].astype(float)
        rows, columns = np.mgrid[: INPUT_SIZE[0], : INPUT_SIZE[1]]
        middle = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        expected = apply_affine(matrix, np.array([[140.0, 90]]))[0]
        np.testing.assert_allclose(middle, expected, atol=0.05)


def test_back_to_the_image_equals_simple_baselines_inverse_map():
    heatmap_size = (64, 48)
    points = np.random.default_rng(2).uniform(0, 48, (3, 17, 2))
    ours = CropFrame.from_bboxes(BOXES, INPUT_SIZE).to_image(points, heatmap_size)
    for i, box in enumerate(BOXES):
        theirs = [reference.to_image(point, box, INPUT_SIZE, heatmap_size) for point in points[i]]
        np.testing.assert_allclose(ours[i], theirs, atol=1e-9)
