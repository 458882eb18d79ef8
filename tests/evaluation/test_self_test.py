"""Truth as prediction, and that AP does not know ids."""

import copy
import json

import numpy as np
import pytest

from keypoint.data.annotations import annotations_to_score, read_annotations
from keypoint.data.audit.check import check_annotation_file, check_box_file
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import select_persons
from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.self_test import truth_as_prediction
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.evaluation.cases import boxes_of, result_of
from tests.tiny_coco import write

SKELETON = load_skeleton("coco17")


def run(file, images, **options):
    annotations = read_annotations(file, images, SKELETON, scored=True)
    return truth_as_prediction(annotations, select_persons(annotations), SKELETON, **options)


@pytest.mark.parametrize(
    ("name", "persons", "twins"),
    [("person_keypoints_sample", 111, 0), ("person_keypoints_val2017_part", 1323, 3)],
)
def test_real_truth_scores_one(coco_sample, name, persons, twins):
    """Of 1323 persons in COCO, OKS-NMS takes 3 for another: annotated twice, all but equal."""
    files = coco_sample / "annotations" / f"{name}.json", coco_sample / "images"
    test = run(*files, nms=None)
    assert test.persons == persons
    assert test.metrics["AP"] == pytest.approx(1.0, abs=1e-9)
    assert test.metrics["AR"] == pytest.approx(1.0, abs=1e-9)
    assert test.reasons == ()
    hard = run(*files)
    reason = f"{twins} results suppressed by OKS-NMS as the same person"
    assert hard.reasons == ((reason,) if twins else ())
    assert hard.metrics["AR"] == pytest.approx(1 - twins / persons, abs=1e-9)


def test_what_costs_ap_is_explained(tmp_path):
    data = tiny_coco.content(2, 25)
    twin = copy.deepcopy(data["annotations"][0])
    data["annotations"].append(twin | {"id": 1000})
    no_box = copy.deepcopy(data["annotations"][1])
    data["annotations"].append(no_box | {"id": 1001, "bbox": [10, 10, 0, 30]})
    test = run(*write(tmp_path, data))
    assert test.metrics["AP"] < 0.9
    assert test.reasons == (
        "1 scored person is missed, as their bbox has no area",
        "1 result suppressed by OKS-NMS as the same person",
        "10 results beyond COCO's 20 per image",
    )
    assert test.is_explained


def test_persons_with_one_label_each_are_two_persons(tmp_path):
    """OKS-NMS compares all keypoints; those without a label must not agree at (0, 0)."""
    data = tiny_coco.content(2, 2)
    for entry in data["annotations"]:
        entry["keypoints"] = entry["keypoints"][:3] + [0] * 48
        entry["num_keypoints"] = 1
    test = run(*write(tmp_path, data))
    assert test.metrics["AP"] == pytest.approx(1.0)
    assert test.reasons == ()


def test_labels_in_the_wrong_place_are_a_failure_without_a_reason(tmp_path):
    data = tiny_coco.content()
    file, images = write(tmp_path, data)
    truth = select_persons(read_annotations(file, images, SKELETON))
    for entry in data["annotations"]:
        entry["keypoints"][0::3] = [x + 200 for x in entry["keypoints"][0::3]]
    test = truth_as_prediction(annotations_to_score(data), truth, SKELETON)
    assert test.metrics["AP"] == 0
    assert not test.is_explained


def test_boxes_bound_ap_from_above(tmp_path):
    data = tiny_coco.content(4, 1)
    file, images = write(tmp_path, data)
    annotations = read_annotations(file, images, SKELETON, scored=True)
    truth = select_persons(annotations)
    boxes = tmp_path / "boxes.json"
    entries = boxes_of(data, 0.5)

    def best(entries):
        boxes.write_text(json.dumps(entries))
        given = read_boxes(boxes, annotations)
        return truth_as_prediction(annotations, truth, SKELETON, boxes=given)

    assert best(entries).metrics["AP"] == pytest.approx(1.0)
    three = best(entries[:3])  # recall of 3 of 4: precision 1 at 76 of the 101 recalls
    assert three.metrics["AP"] == pytest.approx(76 / 101)
    assert three.reasons == ("1 person is not the best match of any box",)


def test_a_box_file_is_checked_against_its_images(tmp_path):
    data = tiny_coco.content(4, 1)
    file, images = write(tmp_path, data)
    truth = check_annotation_file(file, images, SKELETON, scored=True)
    boxes = tmp_path / "boxes.json"
    box = {"image_id": 101, "category_id": 1, "bbox": [5, 3, 50, 80], "score": 0.001}
    boxes.write_text(json.dumps([box, box, box | {"score": None}, box | {"bbox": [900, 5, 9, 9]}]))
    check = check_box_file(boxes, truth)
    assert [fault.reason for fault in check.faults] == ["score"]
    reported = " ".join(map(str, check.warnings))
    for words in (
        "1 of 3 (33.33%) boxes is entirely outside",
        "1 of 3 (33.33%) boxes repeats",
        "scores are under 0.01",
        "3 of 4 (75.00%) images with",
    ):
        assert words in reported


def test_skipping_scores_as_if_the_images_had_never_been_there(tmp_path):
    """On both sides: neither a miss nor a false positive is made of a fault of the data."""
    data = tiny_coco.content(6, 2)
    results = [
        result_of(
            a["image_id"],
            np.reshape(a["keypoints"], (17, 3)) + [3 * (a["id"] % 4), 0, 0],
            1 / a["id"],
        )
        for a in data["annotations"]
    ]
    less = copy.deepcopy(data)
    less["images"] = [entry for entry in less["images"] if entry["id"] not in (100, 103)]
    less["annotations"] = [a for a in less["annotations"] if a["image_id"] not in (100, 103)]
    expected = evaluate_coco(less, [r for r in results if r["image_id"] not in (100, 103)])
    assert expected != evaluate_coco(data, results)

    data["annotations"][0]["area"] = -1  # image 100
    file, images = write(tmp_path, data)
    (images / data["images"][3]["file_name"]).unlink()  # image 103
    with pytest.raises(DataError, match="area -1"):
        read_annotations(file, images, SKELETON, scored=True)
    truth = read_annotations(file, images, SKELETON, scored=True, on_bad="skip", max_bad=0.5)
    found = [r for r in results if r["image_id"] in truth.images.ids]  # what is predicted
    assert len(found) == 8
    assert evaluate_coco(truth, found) == expected


IDS = (0, -1, 1, -(2**63), 2**63 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**31, -(2**31), 7)


@pytest.mark.parametrize("seed", range(6))
def test_ap_does_not_change_under_any_renumbering(tmp_path, seed):
    """Image, annotation and category ids are names: 0, negative, and past what a double holds."""
    rng = np.random.default_rng(seed)

    def fresh(count):
        ids = [*IDS, *rng.integers(-(2**62), 2**62, count).tolist()]
        return [ids[place] for place in rng.permutation(len(ids))][:count]

    data = tiny_coco.content(5, 3, seed=seed)
    data["categories"].append({"id": 2, "name": "dog"})
    data["annotations"].append(tiny_coco.person(99, 100, (5, 5, 30, 30), rng, category_id=2))
    data["annotations"][3].update(iscrowd=1)
    noise = {
        a["id"]: np.stack([*rng.normal(0, 4, (2, 17)), np.zeros(17)], 1)
        for a in data["annotations"]
    }
    scores = {a["id"]: rng.random() for a in data["annotations"]}

    def score(content, file, category, key_of):
        file.write_text(json.dumps(content))
        annotations = read_annotations(file, tmp_path, SKELETON, scored=True)  # no image is read
        persons = select_persons(annotations)
        truth = {a["id"]: a for a in content["annotations"]}
        results = []
        for row, key in enumerate(persons.ids.tolist()):
            points = np.array(truth[key]["keypoints"], float).reshape(17, 3) + noise[key_of[key]]
            image_id, name = int(persons.image_ids[row]), key_of[key]
            results.append(result_of(image_id, points, scores[name], category))
        assert persons.category_id == category
        oracle = truth_as_prediction(annotations, persons, SKELETON)
        assert oracle.metrics["AP"] == pytest.approx(1.0)
        return evaluate_coco(file, results)

    plain = score(data, tmp_path / "plain.json", 1, {a["id"]: a["id"] for a in data["annotations"]})
    assert 0.1 < plain["AP"] < 0.95
    images = dict(zip([e["id"] for e in data["images"]], fresh(len(data["images"])), strict=True))
    keys = [a["id"] for a in data["annotations"]]
    annotations = dict(zip(keys, fresh(len(keys)), strict=True))
    categories = dict(zip([1, 2], fresh(2), strict=True))
    other = copy.deepcopy(data)
    for entry in other["images"]:
        entry["id"] = images[entry["id"]]
    for entry in other["annotations"]:
        entry.update(
            id=annotations[entry["id"]],
            image_id=images[entry["image_id"]],
            category_id=categories[entry["category_id"]],
        )
    for entry in other["categories"]:
        entry["id"] = categories[entry["id"]]
    back = {new: old for old, new in annotations.items()}
    assert score(other, tmp_path / "other.json", categories[1], back) == plain


@pytest.mark.parametrize("udp", [False, True])
def test_a_box_predicts_no_keypoint_outside_its_crop(tmp_path, udp):
    """Judged keypoint by keypoint: the crop, its heatmap's last pixel, the nearest point."""
    data = tiny_coco.content(6, 1)
    file, images = write(tmp_path, data)
    annotations = read_annotations(file, images, SKELETON, scored=True)
    truth = select_persons(annotations)
    boxes = tmp_path / "boxes.json"
    entries = boxes_of(data, 0.5)
    for entry, part in zip(entries, (1, 0.7, 0.5, 0.4, 0.3, 0.2), strict=True):
        x, y, w, h = entry["bbox"]
        entry["bbox"] = [x + 0.3 * w, y, w * part, h * part]
    boxes.write_text(json.dumps(entries))
    options = {"input_size": (128, 64), "udp": udp}
    given = read_boxes(boxes, annotations)
    test = truth_as_prediction(annotations, truth, SKELETON, boxes=given, **options)

    results, outside = [], 0
    for entry, annotation in zip(entries, data["annotations"], strict=True):
        x, y, w, h = entry["bbox"]
        width, height = max(w, h / 2) * 1.25, max(h, 2 * w) * 1.25
        points = np.reshape(annotation["keypoints"], (17, 3))[:, :2].astype(np.float32)
        reached = []
        for px, py in points.tolist():
            near = []
            for value, middle, size, pixels in (
                (px, x + w / 2, width, 16),
                (py, y + h / 2, height, 32),
            ):
                step = size / (pixels - udp)
                first = middle - size / 2
                near.append(min(max(value, first), first + step * (pixels - 1)))
            reached.append(near)
            outside += near != pytest.approx([px, py], abs=1e-5)
        results.append(result_of(annotation["image_id"], np.c_[reached, np.ones(17)], 0.5))
    expected = evaluate_coco(data, results)
    assert 0 < expected["AP"] < 0.7
    assert test.metrics == pytest.approx(expected)
    assert f"{outside} labelled keypoints are outside the crop of their box" in test.reasons
    assert test.is_explained
