import json

import cv2
import numpy as np
import pytest

from keypoint.data.annotations import read_annotations
from keypoint.data.coco import select_persons
from keypoint.data.synthetic.signs import CORNERS, synthesize_signs, write_sign_set
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton

SIZE = (240, 320)


def signs(number=60):
    for index in range(number):
        image, found = synthesize_signs(np.random.default_rng([5, index]), SIZE)
        assert image.shape == (*SIZE, 3)
        assert image.dtype == np.uint8
        for sign in found:
            yield image, sign


def test_corners_bound_what_is_drawn():
    whole, flags = 0, []
    for _, sign in signs():
        points, seen = sign["keypoints"][:, :2], sign["keypoints"][:, 2]
        flags += seen.tolist()
        assert ((seen == 0) == (points == 0).all(axis=1)).all()
        area = cv2.contourArea(points.astype(np.float32))
        if (seen < 2).any() or abs(sign["area"] / area - 1) > 0.05:
            continue  # partly outside or behind another
        whole += 1
        x, y, w, h = sign["bbox"]  # of whole pixels: half a pixel beyond their centres
        np.testing.assert_allclose(points.min(axis=0), [x - 0.5, y - 0.5], atol=1.0)
        np.testing.assert_allclose(points.max(axis=0), [x + w - 0.5, y + h - 0.5], atol=1.0)
    assert whole > 30
    assert {flags.count(v) > 3 for v in (0, 1, 2)} == {True}


def test_names_are_the_upright_signs_and_a_mirrored_image_changes_left_and_right():
    skeleton_order = [CORNERS.index(name) for name in ("top_right", "top_left", "bottom_left", "bottom_right")]  # fmt: skip
    for _, sign in signs(20):
        points = sign["keypoints"][:, :2]
        if (sign["keypoints"][:, 2] == 0).any():
            continue
        a, b, c = points[1] - points[0], points[3] - points[0], None
        assert a[0] * b[1] - a[1] * b[0] > 0  # clockwise on the screen, from top_left
        mirrored = points * [-1, 1] + [SIZE[1] - 1, 0]
        c = mirrored[skeleton_order]
        a, b = c[1] - c[0], c[3] - c[0]
        assert a[0] * b[1] - a[1] * b[0] > 0  # again, after the swap of pairs


def test_the_set_is_what_ones_own_data_are_like(tmp_path):
    write_sign_set(tmp_path / "a", train_images=6, val_images=3)
    write_sign_set(tmp_path / "b", train_images=4, val_images=3)
    skeleton = load_skeleton("sign.yaml", tmp_path / "a")
    assert skeleton.keypoints == CORNERS
    assert skeleton.flip_indices == (1, 0, 3, 2)
    assert skeleton.uniform_sigmas
    file = tmp_path / "a" / "annotations" / "signs_train.json"
    persons = select_persons(
        read_annotations(file, tmp_path / "a" / "images", skeleton, scored=True)
    )
    assert persons.category_id == 42
    assert persons.images.ids.min() > 2**31
    assert persons.ids.min() > 1000
    assert persons.report.skipped == {"of another category": len(persons)}
    for row in range(6):
        assert "/camera_" in persons.images.file_names[row]
        assert persons.images.path(row).is_file()
    smaller = json.loads((tmp_path / "b" / "annotations" / "signs_train.json").read_text())
    larger = json.loads(file.read_text())
    assert smaller["images"] == larger["images"][:4]
    assert smaller["annotations"] == larger["annotations"][: len(smaller["annotations"])]
    trained = {file.read_bytes() for file in (tmp_path / "a/images/train").rglob("*.jpg")}
    tested = {file.read_bytes() for file in (tmp_path / "a/images/val").rglob("*.jpg")}
    assert (len(trained), len(tested), len(trained & tested)) == (6, 3, 0)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty, nothing was written"):
        write_sign_set(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="train_images=0"):
        write_sign_set(tmp_path / "x", train_images=0)
