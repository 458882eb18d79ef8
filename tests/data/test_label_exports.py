"""What labelling tools write: used as it is meant, noted, or refused for the right reason."""

import copy
import json
import re

import numpy as np
import pytest

from keypoint.data.annotations import annotations_to_score, read_annotations
from keypoint.data.audit.check import check_annotation_file
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import load_persons, select_persons
from keypoint.data.entries import whole_number
from keypoint.data.entries.person import EXTENT_FACTOR
from keypoint.data.notes import joined
from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.sigmas import read_repeated
from keypoint.pose.geometry import CropFrame
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.evaluation.cases import plain_coco_eval, truth_as_results

SKELETON = load_skeleton("coco17")
NAN = float("nan")


def read(folder, data, **options):
    return read_annotations(*tiny_coco.write(folder, data), SKELETON, **options)


def check(folder, data, **options):
    return check_annotation_file(*tiny_coco.write(folder, data), SKELETON, scored=True, **options)


@pytest.mark.parametrize("keypoints", [[], None, "missing"])
@pytest.mark.parametrize("count", [0, 0.0, None, "missing"])
@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], None, [5, 5, 20, 30]])
def test_an_annotation_that_says_it_has_no_keypoints_is_unlabelled(
    tmp_path, keypoints, count, bbox
):
    data = tiny_coco.content(2, 2)
    results = truth_as_results(data, shift=2.0)
    entry = data["annotations"][2] | {"area": 0, "bbox": bbox}
    entry |= {"id": 994, "keypoints": keypoints, "num_keypoints": count}
    data["annotations"].append({k: v for k, v in entry.items() if v != "missing"})
    for scored in (False, True):
        found = read(tmp_path, data, scored=scored)
        report = select_persons(found).report
        assert (report.used, report.skipped) == (4, {"without a labelled keypoint": 1})
    filled = copy.deepcopy(data)
    filled["annotations"][-1].update(keypoints=[0] * 51, num_keypoints=0, bbox=bbox or [0] * 4)
    assert evaluate_coco(data, results) == pytest.approx(plain_coco_eval(filled, results))
    checked = check(tmp_path, data)
    assert checked.faults == []
    assert checked.persons.report.skipped == {"without a labelled keypoint": 1}


@pytest.mark.parametrize("junk", [NAN, None, 1e30, 10**40, "", -float("inf")], ids=str)
def test_coordinates_at_visibility_0_are_not_looked_at(tmp_path, junk):
    data = tiny_coco.content(2, 2)
    for entry in data["annotations"]:
        entry["keypoints"][6:9], entry["num_keypoints"] = [junk, junk, 0], 16
        entry["keypoints"][9:12] = [3.5, 4.5, 0]  # as some tools leave them: kept
        entry["num_keypoints"] = 15
    results = [e | {"score": 0.9, "keypoints": [7.0] * 51} for e in data["annotations"]]
    found = read(tmp_path, data, scored=True)
    assert found.keypoints[:, 2:4].tolist() == [[[0, 0, 0], [3.5, 4.5, 0]]] * 4
    assert np.isfinite(select_persons(found).keypoints_image).all()
    clean = copy.deepcopy(data)
    for entry in clean["annotations"]:
        entry["keypoints"][6:9] = [0, 0, 0]
    assert evaluate_coco(data, results) == pytest.approx(plain_coco_eval(clean, results))
    assert check(tmp_path, data).faults == []
    data["annotations"][1]["keypoints"][6:9] = [junk, junk, 1]
    data["annotations"][1]["num_keypoints"] = 16
    for scored in (False, True):
        with pytest.raises(DataError, match="1 fault.*\n  annotation id 2: keypoints "):
            read(tmp_path, data, scored=scored)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1), (1.0, 1), ("1", 1), ("1.0", 1), ("007", 7), ("-3", -3), (-0.0, 0), (np.int64(5), 5),
        (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1), (-(2**63), -(2**63)), (2.0**53, 2**53),
        (1.5, None), ("1.5", None), (True, None), (None, None), ("", None), ("a7f3", None), (NAN, None),
        ("1 ", None), ("1_0", None), ("1e3", None), ("٣", None), (2**63, None), (str(2**63), None),
        (1e300, None), ([1], None), ("9" * 5000, None), (float("inf"), None),
    ],
)  # fmt: skip
def test_whole_numbers(value, number):
    found = whole_number(value)
    assert (found, type(found)) == (number, type(number))


def as_text(entries, keys, form):
    for entry in entries:
        entry |= {key: form(entry[key]) for key in keys}


@pytest.mark.parametrize("form", [str, float])
def test_ids_as_text_are_whole_numbers(tmp_path, form, caplog):
    plain = tiny_coco.content(3, 2)
    data = copy.deepcopy(plain)
    as_text(data["images"], ("id", "width", "height"), form)
    as_text(data["annotations"], ("id", "image_id", "category_id", "num_keypoints"), form)
    as_text(data["categories"], ("id",), form)
    before = copy.deepcopy(data)
    file, images = tiny_coco.write(tmp_path, plain)
    expected = read_annotations(file, images, SKELETON, scored=True)
    file.write_text(json.dumps(data))
    found = read_annotations(file, images, SKELETON, scored=True)
    assert select_persons(found).fingerprint() == select_persons(expected).fingerprint()
    assert (found.ids.tolist(), found.category_id) == (expected.ids.tolist(), 1)
    assert [r for r in caplog.messages if "ids are text" in r] == [
        f"{file}: 22 of 22 ids are text or decimals; they are read as integers, which results "
        f"contain (for example {joined(found.notes[0].examples[:3])})"
    ]
    results = truth_as_results(plain)
    assert evaluate_coco(data, results) == evaluate_coco(plain, results)
    assert data == before
    checked = check_annotation_file(file, images, SKELETON, scored=True)
    assert checked.faults == []
    assert "ids are text" in str(checked.warnings[0])


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        (
            [("images", 0, "id", "100"), ("images", 1, "id", 100)],
            [r"image id '100': .*'100' reads as 100, and so does that of another"],
        ),
        (
            [("annotations", 0, "id", "2")],
            [r"annotation id '2': .*'2' reads as 2, and so does that of another"],
        ),
        ([("annotations", 0, "id", "02"), ("annotations", 1, "id", 2.0)], ["'02'", r"2\.0 reads"]),
        ([("images", 1, "id", "a7f3")], ["image id 'a7f3': its id must be an integer, not"]),
        ([("images", 1, "id", 2**63)], ["its id 9223372036854775808 is beyond 64 bits"]),
        ([("images", 1, "width", 128.5)], [r"width=128\.5 height=120.*two whole numbers"]),
        ([("images", 1, "height", "96.5")], ["height='96.5'.*two whole numbers"]),
        ([("annotations", 0, "category_id", "x")], ["category_id 'x' is not among"]),
    ],
    ids=str,
)
def test_what_is_not_one_whole_number_is_refused(tmp_path, changes, texts):
    data = tiny_coco.content(3, 1)
    file, images = tiny_coco.write(tmp_path, data)
    for key, place, name, value in changes:
        data[key][place][name] = value
    file.write_text(json.dumps(data))
    for scored in (False, True):
        with pytest.raises(DataError) as caught:
            read_annotations(file, images, SKELETON, scored=scored)
        said = "\n".join(caught.value.faults or [str(caught.value)])
        for text in texts:
            assert re.search(text, said), said
        found = check_annotation_file(file, images, SKELETON, scored=scored).faults
        assert set(map(str, found)) >= {line for line in said.split("\n  ") if line in said[40:]}


def test_two_categories_of_one_number_are_refused(tmp_path):
    data = tiny_coco.content(1, 1)
    data["categories"].append({"id": "1", "name": "dog"})
    with pytest.raises(DataError, match="'person' and 'dog' have the same id 1; ids are unique"):
        read(tmp_path, data)
    data["categories"][1] = data["categories"][0] | {"name": "child"}
    with pytest.raises(DataError, match="'person' and 'child' have the same id 1; ids are unique"):
        read(tmp_path, data, category="all")


@pytest.mark.parametrize("area", [0, 0.0, None, "missing"])
def test_the_area_of_the_box_replaces_a_missing_one(tmp_path, area, caplog):
    data = tiny_coco.content(4, 2)
    results = truth_as_results(data, shift=3.0)
    filled = copy.deepcopy(data)
    for place in (1, 4, 6):
        width, height = data["annotations"][place]["bbox"][2:]
        filled["annotations"][place]["area"] = width * height
        data["annotations"][place]["area"] = area
        if area == "missing":
            del data["annotations"][place]["area"]
    expected = plain_coco_eval(filled, results)
    assert expected["AP"] < 1
    assert evaluate_coco(data, results) == pytest.approx(expected, abs=1e-12)
    caplog.clear()
    found = read(tmp_path, data, scored=True)
    note = "3 of 8 (37.50%) annotations have labelled keypoints but no area; the area of their bbox is used ("
    assert [m for m in caplog.messages if note in m] == [f"{found.source}: {found.notes[0]}"]
    assert note in select_persons(found).report.to_dict()["notes"][0]
    assert evaluate_coco(found, results) == pytest.approx(expected, abs=1e-12)
    checked = check(tmp_path, data)
    assert checked.faults == []
    assert "3 of 8 (37.50%) annotations have labelled keypoints but no area" in str(
        checked.warnings[0]
    )
    assert not read(tmp_path, data).notes  # training needs none
    file = tmp_path / "one.json"
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match="square pixels above 0"):
        read_repeated([file], SKELETON)


def test_no_box_was_drawn(tmp_path):
    data = tiny_coco.content(3, 2)
    entries = data["annotations"]
    entries[0]["bbox"] = [0, 0, 0, 0]
    entries[1]["bbox"], entries[1]["area"] = [0.0] * 4, 0
    entries[2].update(bbox=[0, 0, 0, 0], num_keypoints=1, keypoints=[50, 40, 2] + [0] * 48)
    line = [50, 40, 2, 60, 40, 2] + [0] * 45
    entries[3].update(bbox=[0, 0, 0, 0], num_keypoints=2, keypoints=line)
    points = np.array(entries[0]["keypoints"]).reshape(17, 3)[:, :2]
    found = read(tmp_path, data, scored=True)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, sides = (low + high) / 2, (high - low) * 1.25
    first = np.maximum(middle - sides / 2, 0)
    expected = [*first, *(middle + sides / 2 - first)]
    np.testing.assert_allclose(found.bbox_xywh[0], expected, atol=1e-9)
    assert found.area[1] == pytest.approx(found.bbox_xywh[1, 2:].prod())
    assert EXTENT_FACTOR == 1.25
    assert str(found.notes[1]) == (
        "2 of 6 (33.33%) annotations have the bbox [0, 0, 0, 0]; the extent of their labelled keypoints, 1.25 "
        "times as wide and high, is used (for example annotation id 1, 2)"
    )
    persons = select_persons(found)
    assert persons.ids.tolist() == [1, 2, 5, 6]
    assert persons.report.skipped == {"with a bbox without area inside its image": 2}
    crops = CropFrame.from_bboxes(persons.bbox_xywh[:1], (64, 48))
    inside = np.abs(points - crops.center[0]) < 0.45 * crops.crop_size[0, ::-1]
    assert inside.all()  # of the crop, none in its last tenth
    assert load_persons(*tiny_coco.write(tmp_path, data), SKELETON).ids.tolist() == [1, 2, 5, 6]
    checked = check(tmp_path, data)
    assert checked.faults == []
    assert "2 of 6 (33.33%) annotations have the bbox [0, 0, 0, 0]" in str(checked.warnings[1])


def test_a_count_of_the_visible_keypoints_is_noted(tmp_path):
    data = tiny_coco.content(1, 1)
    entry = data["annotations"][0]
    entry["keypoints"][2::3] = [2] * 9 + [1] * 3 + [0] * 5
    for count, is_noted in ((12, False), (9, True), (None, False), (9.0, True), ("12", False)):
        entry["num_keypoints"] = count
        assert bool(read(tmp_path, data).notes) == is_noted
    for count in (17, 3, 0, 12.5, "many", -9):
        entry["num_keypoints"] = count
        with pytest.raises(DataError, match="but 12 are labelled; correct or remove it"):
            read(tmp_path, data)


def species():
    """Three categories of equal keypoints and one without, a person of each."""
    data = tiny_coco.content(4, 1)
    names = list(SKELETON.keypoints)
    data["categories"] = [
        {"id": 7, "name": "rat", "keypoints": names},
        {"id": 3, "name": "vole", "keypoints": names},
        {"id": 5, "name": "newt", "keypoints": names},
        {"id": 6, "name": "stone"},
    ]
    for entry, key in zip(data["annotations"], (7, 3, 5, 6), strict=True):
        entry["category_id"] = key
    return data


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ("all", [1, 2, 3]), ("vole", [2]), (["vole"], [2]), (("newt", "rat"), [1, 3]), ("stone", [4]),
    ],
)  # fmt: skip
def test_chosen_categories_are_one_class(tmp_path, chosen, ids):
    data = species()
    found = read(tmp_path, data, scored=True, category=chosen)
    assert found.ids.tolist() == ids
    assert found.category_id == data["annotations"][ids[0] - 1]["category_id"]
    assert bool(found.notes) == (len(ids) > 1)
    results = truth_as_results(data, shift=2.0)
    mine = [results[key - 1] | {"category_id": found.category_id} for key in ids]
    one_class = copy.deepcopy(data) | {"categories": [{"id": 1, "name": "animal"}]}
    one_class["annotations"] = [data["annotations"][key - 1] | {"category_id": 1} for key in ids]
    expected = plain_coco_eval(one_class, [r | {"category_id": 1} for r in mine])
    assert evaluate_coco(found, mine) == pytest.approx(expected, abs=1e-12)
    checked = check(tmp_path, data, category=chosen)
    assert checked.faults == []
    assert checked.persons.ids.tolist() == ids
    assert checked.persons.report.skipped == {"of another category": 4 - len(ids)}


def test_boxes_and_results_of_any_chosen_category_are_used(tmp_path):
    data = species()
    boxes = [
        {"image_id": e["image_id"], "category_id": e["category_id"], "bbox": e["bbox"], "score": 1}
        for e in data["annotations"]
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    found = read(tmp_path, data, scored=True, category=["rat", "newt"])
    persons = read_boxes(tmp_path / "boxes.json", found)
    assert persons.ids.tolist() == [0, 2]
    assert persons.category_id == 7
    results = truth_as_results(data)
    mine = [results[0] | {"category_id": 7}, results[2] | {"category_id": 5}]
    assert evaluate_coco(found, mine)["AP"] == pytest.approx(1)
    with pytest.raises(DataError, match=r"category_id 3 must be 7 or 5 \('rat, newt'\)"):
        evaluate_coco(found, [mine[0] | {"category_id": 3}])


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (None, r"3 categories have keypoints \('rat', 'vole', 'newt'\); set data.category"),
        ("mole", "data.category 'mole' is not among the categories 'rat', 'vole', 'newt', 'stone'"),
        (["rat", "stone"], "'rat' and 'stone' have different keypoints, so they cannot be one"),
    ],
)
def test_what_is_not_one_class_is_refused(tmp_path, chosen, text):
    data = species()
    with pytest.raises(DataError, match=text):
        read(tmp_path, data, category=chosen)
    faults = check(tmp_path, data, category=chosen).faults
    assert len(faults) == 1
    assert re.search(text, str(faults[0]))
    if chosen is None:
        with pytest.raises(DataError, match=text):
            annotations_to_score(data)
        data["categories"][1]["keypoints"] = ["a"]
        with pytest.raises(DataError, match="'rat' and 'vole' have different keypoints"):
            read(tmp_path, data, category="all")
