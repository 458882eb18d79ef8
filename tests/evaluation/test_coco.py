"""COCO's ten numbers: equal to plain pycocotools, whatever may be odd about the input."""

import copy
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from keypoint.evaluation.coco import METRICS, evaluate_coco, summary_table
from tests.evaluation.cases import (
    OWN_SIGMAS,
    plain_coco_eval,
    random_case,
    small_case,
    truth_as_results,
)


@pytest.mark.parametrize(
    ("num_keypoints", "sigmas"), [(17, None), (5, OWN_SIGMAS), (1, [0.3]), (40, [0.07] * 40)]
)
def test_equals_plain_pycocotools_on_random_cases(num_keypoints, sigmas):
    """CASES=10000 for the long form."""
    seen = []
    for seed in range(int(os.environ.get("CASES", "130"))):
        annotations, results, scored = random_case(seed, num_keypoints)
        if not scored:
            continue
        ours = evaluate_coco(annotations, results, oks_sigmas=sigmas)
        theirs = plain_coco_eval(annotations, results, sigmas)
        assert list(ours) == list(METRICS)
        for name in METRICS:
            assert ours[name] == pytest.approx(theirs[name], rel=0, abs=1e-12), (seed, name)
            assert type(ours[name]) is float
        seen.append(tuple(ours.values()))
    assert len(seen) > 100
    assert len({numbers[0] for numbers in seen if 0 < numbers[0] < 1}) > 80
    assert any(numbers[3] == -1 for numbers in seen)  # cases without a medium person are among them


@pytest.fixture(scope="module")
def real(coco_sample):
    """Official annotations of 605 val2017 images."""
    return json.loads(
        (coco_sample / "annotations" / "person_keypoints_val2017_part.json").read_text()
    )


def test_the_truth_as_prediction_is_perfect_on_real_annotations(real):
    results = truth_as_results(real)
    assert len(results) == 1323
    metrics = evaluate_coco(real, results)
    # Not AP_L: on image 277020 the result of a medium person resembles (OKS 0.775) a large one with
    # a single labelled keypoint, and COCOeval gives it to that one when medium persons are ignored.
    assert metrics.pop("AP_L") == pytest.approx(plain_coco_eval(real, results)["AP_L"], abs=1e-12)
    assert metrics == pytest.approx(dict.fromkeys(metrics, 1.0), abs=1e-12)


def test_equals_plain_pycocotools_on_real_annotations(real):
    results = truth_as_results(real, shift=5.0)
    ours = evaluate_coco(real, results)
    assert ours == pytest.approx(plain_coco_eval(real, results), rel=0, abs=1e-12)
    assert 0.3 < ours["AP"] < 0.9


@pytest.mark.parametrize("first_id", [0, 1, 2**40])
@pytest.mark.parametrize("shuffled", [False, True])
def test_annotation_ids_and_order_change_nothing(first_id, shuffled):
    annotations, results = small_case()
    results[2]["keypoints"] = [1000.0] * 51
    expected = evaluate_coco(annotations, results)
    for place, entry in enumerate(annotations["annotations"]):
        entry["id"] = first_id + place
    if shuffled:
        annotations["annotations"] = [annotations["annotations"][i] for i in (2, 0, 1)]
        annotations["images"].reverse()
    assert evaluate_coco(annotations, results) == expected
    assert expected["AR"] == pytest.approx(2 / 3)
    # Left to itself, pycocotools takes id 0 for "not matched".
    theirs = plain_coco_eval(annotations, results)["AR"]
    assert theirs == pytest.approx(1 / 3 if first_id == 0 else 2 / 3)


def test_what_the_caller_gave_is_not_modified():
    annotations, results = small_case()
    del annotations["annotations"][0]["iscrowd"], annotations["annotations"][1]["num_keypoints"]
    before = copy.deepcopy((annotations, results))
    assert evaluate_coco(annotations, results)["AP"] == pytest.approx(1)
    assert (annotations, results) == before


def test_missing_iscrowd_num_keypoints_and_keypoints_of_a_crowd_are_filled():
    annotations, results = small_case()
    expected = evaluate_coco(annotations, results[:2])
    for entry in annotations["annotations"]:
        del entry["iscrowd"], entry["num_keypoints"]
    crowd = {
        "id": 99,
        "image_id": 502,
        "category_id": 1,
        "area": 0,
        "bbox": [0, 0, 9, 9],
        "iscrowd": 1,
    }
    annotations["annotations"].append(crowd)
    assert evaluate_coco(annotations, results[:2]) == expected
    assert 0 < expected["AP"] < 1


def test_other_categories_and_any_id_of_the_person():
    annotations, results = small_case()
    expected = evaluate_coco(annotations, results[1:])
    annotations["categories"][0]["id"] = 5
    for entry in [*annotations["annotations"], *results]:
        entry["category_id"] = 5
    annotations["categories"].append({"id": 18, "name": "dog"})
    dog = {"id": 99, "image_id": 501, "category_id": 18, "bbox": [0, 0, 9, 9], "area": 81}
    annotations["annotations"].append(dog)
    assert evaluate_coco(annotations, results[1:]) == expected


def test_a_person_category_may_leave_its_keypoints_unnamed():
    annotations, results = small_case()
    expected = evaluate_coco(annotations, results[1:])
    del annotations["categories"][0]["keypoints"]
    assert evaluate_coco(annotations, results[1:]) == expected


def test_other_keys_of_a_result_have_no_influence():
    annotations, results = small_case()
    results[0]["keypoints"] = [1e4 + 50 * k for k in range(51)]  # a miss of a large area
    expected = evaluate_coco(annotations, results)
    for extra in (
        {"bbox": [0, 0, 50, 50]},
        {"area": 2500.0},
        {"segmentation": []},
        {"caption": ""},
    ):
        with_extra = [{**result, **extra} for result in results]
        assert evaluate_coco(annotations, with_extra) == expected
        assert evaluate_coco(annotations, [with_extra[0], *results[1:]]) == expected


def test_numbers_of_numpy_are_numbers():
    annotations, results = small_case()
    expected = evaluate_coco(annotations, results[1:])
    for result in results:
        result["image_id"] = np.int64(result["image_id"])
        result["score"] = np.float32(result["score"])
        result["keypoints"] = np.array(result["keypoints"])
    assert evaluate_coco(annotations, results[1:]) == expected


def test_far_away_is_a_miss_without_a_warning_of_overflow(recwarn):
    annotations, results = small_case()
    for far in (1e12, 1e200):
        moved = [{**r, "keypoints": [x + far for x in r["keypoints"]]} for r in results]
        assert evaluate_coco(annotations, moved)["AP"] == 0
    assert not recwarn.list


@pytest.fixture
def log(caplog, monkeypatch):
    """The log of the package, also after a command has taken its logger over."""
    monkeypatch.setattr(logging.getLogger("keypoint"), "propagate", True)
    caplog.set_level(logging.INFO, logger="keypoint")
    return caplog


def warnings_of(log):
    return [record.getMessage() for record in log.records if record.levelno == logging.WARNING]


def test_no_result_scores_nothing_with_a_warning(log):
    annotations, _ = small_case()
    metrics = evaluate_coco(annotations, [])
    nothing = {name: -1.0 if name.endswith("_L") else 0.0 for name in METRICS}
    assert metrics == nothing  # all persons are of medium size
    assert warnings_of(log) == ["results: contains no result, so AP is 0"]


def test_images_without_a_result_are_counted(log):
    annotations, results = small_case()
    annotations["images"].append({"id": 503})  # without a person: nothing is missing
    metrics = evaluate_coco(annotations, results[:2])
    assert metrics["AR"] == pytest.approx(2 / 3)
    assert "results: 2 results on 1 image; annotations: 3 images, 2 with persons" in log.text
    assert warnings_of(log) == [
        "results: 1 of 2 (50.00%) images with persons has no result: these persons are missed "
        "(for example image id 502)"
    ]
    log.clear()
    evaluate_coco(annotations, results)
    assert warnings_of(log) == []
    assert "3 results on 2 images; annotations: 3 images, 2 with persons" in log.text


def test_more_than_twenty_results_on_an_image_are_reported(log):
    annotations, results = small_case()
    flood = [
        {**results[0], "score": 0.95 + i / 1000, "keypoints": [5.0 + i] * 51} for i in range(25)
    ]
    metrics = evaluate_coco(annotations, flood + results)
    assert metrics["AR"] == pytest.approx(1 / 3)
    assert (
        "1 image has more than 20 results; COCO scores only the best 20 of each: 7 ignored"
        in log.text
    )
    log.clear()
    evaluate_coco(annotations, flood[:19] + results)
    assert ": 1 ignored" in log.text
    log.clear()
    evaluate_coco(annotations, flood[:18] + results)
    assert "more than 20" not in log.text


def test_poses_without_extent_may_repeat_with_a_warning(log):
    annotations, results = small_case()
    nothing_seen = {**results[0], "score": 0.99, "keypoints": [5.0, 6.0, 0.0] * 17}
    evaluate_coco(annotations, [nothing_seen] * 4 + results)
    assert warnings_of(log)[0].startswith("results: 3 results repeat another, from an equal box or")


def test_ignored_annotations_are_counted(log):
    annotations, results = small_case()
    annotations["annotations"][0]["iscrowd"] = 1
    annotations["annotations"][1].update(num_keypoints=0, keypoints=[0] * 51)
    evaluate_coco(annotations, results[2:])
    assert "annotations not scored: 1 crowd, 1 without a labelled keypoint" in log.text


def test_nothing_is_printed(capsys):
    evaluate_coco(*small_case())
    assert capsys.readouterr().out == ""


def test_the_table_has_ten_names_and_ten_numbers():
    metrics = {name: 0.7041 + place / 100 for place, name in enumerate(METRICS)}
    lines = summary_table(metrics, ["boxes  ground truth", "flip   on"]).splitlines()
    assert lines[:2] == ["boxes  ground truth", "flip   on"]
    assert lines[2].split() == list(METRICS)
    assert lines[3].split() == [f"{0.7041 + place / 100:.3f}" for place in range(10)]
    assert len(lines) == 4
    assert len(lines[2]) == len(lines[3])


def test_the_table_marks_what_is_not_defined():
    lines = summary_table({name: -1.0 if "_L" in name else 0.0 for name in METRICS}).splitlines()
    assert lines[1].split() == ["0.000"] * 4 + ["-"] + ["0.000"] * 4 + ["-"]
    assert lines[2].startswith("-: no person of this size")


def test_the_numbers_load_on_first_use_and_need_no_library():
    code = (
        "import sys, keypoint.evaluation as e\n"
        "assert 'keypoint.evaluation.coco' not in sys.modules\n"
        "assert callable(e.evaluate_coco)\n"
        "assert 'pycocotools' not in sys.modules\n"
        "e.nothing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: module 'keypoint.evaluation' has no attribute 'nothing'; "
        "it has ['evaluate_coco']"
    )
