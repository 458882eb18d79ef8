"""Files with boxes and without keypoints, as labelling tools of detectors write them."""

import json

import numpy as np
import pytest

from keypoint.errors import DataError
from keypoint.prediction.persons.annotated import annotated_persons
from tests import tiny_coco

SKELETON = tiny_coco.SKELETON


def content(categories=({"id": 3, "name": "person"},)):
    """Five boxes on two images of 160 x 120, of which three can be used."""
    images = [{"id": i, "file_name": f"{i}.png", "height": 120, "width": 160} for i in (7, 8)]
    boxes = [[10, 20, 30, 40], [50, 20, 300, 40], [1, 2, 0, 4], [500, 2, 9, 9], [5, 6, 70, 80]]
    annotations = [
        {"id": 10 + i, "image_id": 7 + i // 2, "category_id": 3, "bbox": bbox, "iscrowd": 0}
        for i, bbox in enumerate(boxes[:4])
    ]
    annotations += [{"id": 19, "image_id": 7, "category_id": 3, "bbox": boxes[4]}]
    return {"images": images, "annotations": annotations, "categories": list(categories)}


@pytest.fixture
def read(tmp_path):
    def call(data):
        (tmp_path / "a.json").write_text(json.dumps(data))
        return annotated_persons(tmp_path / "a.json", SKELETON)

    return call


@pytest.mark.parametrize(
    "categories",
    [
        [{"id": 3, "name": "person"}],
        [{"id": 3, "name": "Person"}, {"id": 4, "name": "car"}],
        [{"id": 3, "name": "pedestrian", "supercategory": "none"}],
        [{"id": 4, "name": "person"}, {"id": 3, "keypoints": list(SKELETON.keypoints)}],
        [],
    ],
)
@pytest.mark.parametrize("keypoints", ["absent", None, [], [0] * 51, [9, 5, 0] * 17])
def test_boxes_are_persons_with_their_ids(read, categories, keypoints):
    data = content(categories)
    if keypoints != "absent":
        for entry in data["annotations"]:
            entry |= {"keypoints": keypoints, "num_keypoints": 0, "area": 0}
    found = read(data)
    assert found.ids.tolist() == [10, 11, 19]
    assert found.image_ids.tolist() == [7, 7, 7]
    assert found.category_id == 3
    # Clipped as the boxes of persons with keypoints are.
    np.testing.assert_array_equal(found.bbox_xywh[:2], [[10, 20, 29, 39], [50, 20, 109, 39]])
    assert found.bbox_scores.tolist() == [1, 1, 1]
    report = found.report
    assert (report.total, report.used) == (5, 3)
    assert report.skipped == {"with a bbox without area inside its image": 2}
    assert [one["id"] for one in report.listed] == [12, 13]
    assert report.images.skipped == {"without a usable person": 1}


def test_crowds_and_other_categories_are_counted(read):
    data = content([{"id": 3, "name": "person"}, {"id": 4, "name": "car"}])
    data["annotations"][0]["iscrowd"] = 1
    data["annotations"][1]["category_id"] = 4
    del data["annotations"][2:4]
    assert read(data).report.skipped == {"crowd": 1, "of another category": 1}


def test_a_file_without_categories_at_all(read):
    data = content()
    del data["categories"]
    assert read(data).category_id == 3
    for entry in data["annotations"]:
        del entry["category_id"]
    assert read(data).category_id == 1
    assert len(read(data)) == 3


def test_one_labelled_keypoint_and_boxes_are_not_persons(read):
    """As before: the persons are those that are labelled, and a fault of one is said."""
    names = [{"id": 3, "name": "person", "keypoints": list(SKELETON.keypoints)}]
    data = content(names)
    for entry in data["annotations"]:
        entry |= {"keypoints": [0] * 51, "num_keypoints": 0, "area": 9}
    data["annotations"][0] |= {"keypoints": [15, 25, 2] + [0] * 48, "num_keypoints": 1}
    assert read(data).ids.tolist() == [10]
    data["annotations"][0]["keypoints"] = [15, 25, 2]
    with pytest.raises(DataError, match="annotation id 10: keypoints has 3 numbers"):
        read(data)


def test_boxes_in_another_form_are_noted_or_refused(read):
    data, rng = content(), np.random.default_rng(0)
    corners = np.concatenate([rng.uniform(60, 90, (20, 2)), rng.uniform(100, 119, (20, 2))], axis=1)
    data["annotations"] = [
        {"id": i, "image_id": 7, "category_id": 3, "bbox": box}
        for i, box in enumerate(corners.tolist())
    ]
    try:
        said = " ".join(map(str, read(data).report.notes))
    except DataError as error:
        said = str(error)
    assert "x1, y1, x2, y2" in said
    for entry in data["annotations"]:
        entry["bbox"] = [0.2, 0.3, 0.4, 0.5]
    with pytest.raises(DataError, match=r"boxes are within \[0, 1\]"):
        read(data)
    assert read(content()).report.notes == ()


CATS = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"categories": CATS},
            r"boxes without keypoints of 2 categories \(cat, dog\); rename the",
        ),
        (
            {"categories": [{"id": 3, "keypoints": ["a"]}]},
            "1 keypoint names do not match the 17 of skeleton coco17.*choose a checkpoint trained on",
        ),
        ({"categories": [{"id": "x", "name": "person"}]}, "category id 'x' is not a whole number"),
        (
            {"annotations": [{"id": 1, "image_id": 7, "category_id": 3}]},
            "annotation id 1: bbox None",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 9, "bbox": [1, 2, 3, 4]}]},
            "image_id 9 is not among",
        ),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2, 3, 4]}]}, "id must be an integer"),
        ({"images": [{"id": 7, "file_name": "a.png"}]}, "image id 7: width=None"),
        ({"annotations": []}, "'annotations' has no entries"),
        ({"annotations": content()["annotations"][2:4]}, "there is no box to predict on"),
    ],
)
def test_what_cannot_be_used_is_said(read, change, text):
    with pytest.raises(DataError, match=text):
        read(content() | change)
