"""data.on_bad=skip: what is bad is left out, counted, listed and limited."""

import json

import pytest

from keypoint.data.annotations import read_annotations
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import load_persons, select_persons
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")
SKIP = {"on_bad": "skip", "max_bad": 0.5}


@pytest.fixture
def damaged(tmp_path):
    """6 images with 2 persons each: one annotation, one record and one file are bad."""
    data = tiny_coco.content(6, 2)
    file, images = tiny_coco.write(tmp_path, data)
    data["annotations"][0]["keypoints"] = [1, 2]  # id 1, image 100
    data["images"][1]["width"] = 0  # image 101, annotations 3 and 4
    whole = (images / data["images"][2]["file_name"]).read_bytes()  # image 102, 5 and 6
    (images / data["images"][2]["file_name"]).write_bytes(whole[: len(whole) // 2])
    file.write_text(json.dumps(data))
    return file, images


def test_error_is_the_default_and_names_all_entries(damaged):
    with pytest.raises(DataError, match="2 faults") as error:
        load_persons(*damaged, SKELETON)
    assert "image id 101: width=0" in str(error.value)
    assert "annotation id 1: keypoints has 2 numbers" in str(error.value)


def test_training_leaves_out_what_is_bad_and_no_more(damaged):
    persons = load_persons(*damaged, SKELETON, **SKIP)
    assert persons.ids.tolist() == [2, 7, 8, 9, 10, 11, 12]
    assert persons.images.ids.tolist() == [100, 103, 104, 105]
    report = persons.report
    assert (report.total, report.used) == (12, 7)
    assert report.skipped == {"faulty (keypoints)": 1, "on an image left out as faulty": 4}
    images = report.images
    assert (images.total, images.used) == (6, 4)
    assert images.skipped == {"faulty (image size)": 1, "faulty (image file)": 1}
    listed = report.to_dict()["listed"]
    assert [(entry["id"], entry["reason"]) for entry in listed] == [
        (101, "image size"),
        (102, "image file"),
        (1, "keypoints"),
    ]
    assert listed[1]["file"] == "000000000102.png"
    assert "truncated PNG" in listed[1]["text"]


def test_evaluation_leaves_out_whole_images(damaged, tmp_path):
    truth = read_annotations(*damaged, SKELETON, scored=True, **SKIP)
    persons = select_persons(truth)
    assert persons.ids.tolist() == [7, 8, 9, 10, 11, 12]
    assert truth.ids.tolist() == persons.ids.tolist()
    assert truth.left_out_images == {100, 101, 102}
    assert persons.report.images.skipped["left out with a faulty annotation"] == 1
    boxes = tmp_path / "boxes.json"
    entries = [
        {"image_id": key, "category_id": 1, "bbox": [5, 5, 50, 80], "score": 0.9}
        for key in range(100, 106)
    ]
    entries[5]["score"] = "high"
    boxes.write_text(json.dumps(entries))
    found = read_boxes(boxes, truth, **SKIP)
    assert found.image_ids.tolist() == [103, 104]
    assert found.report.skipped == {"on an image left out as faulty": 3, "faulty (score)": 1}
    for entry in entries[2:]:
        entry["score"] = "high"
    boxes.write_text(json.dumps(entries))
    with pytest.raises(
        DataError,
        match=r"4 of 6 boxes .*(.|\n)*box 2: score 'high' .*\n  and 3 more like it, such as box 3, 4;",
    ):
        read_boxes(boxes, truth, **SKIP)


def test_too_much_is_an_error_that_lists_it(damaged):
    text = r"2 of 6 images \(33.33%\) are bad, over the limit data.max_bad=0.3"
    with pytest.raises(DataError, match=text) as error:
        load_persons(*damaged, SKELETON, on_bad="skip", max_bad=0.3)
    assert "000000000102.png: truncated" in str(error.value)


def test_the_limit_holds_for_annotations_too(tmp_path):
    data = tiny_coco.content(6, 2)
    data["annotations"][0]["keypoints"] = [1, 2]
    files = tiny_coco.write(tmp_path, data)
    assert len(load_persons(*files, SKELETON, on_bad="skip", max_bad=1 / 12)) == 11
    with pytest.raises(DataError, match=r"1 of 12 annotations \(8.33%\) is bad"):
        load_persons(*files, SKELETON, on_bad="skip", max_bad=0.08)


def test_a_file_as_a_whole_is_never_skipped(tmp_path):
    data = tiny_coco.content()
    names = data["categories"][0]["keypoints"]
    names[1], names[2] = names[2], names[1]
    files = tiny_coco.write(tmp_path, data)
    text = "do not match .*'right_eye' for 'left_eye'.*choose the right data.skeleton"
    for policy in ({}, SKIP):
        with pytest.raises(DataError, match=text):
            load_persons(*files, SKELETON, **policy)
    with pytest.raises(ValueError, match="choose 'error' or 'skip'"):
        load_persons(*tiny_coco.write(tmp_path, tiny_coco.content()), SKELETON, on_bad="ignore")
