"""OKS, OKS-NMS and person scores against slow loops, a closed form and COCOeval's own OKS."""

import math
import tracemalloc

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from keypoint.evaluation import oks as module
from keypoint.evaluation.oks import (
    may_resemble,
    oks,
    oks_nms,
    person_scores,
    soft_oks_nms,
)
from keypoint.pose.skeleton import load_skeleton
from tests.reference import oks as slow

SIGMAS = {17: np.array(load_skeleton("coco17").oks_sigmas), 3: np.array([0.05, 0.1, 0.02])}


def crowd_of(num_persons, num_keypoints, seed):
    """Persons in loose clusters, so that some are suppressed; scores of one decimal, for ties."""
    generator = np.random.default_rng(seed)
    centers = generator.uniform(0, 300, (max(1, num_persons // 4), num_keypoints, 2))
    keypoints = centers[generator.integers(0, len(centers), num_persons)]
    keypoints = keypoints + generator.normal(0, 3, keypoints.shape)
    scores = generator.integers(0, 6, num_persons) / 5
    areas = generator.uniform(500, 20_000, num_persons)
    return keypoints, scores, areas


def oks_matrix(keypoints, areas, sigmas):
    """OKS of each person to each, row by row."""
    rows = [oks(a, keypoints, x, areas, sigmas) for a, x in zip(keypoints, areas, strict=True)]
    return np.array(rows).reshape(len(rows), len(rows))


@pytest.mark.parametrize("num_keypoints", [3, 17])
def test_oks_equals_a_loop_over_persons_and_keypoints(num_keypoints):
    keypoints, _, areas = crowd_of(9, num_keypoints, seed=1)
    sigmas = SIGMAS[num_keypoints]
    expected = [
        [slow.oks(a, b, x, y, sigmas) for b, y in zip(keypoints, areas, strict=True)]
        for a, x in zip(keypoints, areas, strict=True)
    ]
    matrix = oks_matrix(keypoints, areas, sigmas)
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)
    assert 0.3 < np.median(matrix[matrix > 0.01]) < 1  # the case is not all zeros and ones
    np.testing.assert_array_equal(np.diag(matrix), 1)


def test_oks_is_e_to_the_minus_one_at_the_distance_the_definition_says():
    sigmas, areas = SIGMAS[17], np.array([700.0, 2100.0])
    keypoints = np.random.default_rng(0).uniform(0, 100, (17, 2))
    distance = 2 * sigmas * math.sqrt(2 * areas.mean())  # distance^2 = 2 * (2 sigma)^2 * mean area
    moved = keypoints + distance[:, None] * np.array([0.6, -0.8])
    assert oks(keypoints, moved[None], areas[0], areas[1:], sigmas) == pytest.approx([math.exp(-1)])


def test_oks_equals_the_evaluators_where_areas_are_equal_and_all_is_visible():
    keypoints, _, _ = crowd_of(12, 17, seed=2)
    area = 4000.0

    def entry(points, **more):
        triples = np.concatenate([points, np.full((17, 1), 2.0)], axis=1)
        return {"keypoints": triples.ravel().tolist(), "area": area, **more}

    evaluator = COCOeval(iouType="keypoints")
    evaluator._gts[1, 1] = [entry(points, bbox=[0, 0, 9, 9]) for points in keypoints]
    evaluator._dts[1, 1] = [entry(points, score=-place) for place, points in enumerate(keypoints)]
    theirs = evaluator.computeOks(1, 1)
    ours = oks_matrix(keypoints, np.full(12, area), SIGMAS[17])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_oks_nms_equals_the_loop_ties_included():
    suppressed = 0
    for seed in range(40):
        keypoints, scores, areas = crowd_of(seed % 21, 17, seed)
        threshold = (0.3, 0.5, 0.9)[seed % 3]
        kept = oks_nms(keypoints, scores, areas, SIGMAS[17], threshold)
        assert kept.tolist() == slow.oks_nms(keypoints, scores, areas, SIGMAS[17], threshold)
        assert kept.dtype == np.int64
        suppressed += len(scores) - len(kept)
    assert suppressed > 100


@pytest.mark.parametrize("num_keypoints", [3, 17])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, 1.0])
def test_no_person_who_resembles_another_is_overlooked(num_keypoints, threshold):
    """And not everybody is taken, or looking would be for nothing."""
    taken = everyone = 0
    for seed in range(30):
        keypoints, _, areas = crowd_of(seed, num_keypoints, seed)
        keypoints[1::5] = keypoints[::5][: len(keypoints[1::5])]  # equal ones, too
        areas[1::5] = areas[::5][: len(areas[1::5])]
        image_ids = np.random.default_rng(seed).choice([7, -3, 5], seed)
        near = may_resemble(image_ids, keypoints, areas, SIGMAS[num_keypoints], threshold)
        matrix = oks_matrix(keypoints, areas, SIGMAS[num_keypoints])
        others = (image_ids[:, None] == image_ids) & ~np.eye(seed, dtype=bool)
        resembles = ((matrix > threshold) & others).any(axis=1)
        assert not (resembles & ~near).any()
        taken, everyone = taken + near.sum(), everyone + len(near)
    assert taken > 0
    assert taken < 0.9 * everyone or threshold < 0.9


def test_soft_oks_nms_equals_the_loop_ties_included():
    for seed in range(40):
        keypoints, scores, areas = crowd_of(seed, 17, seed)
        threshold, max_kept = (0.9, 0.3)[seed % 2], (20, 5)[seed % 2]
        kept, new_scores = soft_oks_nms(keypoints, scores, areas, SIGMAS[17], threshold, max_kept)
        expected = slow.soft_oks_nms(keypoints, scores, areas, SIGMAS[17], threshold, max_kept)
        assert kept.tolist() == expected[0]
        np.testing.assert_allclose(new_scores, expected[1], rtol=0, atol=1e-12)
        assert len(kept) == min(seed, max_kept)


@pytest.mark.parametrize("num_persons", [0, 1])
def test_no_person_and_one_person(num_persons):
    keypoints, scores, areas = crowd_of(num_persons, 17, seed=3)
    everyone = list(range(num_persons))
    assert oks_nms(keypoints, scores, areas, SIGMAS[17]).tolist() == everyone
    kept, new_scores = soft_oks_nms(keypoints, scores, areas, SIGMAS[17])
    assert kept.tolist() == everyone
    assert new_scores.tolist() == scores.tolist()
    assert oks(np.zeros((17, 2)), keypoints, 1.0, areas, SIGMAS[17]).shape == (num_persons,)


def test_equal_persons_of_equal_score_leave_the_first():
    keypoints = np.ones((3, 17, 2))
    assert oks_nms(keypoints, [0.5, 0.5, 0.5], np.full(3, 100.0), SIGMAS[17]).tolist() == [0]
    kept, scores = soft_oks_nms(keypoints, [0.5, 0.5, 0.5], np.full(3, 100.0), SIGMAS[17])
    assert kept.tolist() == [0, 1, 2]
    assert scores == pytest.approx([0.5, 0.5 * math.exp(-1 / 0.9), 0.5 * math.exp(-2 / 0.9)])


def test_a_likeness_of_exactly_the_threshold_is_kept():
    keypoints = np.ones((2, 17, 2))  # OKS 1
    assert oks_nms(keypoints, [1, 2], [100, 100], SIGMAS[17], threshold=1.0).tolist() == [1, 0]


@pytest.mark.parametrize("numbers", [1, 2 * 17 * 30 * 4])
def test_the_size_of_the_chunks_changes_nothing(monkeypatch, numbers):
    keypoints, scores, areas = crowd_of(30, 17, seed=4)
    whole_nms = oks_nms(keypoints, scores, areas, SIGMAS[17], 0.5)
    monkeypatch.setattr(module, "CHUNK_NUMBERS", numbers)  # one row, four rows at a time
    assert oks_nms(keypoints, scores, areas, SIGMAS[17], 0.5).tolist() == whole_nms.tolist()
    assert 0 < len(whole_nms) < 30


def test_memory_is_bounded_for_a_crowd():
    keypoints, scores, areas = crowd_of(1000, 17, seed=5)
    tracemalloc.start()
    try:
        oks_nms(keypoints, scores, areas, SIGMAS[17])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6  # the whole P P K array would be 136e6


def test_nothing_given_is_modified():
    given = [*crowd_of(30, 17, seed=6), SIGMAS[17].copy()]
    before = [array.copy() for array in given]
    oks_nms(*given)
    soft_oks_nms(*given)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_person_scores_equal_the_loop():
    generator = np.random.default_rng(7)
    keypoint_scores = generator.uniform(0, 0.5, (50, 17))
    keypoint_scores[0] = 0.1  # none above
    keypoint_scores[1] = 0.2  # all at the threshold, which is not above
    bbox_scores = generator.uniform(0, 1, 50)
    both = list(zip(bbox_scores, keypoint_scores, strict=True))
    expected = [slow.person_score(bbox, keypoints, 0.2) for bbox, keypoints in both]
    scores = person_scores(bbox_scores, keypoint_scores)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    assert scores[:2].tolist() == [0, 0]
    assert (scores[2:] > 0).all()
    expected = [slow.person_score(bbox, keypoints, 0.05) for bbox, keypoints in both]
    scores = person_scores(bbox_scores, keypoint_scores, 0.05)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("keypoints", "areas", "sigmas"),
    [((2, 17, 3), (2,), 17), ((2, 17, 2), (3,), 17), ((2, 17, 2), (2,), 1), ((17, 2), (17,), 2)],
)
def test_shapes_that_do_not_belong_together_are_refused(keypoints, areas, sigmas):
    with pytest.raises(ValueError, match=r"give \(P, K, 2\), \(P,\), \(K,\)"):
        oks_nms(np.zeros(keypoints), np.ones(2), np.ones(areas), np.ones(sigmas))


def test_scores_and_the_one_person_must_fit():
    with pytest.raises(ValueError, match=r"scores \(3,\) for keypoints \(2, 17, 2\)"):
        oks_nms(np.zeros((2, 17, 2)), np.ones(3), np.ones(2), SIGMAS[17])
    with pytest.raises(ValueError, match=r"keypoints \(1, 2\) and others \(2, 17, 2\)"):
        oks(np.zeros((1, 2)), np.zeros((2, 17, 2)), 1.0, np.ones(2), SIGMAS[17])
