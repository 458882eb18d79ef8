import json

import numpy as np
import pytest

from keypoint.data.boxes import load_boxes, read_box_list
from keypoint.data.coco import find_split, load_persons
from keypoint.data.report import DataReport
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")


def load(folder, data):
    return load_persons(*tiny_coco.write(folder, data), SKELETON)


def test_real_coco_persons_are_counted_by_reason(coco_sample):
    file = coco_sample / "annotations" / "person_keypoints_sample.json"
    persons = load_persons(file, coco_sample / "images", SKELETON)
    assert len(persons) == 111
    assert persons.report.total == 210
    assert persons.report.skipped == {"without a labelled keypoint": 92, "crowd": 7}


def test_records_are_flat_arrays_that_agree_with_the_file(tmp_path):
    data = tiny_coco.content()
    persons = load(tmp_path, data)
    for i, entry in enumerate(data["annotations"]):
        triples = np.array(entry["keypoints"], np.float32).reshape(17, 3)
        np.testing.assert_array_equal(persons.keypoints_image[i], triples[:, :2])
        np.testing.assert_array_equal(persons.visibility[i], triples[:, 2])
        assert persons.image_ids[i] == entry["image_id"]
        x, y, w, h = entry["bbox"]
        # the references' cleaning
        np.testing.assert_allclose(persons.bbox_xywh[i], [x, y, w - 1, h - 1])
    for name in ("ids", "image_index", "bbox_xywh", "keypoints_image", "visibility"):
        array = getattr(persons, name)
        assert isinstance(array, np.ndarray)
        assert array.dtype != object
    assert persons.images.file_names.utf8.dtype == np.uint8


def test_every_reason_is_counted(tmp_path):
    data = tiny_coco.content(4, 2)
    entries = data["annotations"]
    entries[0]["iscrowd"] = 1
    entries[1].update(keypoints=[0] * 51, num_keypoints=0)
    entries[2]["bbox"] = [10, 10, 0, 30]
    entries[3]["category_id"] = 2
    data["categories"].append({"id": 2, "name": "dog"})
    report = load(tmp_path, data).report
    assert (report.total, report.used) == (8, 4)
    assert report.skipped == {
        "crowd": 1,
        "without a labelled keypoint": 1,
        "with a bbox without area inside its image": 1,
        "of another category": 1,
    }
    assert "8 persons = 4 used + 4 skipped" in str(report)


def test_a_lost_entry_is_an_assertion():
    with pytest.raises(AssertionError, match="lost without a reason"):
        DataReport("file", 3, 1, {"crowd": 1})


def test_a_name_that_would_move_the_terminal_is_shown_harmlessly(tmp_path):
    data = tiny_coco.content()
    for name in ("a\x1b[2J", "\ud800"):
        data["categories"][0]["keypoints"][0] = name
        with pytest.raises(DataError, match="keypoint names do not match") as caught:
            load(tmp_path, data)
        assert str(caught.value).isprintable()


def test_the_first_fault_is_shown_and_all_are_kept(tmp_path):
    data = tiny_coco.content(20, 2)
    for entry in data["annotations"][:30]:
        entry["keypoints"] = []
    text = r"val2017\.json: 30 faults.*\n  annotation id 1: .*\n"
    text += r"  and 29 more like it, such as annotation id 2, 3; --debug lists all$"
    with pytest.raises(DataError, match=text) as error:
        load(tmp_path, data)
    ids = [fault.split(":")[0] for fault in error.value.faults]
    assert ids == [f"annotation id {number}" for number in range(1, 31)]


@pytest.mark.parametrize(("kind", "key"), [("annotation", 1), ("image", 100)])
def test_duplicate_ids(tmp_path, kind, key):
    data = tiny_coco.content()
    data[f"{kind}s"][3]["id"] = key
    with pytest.raises(DataError, match=f"{kind} id {key}: duplicate"):
        load(tmp_path, data)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"file_name": "../secret.png"}, "absolute or .."),
        ({"file_name": "a\0b.png"}, "NUL"),
        ({"file_name": "a\x1b[2Jb.png"}, "control character"),
        ({"file_name": "http://127.0.0.1/a.png"}, "is not downloaded"),
        ({"file_name": None}, "give the file's name"),
        ({"width": 0}, "give its size"),
    ],
)
def test_a_faulty_image_entry_is_named(tmp_path, change, text):
    data = tiny_coco.content()
    file, images = tiny_coco.write(tmp_path, data)
    data["images"][2].update(change)
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match=f"image id 102: .*{text}"):
        load_persons(file, images, SKELETON)


def test_missing_keys_are_named(tmp_path):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content())
    file.write_text('{"annotations": 3, "images": []}')
    text = "'images' has no entries; .*'annotations' is not a list.*; key 'categories' is missing"
    with pytest.raises(DataError, match=text):
        load_persons(file, images, SKELETON)


def test_boxes_keep_their_form_and_are_counted(tmp_path):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content())
    box = {"image_id": 101, "category_id": 1, "bbox": [-5, 3, 50, 80], "score": 0.9}
    entries = [
        box,
        box | {"score": 0.05},
        box | {"category_id": 3},
        box | {"bbox": [1, 1, 0, 4]},
        box | {"image_id": 103, "bbox": [300, 5, 20, 20]},
    ]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(entries))
    persons = load_boxes(boxes, file, images, SKELETON, score_threshold=0.1)
    assert persons.ids.tolist() == [0, 4]
    assert persons.bbox_xywh.tolist() == [[-5, 3, 50, 80], [300, 5, 20, 20]]  # no clipping, no -1
    assert persons.bbox_scores.tolist() == [0.9, 0.9]
    assert persons.report.skipped == {
        "with a score under 0.1": 1,
        "of another category": 1,
        "with a bbox without area": 1,
    }


@pytest.mark.parametrize("form", [str, float])
def test_ids_of_boxes_are_whole_numbers_as_text_or_decimals(tmp_path, form):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content())
    box = {"image_id": form(101), "category_id": form(1), "bbox": [5, 3, 50, 80], "score": 0.9}
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([box]))
    persons = load_boxes(boxes, file, images, SKELETON)
    assert (persons.image_ids.tolist(), persons.report.skipped) == ([101], {})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image_id": 999}, "image_id 999 is not"),
        ({"score": float("nan")}, "score nan"),
        ({"score": "0.5"}, "score '0.5'"),
        ({"image_id": "a101"}, "image_id 'a101' is not"),
        ({"score": []}, r"score \[\]"),
        ({"bbox": [0, 0, float("nan"), 1]}, "has nan or inf"),
        ({"bbox": [0, 0, 1]}, "bbox has 3 numbers; give 4 numbers"),
        ({"bbox": [-5e8, -5e8, 1e9, 1e9]}, "outside any image"),
    ],
)
def test_a_faulty_box_is_named(tmp_path, change, text):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content())
    box = {"image_id": 101, "category_id": 1, "bbox": [5, 3, 50, 80], "score": 0.9}
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([box, box | change]))
    with pytest.raises(DataError, match=rf"boxes\.json: 1 fault.*\n  box 1: .*{text}"):
        load_boxes(boxes, file, images, SKELETON)


def test_keypoint_results_are_no_boxes(tmp_path):
    file = tmp_path / "results.json"
    results = [{"image_id": 1, "category_id": 1, "keypoints": [0.0] * 51, "score": 1.0}] * 30
    file.write_text(json.dumps(results))
    with pytest.raises(
        DataError, match=r"results\.json: contains keypoint results, not boxes; give"
    ):
        read_box_list(file)
    with_boxes = [entry | {"bbox": [0, 0, 1, 1]} for entry in results]
    file.write_text(json.dumps(with_boxes))
    assert read_box_list(file) == with_boxes


@pytest.mark.parametrize("folder", ["val2017", "images/val2017"])
def test_both_common_layouts_are_found(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a.json").touch()
    expected = (tmp_path / "a.json", tmp_path / folder)
    assert find_split(tmp_path, "a.json", None, "val2017") == expected


def test_what_is_not_there_is_named(tmp_path):
    text = r"a\.json: no such annotation file; set data\.root.*\n  or create it: .*make demo"
    with pytest.raises(DataError, match=text):
        find_split(tmp_path, "a.json", None, "val2017")
    (tmp_path / "a.json").touch()
    text = "tried .*val2017 and .*images/val2017.*data.val_images"
    with pytest.raises(DataError, match=text):
        find_split(tmp_path, "a.json", None, "val2017")
