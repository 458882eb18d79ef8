"""Results and truth with random faults: refused by name, or scored exactly as COCOeval does"""

import contextlib
import copy
import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keypoint.evaluation.coco import METRICS, evaluate_coco
from keypoint.files import read_json
from tests.fuzz.mutate import DAMAGES, MUTATIONS, damage, examples, mutate, refused, to_json
from tests.tiny_coco import content

TRUTH = content(num_images=3)
RNG = np.random.default_rng(2)


def near(entry, error, score):
    points = np.array(entry["keypoints"], float).reshape(-1, 3)
    points[:, :2] += RNG.normal(0, error, (17, 2))
    points[:, 2] = RNG.uniform(0, 1, 17)
    flat = points.round(2).ravel().tolist()
    return {"image_id": entry["image_id"], "category_id": 1, "keypoints": flat, "score": score}


RESULTS = [
    near(entry, error, 0.9 - 0.01 * number - 0.3 * (error > 2))
    for error in (1.0, 6.0)
    for number, entry in enumerate(TRUTH["annotations"])
]


def whole(value):
    return int(float(value)) if isinstance(value, (str, float)) else value


def as_meant(entry):
    """Fill in an annotation as docs/reference/errors.md says: no keypoints, no area, no box."""
    points = np.array(entry.get("keypoints") or [0] * 51, object).reshape(17, 3)
    points[[flag == 0 for flag in points[:, 2]]] = 0
    entry["keypoints"] = points.ravel().tolist()
    entry["num_keypoints"] = sum(flag > 0 for flag in points[:, 2])
    entry["iscrowd"] = whole(entry.get("iscrowd") or 0)
    entry["bbox"] = entry.get("bbox") or [0] * 4
    seen = points[[flag > 0 for flag in points[:, 2]], :2].astype(float)
    if not any(entry["bbox"]) and len(seen):
        low, high = seen.min(axis=0), seen.max(axis=0)
        first, last = np.maximum(low - (high - low) / 8, 0), high + (high - low) / 8
        entry["bbox"] = [*first, *(last - first)]
    entry["area"] = entry.get("area") or entry["bbox"][2] * entry["bbox"][3]


def plain(truth, results):
    """COCOeval itself, given what the contract says: what is missing filled in, ids from 1."""
    truth = copy.deepcopy(truth)
    for number, entry in enumerate(truth["annotations"], 1):
        as_meant(entry)
        entry["id"] = number
    for entry in truth["images"] + truth["annotations"]:
        entry |= {
            key: whole(entry[key]) for key in ("id", "image_id", "category_id") if key in entry
        }
    truth.setdefault("info", {})
    keys = ("image_id", "category_id", "keypoints", "score")
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = truth
        ground.createIndex()
        found = ground.loadRes([{key: entry[key] for key in keys} for entry in results])
        evaluator = COCOeval(ground, found, "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRICS, evaluator.stats.tolist(), strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    return folder / "annotations.json", folder / "results.json"


@given(MUTATIONS)
@examples(200, 100_000)
def test_results(files, mutations):
    results = mutate(RESULTS, mutations)
    files[0].write_bytes(to_json(TRUTH))
    files[1].write_bytes(to_json(results))
    metrics = refused(evaluate_coco, *files)
    if metrics is None:
        return
    if not results:
        assert metrics["AP"] == 0
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # COCOeval's own, of large numbers
        expected = plain(TRUTH, results)
    assert metrics == pytest.approx(expected, abs=1e-12)


@given(MUTATIONS, st.integers(0, 3), MUTATIONS)
@examples(60, 20_000)
def test_truth(files, mutations, which, of_results):
    truth = mutate(TRUTH, mutations)
    results = RESULTS if which else mutate(RESULTS, of_results)
    files[0].write_bytes(to_json(truth))
    files[1].write_bytes(to_json(results))
    metrics = refused(evaluate_coco, *files)
    if metrics is None:
        return
    ids = [category.get("id") for category in truth["categories"]]
    if results and ids == [1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert metrics == pytest.approx(plain(truth, results), abs=1e-12)


@given(DAMAGES)
@examples(60, 5_000)
def test_damaged_bytes(files, damages):
    raw = damage(to_json(RESULTS), damages)
    files[0].write_bytes(to_json(TRUTH))
    files[1].write_bytes(raw)
    metrics = refused(evaluate_coco, *files)
    if metrics is not None and (results := read_json(files[1], "results")):
        assert metrics == pytest.approx(plain(TRUTH, results), abs=1e-12)
