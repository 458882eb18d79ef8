"""Each kind of error on a constructed person, and all of them against slow loops."""

import numpy as np
import pytest

from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.evaluation.analysis.errors import KINDS, count_kinds, fix
from keypoint.evaluation.coco import evaluate_coco
from keypoint.pose.skeleton import load_skeleton
from tests.evaluation.analysis.cases import OWN, UNPAIRED, crowded_case, scorable
from tests.evaluation.cases import result_of
from tests.reference import diagnosis

COCO17 = load_skeleton("coco17")
AREA = 10_000.0
WRIST, OTHER_WRIST, NOSE = 9, 10, 0


def at_ks(ks, k, area=AREA):
    """How far off a keypoint of similarity `ks` is."""
    return np.sqrt(-2 * area * (2 * COCO17.oks_sigmas[k]) ** 2 * np.log(ks))


def two_persons():
    """On one image, far from each other; every keypoint 100 px from the next."""
    first = np.stack([100.0 * np.arange(17), np.zeros(17)], axis=1)
    annotations = [
        {
            "id": 7 + i,
            "image_id": 3,
            "category_id": 1,
            "iscrowd": 0,
            "area": AREA,
            "bbox": [0.0, 0.0, 100.0, 80.0],
            "keypoints": np.column_stack([first + [0, 5000 * i], np.full(17, 2)]).ravel().tolist(),
        }
        for i in range(2)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    return {"images": [{"id": 3}], "annotations": annotations, "categories": [category]}, first


def kinds_of(content, points, **options):
    result = result_of(3, np.column_stack([points, np.ones(len(points))]), 0.5)
    case = compare(content, [result], COCO17, **options)
    return [KINDS[kind] if kind >= 0 else None for kind in case.kinds[0]]


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("good", lambda own, other: own[WRIST] + [at_ks(0.86, WRIST), 0]),
        ("jitter", lambda own, other: own[WRIST] + [0, at_ks(0.84, WRIST)]),
        ("jitter", lambda own, other: own[WRIST] - [at_ks(0.51, WRIST), 0]),
        ("miss", lambda own, other: own[WRIST] - [at_ks(0.49, WRIST), 0]),
        ("miss", lambda own, other: own[NOSE]),  # no partner of a wrist
        ("miss", lambda own, other: other[NOSE]),
        ("inversion", lambda own, other: own[OTHER_WRIST]),
        ("inversion", lambda own, other: own[OTHER_WRIST] + [0, at_ks(0.51, WRIST)]),
        ("miss", lambda own, other: own[OTHER_WRIST] + [0, at_ks(0.49, WRIST)]),
        ("swap", lambda own, other: other[WRIST] + [0, at_ks(0.51, WRIST)]),
        ("swap", lambda own, other: other[OTHER_WRIST]),
        ("miss", lambda own, other: other[OTHER_WRIST] + [0, at_ks(0.49, WRIST)]),
    ],
)
def test_each_kind(kind, place):
    content, points = two_persons()
    guess = points.copy()
    guess[WRIST] = place(points, points + [0, 5000])
    expected = ["good"] * 17
    expected[WRIST] = kind
    assert kinds_of(content, guess) == expected


def test_what_is_near_its_own_place_is_no_inversion_or_swap():
    """Own 0.6, partner 1.0: the paper's order calls it jitter."""
    content, points = two_persons()
    gap = at_ks(0.6, WRIST)
    for entry, row in ((0, OTHER_WRIST), (1, WRIST)):
        moved, _ = two_persons()
        moved["annotations"][entry]["keypoints"][3 * row : 3 * row + 2] = [points[WRIST, 0] + gap, 0.0]  # fmt: skip
        guess = points.copy()
        guess[OTHER_WRIST] = points[OTHER_WRIST]
        guess[WRIST] = points[WRIST] + [gap, 0]
        assert kinds_of(moved, guess)[WRIST] == "jitter"


def test_an_inversion_and_a_swap_at_once_the_nearer_is_meant():
    content, points = two_persons()
    guess = points.copy()
    guess[WRIST] = points[OTHER_WRIST]
    for other, expected in ((0.0, "inversion"), (at_ks(0.7, WRIST), "inversion")):
        place = (points[OTHER_WRIST] + [other, 0]).tolist()
        content["annotations"][1]["keypoints"][3 * WRIST : 3 * WRIST + 2] = place
        assert kinds_of(content, guess)[WRIST] == expected
    guess[WRIST] += [at_ks(0.7, WRIST), 0]  # now upon the other person's
    assert kinds_of(content, guess)[WRIST] == "swap"


def test_places_without_a_label_draw_nothing():
    content, points = two_persons()
    guess = points.copy()
    guess[WRIST] = points[OTHER_WRIST]
    content["annotations"][0]["keypoints"][3 * OTHER_WRIST + 2] = 0
    assert kinds_of(content, guess)[WRIST] == "miss"
    assert kinds_of(content, guess)[OTHER_WRIST] is None


@pytest.mark.parametrize("skeleton", [COCO17, OWN, UNPAIRED], ids=lambda s: s.name)
@pytest.mark.parametrize("own_boxes", [False, True])
def test_equals_slow_loops(skeleton, own_boxes):
    seen = {kind: 0 for kind in KINDS}
    shares = (0.05, 0.1, 0.2)
    for seed in range(40):
        content, results, owners = crowded_case(seed, skeleton, own_boxes=own_boxes)
        if not scorable(content) or not results:
            continue
        case = compare(content, results, skeleton, owners if own_boxes else None)
        by_id = {entry["id"]: entry for entry in content["annotations"]}
        counts = {(k, share): 0 for k in range(skeleton.num_keypoints) for share in shares}
        for row, person, kinds in zip(case.own.result, case.own.truth, case.kinds, strict=True):
            entry = by_id[case.truth.ids[person]]
            if own_boxes:
                assert entry["id"] == owners[row]
            others = [
                other
                for other in content["annotations"]
                if other["image_id"] == entry["image_id"] and other is not entry
            ]
            guess = np.array(results[row]["keypoints"]).reshape(-1, 3)[:, :2].tolist()
            for k, kind in enumerate(kinds):
                expected = diagnosis.kind(
                    guess, k, entry, others, skeleton.oks_sigmas, skeleton.flip_indices
                )
                assert (KINDS[kind] if kind >= 0 else None) == expected, (seed, row, k)
                seen[expected] = seen.get(expected, 0) + 1
                for share in shares:
                    counts[k, share] += bool(diagnosis.within(guess, k, entry, share))
        analysis = analyse(case, skeleton)
        for (k, share), count in counts.items():
            assert analysis.within[share][k] == count
        # None is lost: each labelled keypoint of a paired person has one kind.
        labelled = case.truth.labelled[case.own.truth].sum(axis=0)
        assert (count_kinds(case.kinds).sum(axis=1) == labelled).all()
        counted = [e for e in content["annotations"] if not e["iscrowd"] and any(e["keypoints"][2::3])]  # fmt: skip
        assert analysis.persons == len(counted)
        paired = [case.truth.ids[person] for person in case.own.truth]
        assert len(set(paired)) == len(paired) == analysis.paired
        assert set(paired) <= {entry["id"] for entry in counted}
        assert analysis.labelled.sum() == sum(v > 0 for e in counted for v in e["keypoints"][2::3])
        assert sum(analysis.results.values()) == len(results)
    rare = {"inversion"} if skeleton is UNPAIRED else set()
    assert all(count > 30 for kind, count in seen.items() if kind not in rare), seen
    assert not rare or seen["inversion"] == 0


@pytest.mark.parametrize("skeleton", [COCO17, OWN], ids=lambda s: s.name)
def test_fixed_results_are_scored_by_coco_eval(skeleton):
    """AP with a kind fixed is what COCOeval gives for results in which it is fixed."""
    gains = []
    for seed in range(8):
        content, results, _ = crowded_case(seed, skeleton, images=6)
        case = compare(content, results, skeleton)
        analysis = analyse(case, skeleton)
        wanted = [("miss",), ("swap",), ("inversion",), ("jitter",), ("miss", "swap"), ("miss", "swap", "inversion"), KINDS[1:]]  # fmt: skip
        ours = [analysis.if_fixed[kinds[0]] for kinds in wanted[:4]]
        ours += [analysis.if_fixed_cumulative[name] for name in ("swap", "inversion", "jitter")]
        for kinds, ap in zip(wanted, ours, strict=True):
            fixed = fix(case.truth, case.results, case.own, case.kinds, {KINDS.index(k) for k in kinds})  # fmt: skip
            again = []
            for row, result in enumerate(results):
                triples = np.array(result["keypoints"]).reshape(-1, 3)
                triples[:, :2] = fixed.keypoints[row]
                again.append({**result, "keypoints": triples.ravel().tolist()})
            theirs = evaluate_coco(content, again, oks_sigmas=skeleton.oks_sigmas)["AP"]
            assert ap == pytest.approx(theirs, rel=0, abs=1e-12), (seed, kinds)
            gains.append(ap - analysis.all.ap)
        assert analysis.all.ap == pytest.approx(
            evaluate_coco(content, results, oks_sigmas=skeleton.oks_sigmas)["AP"], abs=1e-12
        )
    assert np.ptp(gains) > 0.2


def test_fixing_everything_leaves_only_good_keypoints():
    content, results, _ = crowded_case(3, COCO17)
    case = compare(content, results, COCO17)
    fixed = fix(case.truth, case.results, case.own, case.kinds, {1, 2, 3, 4})
    wrong = case.kinds > 0
    assert wrong.any()
    assert (fixed.keypoints[case.own.result][wrong] == case.truth.keypoints[case.own.truth][wrong]).all()  # fmt: skip
    untouched = ~wrong
    assert (fixed.keypoints[case.own.result][untouched] == case.results.keypoints[case.own.result][untouched]).all()  # fmt: skip
    assert case.results.keypoints is not fixed.keypoints
