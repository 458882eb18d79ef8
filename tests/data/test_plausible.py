import json

import numpy as np
import pytest

from keypoint.data.coco import count_corner_boxes, load_persons
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")


def test_boxes_as_corners_are_refused(tmp_path):
    data = tiny_coco.content(6, 2)
    file, images = tiny_coco.write(tmp_path, data)
    assert len(load_persons(file, images, SKELETON)) == 12
    for entry in data["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["bbox"] = [x, y, x + w, y + h]
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match="boxes fit their keypoints better as x1, y1, x2, y2"):
        load_persons(file, images, SKELETON)


def test_normalised_coordinates_are_refused(tmp_path):
    data = tiny_coco.content()
    file, images = tiny_coco.write(tmp_path, data)
    for entry in data["annotations"]:
        points = np.array(entry["keypoints"]).reshape(17, 3) / [160, 120, 1]
        entry["keypoints"] = points.ravel().tolist()
        entry["bbox"] = (np.array(entry["bbox"]) / [160, 120, 160, 120]).tolist()
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"within \[0, 1\], as normalised.*give pixels"):
        load_persons(file, images, SKELETON)


def test_real_boxes_are_far_from_the_limit(coco_sample):
    file = coco_sample / "annotations" / "person_keypoints_val2017_part.json"
    entries = [a for a in json.loads(file.read_text())["annotations"] if a["num_keypoints"]]
    entries = [a for a in entries if not a["iscrowd"]]
    triples = np.array([a["keypoints"] for a in entries], float).reshape(-1, 17, 3)
    boxes = np.array([a["bbox"] for a in entries])
    labelled = triples[..., 2] > 0
    corners, asked = count_corner_boxes(triples[..., :2], labelled, boxes)
    assert asked > 1000
    assert corners < 0.06 * asked
    boxes[:, 2:] += boxes[:, :2]
    corners, asked = count_corner_boxes(triples[..., :2], labelled, boxes)
    assert corners > 0.75 * asked
