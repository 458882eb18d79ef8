"""Mean OKS of an image's persons: by COCOeval's matches; what is printed and written of it."""

import contextlib
import copy
import csv
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keypoint.evaluation.runs.images import score_file
from keypoint.evaluation.runs.per_image import ImageChange, image_changes, to_csv, to_markdown
from tests.evaluation.analysis.cases import OWN, crowded_case, scorable
from tests.evaluation.cases import OWN_SIGMAS, random_case
from tests.evaluation.runs.test_images import FIVE, saved


def mean_oks(content, results, sigmas):
    """By pycocotools with OKS 0.1 as the only threshold: persons and mean OKS by image id."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.params.iouThrs = np.array([0.1])
        evaluator.evaluate()
    found = {}
    for entry in evaluator.evalImgs:
        if entry is None or entry["aRng"] != evaluator.params.areaRng[0]:
            continue
        place = entry["image_id"], entry["category_id"]
        columns = [each["id"] for each in evaluator._gts[place]]
        values = []
        for key, ignored, result in zip(entry["gtIds"], entry["gtIgnore"], entry["gtMatches"][0], strict=True):  # fmt: skip
            if not ignored:
                row = entry["dtIds"].index(result) if result else None
                values.append(0 if row is None else evaluator.ious[place][row, columns.index(key)])
        if values:
            found[entry["image_id"]] = len(values), np.mean(values)
    return found


def cases():
    for seed in range(400, 430):
        content, results, scored = random_case(seed, 5)
        if scored:
            for number, entry in enumerate(content["annotations"], 1):
                entry["id"] = number
            yield content, results, FIVE, OWN_SIGMAS
    for seed in range(30):
        content, results, _ = crowded_case(seed, OWN)
        if results and scorable(content):
            for entry in content["annotations"]:
                entry["num_keypoints"] = sum(flag > 0 for flag in entry["keypoints"][2::3])
            yield content, results, OWN, OWN.oks_sigmas


def test_the_number_of_an_image_is_that_of_cocoevals_matches(tmp_path):
    seen = set()
    for content, results, skeleton, sigmas in cases():
        ready = score_file(content, saved(tmp_path, results), skeleton)
        half = score_file(content, saved(tmp_path, results[::2]), skeleton)
        wanted = [mean_oks(content, given, sigmas) for given in (results, results[::2])]
        changes = image_changes(ready, half, {})
        assert {each.image_id for each in changes} == wanted[0].keys()
        for each in changes:
            ours = [(each.persons, each.base), (each.persons, each.other)]
            for mine, theirs in zip(ours, wanted, strict=True):
                assert mine == pytest.approx(theirs[each.image_id], abs=1e-12)
            seen.add(each.change)
        assert [each.change for each in changes] == sorted((each.change for each in changes), reverse=True)  # fmt: skip
    assert len(seen) > 60


def test_the_table_has_five_of_each_direction():
    values = np.linspace(-0.5, 0.7, 13)[::-1]
    changes = [ImageChange(n, f"{n}.jpg" if n else "", 1, 0.1, 0.1 + v) for n, v in enumerate(values)]  # fmt: skip
    rows = to_markdown(changes, "a", "b").splitlines()[4:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| 0", "| 1.jpg", "| 2.jpg", "| 3.jpg", "| 4.jpg", "| 8.jpg", "| 9.jpg", "| 10.jpg",
        "| 11.jpg", "| 12.jpg",
    ]  # fmt: skip
    assert rows[0] == "| 0 | 1 | 0.100 | 0.800 | +0.700 |"
    assert len(to_markdown(changes[:3], "a", "b").splitlines()) == 4 + 3
    assert to_markdown([ImageChange(1, "1.jpg", 1, 0.5, 0.5)], "a", "b") == ""
    lines = list(csv.DictReader(io.StringIO(to_csv({"b": changes}))))
    assert len(lines) == 13
    assert lines[1] == {
        "group": "b", "image_id": "1", "file_name": "1.jpg", "persons": "1",
        "base_oks": "0.100000", "group_oks": "0.700000", "change": "0.600000",
    }  # fmt: skip
