"""Reliability bins, and the AP that the best order of the same results reaches."""

import numpy as np
import pytest

from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.evaluation.analysis.calibration import best_scores, reliability
from keypoint.evaluation.coco import evaluate_coco
from keypoint.pose.skeleton import load_skeleton
from tests.evaluation.analysis.cases import OWN, crowded_case, scorable
from tests.evaluation.cases import small_case
from tests.reference import diagnosis

COCO17 = load_skeleton("coco17")


@pytest.mark.parametrize("skeleton", [COCO17, OWN], ids=lambda s: s.name)
def test_best_scores_equal_slow_loops_and_their_ap_coco_eval(skeleton):
    for seed in range(25):
        content, results, _ = crowded_case(seed, skeleton)
        if not scorable(content) or not results:
            continue
        case = compare(content, results, skeleton)
        ours = best_scores(case.truth, case.pairs, case.similarity, len(results))
        for image in content["images"]:
            rows = [i for i, r in enumerate(results) if r["image_id"] == image["id"]]
            persons = [
                e for e in content["annotations"]
                if e["image_id"] == image["id"] and not e["iscrowd"] and any(e["keypoints"][2::3])
            ]  # fmt: skip
            guesses = [np.array(results[i]["keypoints"]).reshape(-1, 3)[:, :2] for i in rows]
            slow = diagnosis.best_scores(guesses, persons, skeleton.oks_sigmas)
            assert ours[rows] == pytest.approx(slow, abs=1e-12)
        rescored = [{**r, "score": float(s)} for r, s in zip(results, ours, strict=True)]
        theirs = evaluate_coco(content, rescored, oks_sigmas=skeleton.oks_sigmas)
        analysis = analyse(case, skeleton)
        assert analysis.best_order == pytest.approx(theirs["AP"], abs=1e-12)
        # With such scores all hits come first: AP is the share of persons found, to COCO's 1/101.
        assert analysis.best_order == pytest.approx(theirs["AR"], abs=0.0101)


def test_results_beyond_the_twentieth_can_win():
    annotations, results = small_case()
    flood = [
        {**results[0], "score": 0.95 + i / 1000, "keypoints": [5.0 + i] * 51} for i in range(25)
    ]
    analysis = analyse(compare(annotations, flood + results, COCO17), COCO17)
    assert analysis.all.ap < 0.2
    assert analysis.best_order == pytest.approx(1.0)
    assert analysis.results["beyond the best 20 of an image"] == 7


def test_bins_conserve_counts_and_rise():
    generator = np.random.default_rng(1)
    scores = generator.random(103).round(1)
    similarity = generator.random(103)
    bins = reliability(scores, similarity)
    assert [b.count for b in bins] == [11] * 3 + [10] * 7
    assert all(a.high <= b.low for a, b in zip(bins, bins[1:], strict=False))
    assert sum(b.count * b.mean for b in bins) == pytest.approx(similarity.sum())
    assert sum(b.count * b.near for b in bins) == pytest.approx((similarity >= 0.5).sum())
    assert len(reliability(scores[:4], similarity[:4])) == 4
    assert reliability(scores[:0], similarity[:0]) == []


def test_bins_tell_scores_that_mean_something_from_those_that_do_not():
    annotations, results = small_case()
    for place, result in enumerate(results):
        shift = 6.0 * place
        result["keypoints"] = [x + shift for x in result["keypoints"]]
    good = analyse(compare(annotations, results, COCO17), COCO17)
    means = [b.mean for b in good.score_bins]
    assert means == sorted(means)
    assert means[-1] == 1.0
    assert good.best_order == pytest.approx(good.all.ap)
    for result, score in zip(results, (0.1, 0.2, 0.3), strict=True):
        result["score"] = score
    bad = analyse(compare(annotations, results, COCO17), COCO17)
    assert bad.best_order == pytest.approx(good.best_order)
    assert bad.all.ap < good.all.ap


def test_keypoint_scores_are_held_against_ks():
    annotations, results = small_case()
    triples = np.array(results[0]["keypoints"]).reshape(17, 3)
    triples[:, 2] = 0.1
    triples[:8, 0] += 500.0
    triples[8:, 2] = 0.9
    results[0]["keypoints"] = triples.ravel().tolist()
    annotations["annotations"] = annotations["annotations"][:1]
    bins = analyse(compare(annotations, results[:1], COCO17), COCO17).keypoint_score_bins
    assert sum(b.count for b in bins) == 17
    assert bins[0].mean == pytest.approx(0.0)
    assert bins[-1].mean == 1.0
    assert (bins[0].low, bins[-1].high) == (0.1, 0.9)
