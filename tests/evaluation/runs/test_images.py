"""Numbers of drawn images are those of a test set in which the copies are written out."""

import copy
import json

import numpy as np
import pytest

from keypoint.errors import DataError
from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.evaluation.analysis.errors import KINDS
from keypoint.evaluation.coco import METRICS, evaluate_coco
from keypoint.evaluation.runs.images import differences_on_images, score_file
from keypoint.pose.skeleton import Skeleton
from tests.evaluation.analysis.cases import OWN, crowded_case, scorable
from tests.evaluation.cases import OWN_SIGMAS, plain_coco_eval, random_case
from tests.evaluation.runs.made import many_images

FIVE = Skeleton("five", tuple("abcde"), (), (), tuple(OWN_SIGMAS))


def written_out(annotations, results, times):
    """Truth and results with each image as often as it was drawn, copies next to each other."""
    ids = sorted(image["id"] for image in annotations["images"])
    new = {"images": [], "annotations": [], "categories": annotations["categories"]}
    new_results, number = [], 0
    for image_id, count in zip(ids, times, strict=True):
        for _ in range(count):
            number += 1
            new["images"].append({"id": number})
            for entry in annotations["annotations"]:
                if entry["image_id"] == image_id:
                    changed = {"id": len(new["annotations"]) + 1, "image_id": number}
                    new["annotations"].append(copy.deepcopy(entry) | changed)
            new_results += [
                copy.deepcopy(r) | {"image_id": number}
                for r in results
                if r["image_id"] == image_id
            ]
    return new, new_results


def saved(tmp_path, results, name="results.json"):
    (tmp_path / name).write_text(json.dumps(results))
    return tmp_path / name


def test_drawn_images_score_as_if_they_were_written_out(tmp_path):
    rng, seen = np.random.default_rng(0), set()
    for seed in range(400, 460):
        annotations, results, scored = random_case(seed, 5)
        if not scored:
            continue
        for number, entry in enumerate(annotations["annotations"], 1):
            entry["id"] = number
        ready = score_file(annotations, saved(tmp_path, results), FIVE)
        images = len(annotations["images"])
        times = np.bincount(rng.integers(images, size=images), minlength=images)
        drawn, drawn_results = written_out(annotations, results, times)
        if np.isnan(ready.numbers(times)["AP"]) or not drawn_results:
            continue
        assert_coco(ready, times, drawn, drawn_results, seed)
        assert_coco(ready, None, annotations, results, seed)
        seen |= set(ready.numbers(times).values())
    assert len(seen) > 200


def assert_coco(ready, times, annotations, results, case):
    """The ten numbers are pycocotools', and each keypoint's AP its AP without the other labels."""
    ours = ready.numbers(times)
    theirs = plain_coco_eval(annotations, results, OWN_SIGMAS)
    for k, name in enumerate(FIVE.keypoints):
        content = copy.deepcopy(annotations)
        for entry in content["annotations"]:
            entry["keypoints"][2::3] = [v if j == k else 0 for j, v in enumerate(entry["keypoints"][2::3])]  # fmt: skip
            entry["num_keypoints"] = sum(v > 0 for v in entry["keypoints"][2::3])
        theirs[f"AP of {name}"] = plain_coco_eval(content, results, OWN_SIGMAS)["AP"]
    assert list(theirs)[: len(METRICS)] == list(METRICS)
    for name, value in theirs.items():
        expected = pytest.approx(np.nan if value == -1 else value, abs=1e-12, nan_ok=True)
        assert ours[name] == expected, (case, name)


def test_images_of_equal_scores_alternate_hits_and_misses_copy_by_copy(tmp_path):
    """Copies of [hit, false] are [hit, false, hit, false], and never [hit, hit, false, false]."""
    content, ((good, *rest),) = many_images(np.random.default_rng(1), (0.1,), 4)
    good["score"] = 0.5
    far = copy.deepcopy(good)
    far["keypoints"] = [x + 500 for x in good["keypoints"]]
    results = [far, good, far, *rest]
    ready = score_file(content, saved(tmp_path, results), FIVE)
    seen = set()
    for times in ([3, 1, 0, 0], [5, 0, 0, 1], [9, 1, 1, 1], [2, 2, 2, 2], [1, 1, 1, 1]):
        drawn = written_out(content, results, times)
        assert_coco(ready, np.array(times), *drawn, times)
        seen.add(ready.numbers(np.array(times))["AP"])
    assert len(seen) >= 4


def test_kinds_of_error_are_those_of_the_analysis(tmp_path):
    rng, seen = np.random.default_rng(0), 0
    for seed in range(30):
        annotations, results, _ = crowded_case(seed, OWN)
        if not scorable(annotations) or not results:
            continue
        ready = score_file(annotations, saved(tmp_path, results), OWN)
        times = np.bincount(rng.integers(4, size=4), minlength=4)
        for count in (None, times):
            given = annotations, results
            if count is not None:
                given = written_out(annotations, results, times)
            if not given[1] or not scorable(given[0]):
                continue
            analysis = analyse(compare(*given, OWN), OWN)
            counts = analysis.kinds.sum(axis=0)
            if not counts.sum():
                continue
            ours = ready.numbers(count)
            shares = [ours[f"share of {kind}"] for kind in KINDS]
            assert shares == pytest.approx((counts / counts.sum()).tolist(), abs=1e-12), seed
            alone = [np.nan if a.ap is None else a.ap for a in analysis.alone]
            mine = [ours[f"AP of {name}"] for name in OWN.keypoints]
            assert mine == pytest.approx(alone, abs=1e-12, nan_ok=True), seed
            seen += 1
    assert seen > 40


def test_the_difference_and_its_interval(tmp_path):
    content, sides = many_images(np.random.default_rng(3), (8.0, 5.0))
    content["images"] += [{"id": 41}, {"id": 42}]  # one with a false positive, one with nothing
    sides[1].append(sides[1][0] | {"image_id": 41, "score": 2.0})
    files = [saved(tmp_path, side, f"{n}.json") for n, side in enumerate(sides)]
    aps = [evaluate_coco(content, side, oks_sigmas=OWN_SIGMAS)["AP"] for side in sides]
    ready = [score_file(content, f, FIVE, {"AP": ap}) for f, ap in zip(files, aps, strict=True)]
    every = differences_on_images(*ready, draws=300)
    found = every["AP"]
    assert {n for n in METRICS if n.endswith("_L")}.isdisjoint(every)  # there is no large person
    assert found.mean == pytest.approx(aps[1] - aps[0], abs=1e-12)
    assert found.low < found.mean < found.high
    assert found.n == (41, 41)
    assert every == differences_on_images(*ready, draws=300)  # repeats itself
    turned = differences_on_images(*ready[::-1], draws=300)["AP"]
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    for same in differences_on_images(ready[0], ready[0], draws=20).values():
        assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_all_numbers_are_of_the_same_draws(tmp_path):
    """The interval of AP at one threshold is not wider for being asked of thirty numbers."""
    content, sides = many_images(np.random.default_rng(3), (8.0, 5.0), images=12)
    files = [saved(tmp_path, side, f"{n}.json") for n, side in enumerate(sides)]
    with_all, without = (
        differences_on_images(*(score_file(content, f, FIVE, numbers) for f in files), draws=50)
        for numbers in (None, {})
    )
    assert len(with_all) == len(without) + 10
    assert {name: with_all[name] for name in without} == without


def test_results_of_another_test_are_refused(tmp_path):
    content, sides = many_images(np.random.default_rng(3), (8.0, 5.0), images=4)
    file = saved(tmp_path, sides[0])
    with pytest.raises(DataError, match=r"results.json: its AP against .* the run's is 0.9900"):
        score_file(content, file, FIVE, {"AP": 0.99})
    ready = score_file(content, file, FIVE).numbers()
    ready = {name: value for name, value in ready.items() if not np.isnan(value)}
    with pytest.raises(DataError, match=r"its AP of a against .* the run's is 0.9900"):
        score_file(content, file, FIVE, ready | {"AP of a": 0.99})
    other = score_file(content, file, FIVE, ready | {"share of good": 0.99})
    assert {n for n in ready if n not in other.numbers()} == {f"share of {k}" for k in KINDS}
    fewer = copy.deepcopy(content)
    fewer["annotations"].pop()
    ready = [score_file(each, file, FIVE) for each in (content, fewer)]
    with pytest.raises(ValueError, match="different persons"):
        differences_on_images(*ready)
