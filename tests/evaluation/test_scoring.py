"""The quick AP equals COCOeval's, for all keypoints and for each alone."""

import copy
import json

import numpy as np
import pytest

from keypoint.evaluation.analysis.analyse import compare
from keypoint.evaluation.analysis.per_keypoint import keypoint_ap
from keypoint.evaluation.scoring import average_precision
from keypoint.pose.skeleton import Skeleton, load_skeleton
from tests.evaluation.analysis.cases import OWN, crowded_case, scorable
from tests.evaluation.cases import OWN_SIGMAS, plain_coco_eval, random_case, result_of, small_case

COCO17 = load_skeleton("coco17")
FIVE = Skeleton("five", tuple("abcde"), (), (), tuple(OWN_SIGMAS))


def plain_ap(annotations, results, sigmas, only=None):
    """AP, AP50, AP75 of pycocotools, with no keypoint labelled but `only`, if it is given."""
    content = copy.deepcopy(annotations)
    for number, entry in enumerate(content["annotations"], start=1):
        entry["id"] = number  # it takes 0 for "not matched"
        for k in range(len(sigmas)):
            if only not in (None, k):
                entry["keypoints"][3 * k + 2] = 0
        entry["num_keypoints"] = sum(v > 0 for v in entry["keypoints"][2::3])
    metrics = plain_coco_eval(content, results, sigmas)
    return metrics["AP"], metrics["AP50"], metrics["AP75"]


def assert_same(ours, theirs, case):
    for mine, other in zip((ours.ap, ours.ap50, ours.ap75), theirs, strict=True):
        if other == -1:
            assert mine is None, case
        else:
            assert mine == pytest.approx(other, rel=0, abs=1e-12), case


@pytest.mark.parametrize("skeleton", [COCO17, FIVE], ids=lambda s: s.name)
def test_equals_coco_eval(skeleton):
    seen = set()
    for seed in range(200, 320):
        annotations, results, scored = random_case(seed, skeleton.num_keypoints)
        if not scored:
            continue
        case = compare(annotations, results, skeleton)
        ours = average_precision(case.truth, case.results, case.pairs, case.similarity)
        assert_same(ours, plain_ap(annotations, results, skeleton.oks_sigmas), seed)
        seen.add(ours.ap)
    assert len(seen) > 60


@pytest.mark.parametrize("skeleton", [COCO17, OWN], ids=lambda s: s.name)
def test_each_keypoint_alone_equals_coco_eval(skeleton):
    seen = set()
    for seed in range(40):
        annotations, results, _ = crowded_case(seed, skeleton, images=1 + seed % 4)
        if not scorable(annotations) or not results:
            continue
        case = compare(annotations, results, skeleton)
        alone = keypoint_ap(case.truth, case.results, case.pairs, skeleton.oks_sigmas)
        for k, ours in enumerate(alone):
            assert_same(ours, plain_ap(annotations, results, skeleton.oks_sigmas, k), (seed, k))
            seen.add(ours.ap)
    assert None in seen  # keypoints without a label
    assert len(seen) > 60


def test_crowds_with_labels_far_results_and_huge_areas():
    """Branches that few cases reach: a crowd taken twice, results above 1e10 px^2."""
    annotations, results = small_case()
    annotations["annotations"][0]["iscrowd"] = 1
    annotations["annotations"][1]["area"] = 1e10
    twice = [{**results[0], "score": 0.3 + i / 10, "keypoints": [x + i for x in results[0]["keypoints"]]} for i in range(3)]  # fmt: skip
    far = {**results[2], "score": 0.99, "keypoints": list(np.linspace(0, 1e7, 51))}
    for given in (results, results + twice, [far, *results], [far]):
        case = compare(annotations, given, COCO17)
        ours = average_precision(case.truth, case.results, case.pairs, case.similarity)
        assert_same(ours, plain_ap(annotations, given, COCO17.oks_sigmas), len(given))


def test_on_real_annotations(coco_sample):
    file = coco_sample / "annotations" / "person_keypoints_val2017_part.json"
    annotations = json.loads(file.read_text())
    generator = np.random.default_rng(0)
    results = []
    for entry in annotations["annotations"]:
        if entry["num_keypoints"] and not entry["iscrowd"]:
            triples = np.array(entry["keypoints"], float).reshape(-1, 3)
            triples[:, :2] += generator.normal(0, 0.04 * entry["area"] ** 0.5, (17, 2))
            triples[:, 2] = generator.random(17)
            results.append(result_of(entry["image_id"], triples, generator.random()))
    case = compare(annotations, results, COCO17)
    ours = average_precision(case.truth, case.results, case.pairs, case.similarity)
    assert_same(ours, plain_ap(annotations, results, COCO17.oks_sigmas), "real")
    assert 0.2 < ours.ap < 0.9
    alone = keypoint_ap(case.truth, case.results, case.pairs, COCO17.oks_sigmas)
    for k in (0, 9, 16):
        assert_same(alone[k], plain_ap(annotations, results, COCO17.oks_sigmas, k), k)
