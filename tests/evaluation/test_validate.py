"""Input that COCOeval would answer wrongly or not at all is refused, with file, id and remedy."""

import json

import numpy as np
import pytest

from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.results import CocoResults
from tests.evaluation.cases import OWN_SIGMAS, random_case, small_case

NAN, INF = float("nan"), float("inf")
RESULT_FAULTS = {
    "no object": (lambda r: r.__setitem__(0, 7), "result 0: is 7; give an object"),
    "unknown image": (lambda r: r[1].update(image_id=9), r"image_id 9\): this image_id is not in"),
    "image id as text": (lambda r: r[0].update(image_id="501"), r"\(image_id '501'\): image_id mu"),
    "no image id": (
        lambda r: r[0].pop("image_id"),
        r"\(image_id None\): image_id must be an integer",
    ),
    "image id is true": (lambda r: r[0].update(image_id=True), "image_id must be an integer"),
    "huge image id": (lambda r: r[0].update(image_id=2**80), "image_id must be an integer"),
    "no category": (lambda r: r[0].pop("category_id"), r"category_id None must be 1 \('person'\)"),
    "other category": (lambda r: r[0].update(category_id=44), "category_id 44 must be 1"),
    "category is a list": (lambda r: r[0].update(category_id=[]), r"category_id \[\] must be 1"),
    "nan": (lambda r: r[2]["keypoints"].__setitem__(3, NAN), "image_id 502.*nan or inf.*finite"),
    "inf": (lambda r: r[0]["keypoints"].__setitem__(0, -INF), "keypoints has nan or inf"),
    "nan score": (lambda r: r[0].update(score=NAN), "score nan must be finite"),
    "no score": (lambda r: r[0].pop("score"), "score None must be a number"),
    "score as text": (lambda r: r[0].update(score="0.9"), "score '0.9' must be a number"),
    "score is true": (lambda r: r[0].update(score=True), "score True must be a number"),
    "a float id": (lambda r: r[0].update(image_id=501.0), "image_id must be an integer"),
    "all true": (lambda r: r[0].update(keypoints=[True] * 51), "keypoints .*; give 51 numbers"),
    "48 numbers": (lambda r: r[0].update(keypoints=[1.0] * 48), "has 48 numbers; give 51 numbers"),
    "no keypoints": (lambda r: r[0].pop("keypoints"), "keypoints None; give 51 numbers"),
    "text inside": (lambda r: r[0].update(keypoints=["1"] * 51), "keypoints .'1', .*; give 51"),
    "nested": (lambda r: r[0].update(keypoints=[[1, 2], [1]]), "keypoints .*; give 51 numbers"),
    "twice": (lambda r: r.append(dict(r[1])), r"result 3 \(image_id 501\): duplicate of result 1"),
}


@pytest.mark.parametrize("fault", RESULT_FAULTS)
def test_faulty_results_are_refused_by_name(fault, tmp_path):
    annotations, results = small_case()
    damage, message = RESULT_FAULTS[fault]
    damage(results)
    with pytest.raises(DataError, match=f"^results: 1 fault.*\n  .*{message}"):
        evaluate_coco(annotations, results)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    words = "entries that are not objects" if fault == "no object" else message
    with pytest.raises(DataError, match=rf"^{file}: (.|\n)*{words}"):
        evaluate_coco(annotations, file)


def test_a_duplicate_is_named_by_its_place_in_the_list_beside_other_faults():
    annotations, results = small_case()
    with pytest.raises(DataError, match=r"(?s)result 0: is 7.*result 4 .*duplicate of result 2,"):
        evaluate_coco(annotations, [7, *results, dict(results[1])])


def as_results(annotations, **changes):
    """The small case as `make_results` gives it, with something changed."""
    triples = np.array([a["keypoints"] for a in annotations["annotations"]], float)
    given = {
        "image_ids": np.array([a["image_id"] for a in annotations["annotations"]]),
        "keypoints": triples.reshape(len(triples), -1, 3),
        "scores": np.linspace(0.9, 0.5, len(triples)),
        "category_id": 1,
        "rows": np.arange(len(triples)),
    }
    return CocoResults(**given | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_ids": np.array([501, 7, 502])}, r"result 1 \(image_id 7\): this image_id is not"),
        ({"keypoints": np.full((3, 17, 3), np.nan)}, r"3 faults.*\n.*keypoints has nan or inf"),
        ({"keypoints": np.ones((3, 16, 3))}, r"3 faults.*\n.*has 48 numbers; give 51"),
        (
            {"scores": np.array([1.0, np.inf, 0.5])},
            r"result 1 \(image_id 50\d\): score inf must be",
        ),
        ({"category_id": 3}, r"3 faults.*\n.*category_id 3 must be 1"),
    ],
)
def test_results_of_our_own_are_checked_too(changes, message):
    annotations, _ = small_case()
    assert evaluate_coco(annotations, as_results(annotations))["AP"] == pytest.approx(1)
    as_list = as_results(annotations).to_coco()
    assert evaluate_coco(annotations, as_list)["AP"] == pytest.approx(1)
    with pytest.raises(DataError, match=message):
        evaluate_coco(annotations, as_results(annotations, **changes))


def annotation(place, **changes):
    return lambda a: a["annotations"][place].update(changes)


TRUTH_FAULTS = {
    "a list": (lambda a: [a], "contains a list; an annotation file is a JSON object"),
    "no images": (lambda a: a.pop("images") and None, "key 'images' is missing"),
    "categories is null": (
        lambda a: a.update(categories=None),
        "key 'categories' is not a list of objects",
    ),
    "no category": (
        lambda a: a["categories"][0].update(name="dog", keypoints=[]),
        "has 'keypoints'",
    ),
    "two": (
        lambda a: a["categories"].append({"id": 2, "keypoints": ["a"]}),
        "2 categories have keypoints",
    ),
    "image id": (
        lambda a: a["images"].append({"id": "x"}),
        "image id 'x': its id must be an integer",
    ),
    "id": (
        annotation(2, id=None),
        "annotation id None: its id must be an integer",
    ),
    "crowd": (annotation(0, iscrowd=2), "iscrowd 2 must be 0 or 1"),
    "area nan": (annotation(1, area=NAN), "id 72: area nan must be a finite number"),
}


@pytest.mark.parametrize("fault", TRUTH_FAULTS)
def test_faulty_annotations_are_refused_by_name(fault, tmp_path):
    annotations, results = small_case()
    damage, message = TRUTH_FAULTS[fault]
    annotations = damage(annotations) or annotations
    with pytest.raises(DataError, match=rf"^annotations: (.|\n)*{message}"):
        evaluate_coco(annotations, results)
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(annotations))
    with pytest.raises(DataError, match=rf"^{file}: (.|\n)*{message}"):
        evaluate_coco(file, results)


def test_results_must_be_a_list():
    annotations, results = small_case()
    with pytest.raises(DataError, match="results: contains a dict; results are a JSON list"):
        evaluate_coco(annotations, {"results": results})


def no_annotation(content):
    content["annotations"] = []


def only_crowds(content):
    for entry in content["annotations"]:
        entry["iscrowd"] = 1


def only_unlabelled(content):
    for entry in content["annotations"]:
        entry.update(num_keypoints=0, keypoints=[0] * 51)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (no_annotation, "'annotations' has no entries; it needs at least one"),
        (only_crowds, r"no person to score against \(3 annotations: 3 crowd\)"),
        (only_unlabelled, r"score against \(3 annotations: 3 without a labelled keypoint\)"),
    ],
)
def test_a_ground_truth_without_a_person_has_no_score(damage, why):
    annotations, results = small_case()
    damage(annotations)
    with pytest.raises(DataError, match=why):
        evaluate_coco(annotations, results)


def test_sigmas_must_fit_the_annotations():
    annotations, results = small_case()
    with pytest.raises(DataError, match="has 17 keypoints, but oks_sigmas has 5 numbers"):
        evaluate_coco(annotations, results, oks_sigmas=OWN_SIGMAS)
    with pytest.raises(ValueError, match="each must be finite and greater than 0"):
        evaluate_coco(annotations, results, oks_sigmas=[0.0] * 17)
    annotations, results, _ = random_case(3, num_keypoints=5)
    with pytest.raises(DataError, match="persons have 5 keypoints.*give oks_sigmas"):
        evaluate_coco(annotations, results)
