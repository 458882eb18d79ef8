"""Results in COCO's form: rescoring and suppression against slow loops, and what is refused."""

import json

import numpy as np
import pytest

from keypoint.errors import DataError, NumericsError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.results import ResultCounts, make_results, read_results
from keypoint.pose.skeleton import load_skeleton
from tests.reference import oks as slow

SIGMAS = load_skeleton("coco17").oks_sigmas


def persons(num_persons=60, seed=0):
    """Clusters of persons strewn over three images: only some of the alike share one."""
    generator = np.random.default_rng(seed)
    centers = generator.uniform(0, 300, (6, 17, 2))
    keypoints = centers[generator.integers(0, 6, num_persons)]
    return {
        "image_ids": generator.choice([30, 10, 20], num_persons),
        "keypoints_image": keypoints + generator.normal(0, 6, keypoints.shape),
        "keypoint_scores": generator.uniform(0, 1, (num_persons, 17)),
        "bbox_scores": generator.uniform(0, 1, num_persons),
        "areas": generator.uniform(5000, 40_000, num_persons),
        "oks_sigmas": SIGMAS,
    }


def listed(*given, **options):
    """The results of `make_results` in COCO's form."""
    results, counts = make_results(*given, **options)
    return results.to_coco(), counts


def slow_scores(given, threshold):
    pairs = zip(given["bbox_scores"], given["keypoint_scores"], strict=True)
    return [slow.person_score(bbox, keypoints, threshold) for bbox, keypoints in pairs]


def rows_on(given, image_id):
    return np.flatnonzero(given["image_ids"] == image_id)


def test_without_suppression_every_person_is_a_result_in_its_place():
    given = persons()
    results, counts = listed(**given, category_id=5, keypoint_threshold=0.4)
    assert counts == ResultCounts(given=60, kept=60, suppressed=0)
    assert [result["image_id"] for result in results] == given["image_ids"].tolist()
    assert {result["category_id"] for result in results} == {5}
    scores = [result["score"] for result in results]
    np.testing.assert_allclose(scores, slow_scores(given, 0.4), rtol=0, atol=1e-12)
    for result, points, values in zip(
        results, given["keypoints_image"], given["keypoint_scores"], strict=True
    ):
        assert len(result["keypoints"]) == 51
        assert result["keypoints"][0::3] == points[:, 0].tolist()
        assert result["keypoints"][1::3] == points[:, 1].tolist()
        assert result["keypoints"][2::3] == values.tolist()
    assert json.loads(json.dumps(results)) == results  # plain Python values


def test_hard_suppression_is_the_loop_on_each_image():
    given = persons()
    scores = slow_scores(given, 0.2)
    kept = []
    for image_id in (10, 20, 30):
        rows = rows_on(given, image_id)
        chosen = slow.oks_nms(
            given["keypoints_image"][rows],
            [scores[row] for row in rows],
            given["areas"][rows],
            SIGMAS,
            0.7,
        )
        kept += rows[chosen].tolist()
    results, counts = listed(**given, nms="hard", nms_threshold=0.7)
    everyone, _ = listed(**given)
    assert results == [everyone[row] for row in sorted(kept)]
    assert counts == ResultCounts(given=60, kept=len(kept), suppressed=60 - len(kept))
    assert 10 < len(kept) < 50
    assert listed(**given, nms="hard")[1].kept > len(kept)  # at 0.9


def test_soft_suppression_is_the_loop_on_each_image():
    given = persons(num_persons=90)
    scores = slow_scores(given, 0.2)
    new_score = {}
    for image_id in (10, 20, 30):
        rows = rows_on(given, image_id)
        assert len(rows) > 20
        chosen, changed = slow.soft_oks_nms(
            given["keypoints_image"][rows],
            [scores[row] for row in rows],
            given["areas"][rows],
            SIGMAS,
            0.8,
            20,
        )
        new_score.update(zip(rows[chosen].tolist(), changed, strict=True))
    results, counts = listed(**given, nms="soft", nms_threshold=0.8)
    everyone, _ = listed(**given)
    assert counts == ResultCounts(given=90, kept=60, suppressed=30)
    for result, row in zip(results, sorted(new_score), strict=True):
        assert result["keypoints"] == everyone[row]["keypoints"]
        assert result["score"] == pytest.approx(new_score[row], rel=0, abs=1e-12)


@pytest.mark.parametrize("nms", [None, "hard", "soft"])
def test_permuted_persons_give_permuted_results(nms):
    given = persons()
    order = np.random.default_rng(1).permutation(60)
    permuted = {
        name: value if name == "oks_sigmas" else value[order] for name, value in given.items()
    }

    def by_place(results):
        return sorted(results, key=lambda result: result["keypoints"])

    expected = by_place(listed(**given, nms=nms)[0])
    got = by_place(listed(**permuted, nms=nms)[0])
    for a, b in zip(got, expected, strict=True):
        assert a["keypoints"] == b["keypoints"]
        assert a["score"] == pytest.approx(b["score"], abs=1e-12)


@pytest.mark.parametrize("nms", [None, "hard", "soft"])
def test_no_person_gives_no_result(nms):
    none = {name: value if name == "oks_sigmas" else value[:0] for name, value in persons().items()}
    assert listed(**none, nms=nms) == ([], ResultCounts(0, 0, 0))


def test_nothing_given_is_modified():
    given = persons()
    before = {name: np.array(value) for name, value in given.items()}
    listed(**given, nms="soft")
    for name, value in given.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("name", ["keypoints_image", "keypoint_scores", "bbox_scores", "areas"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_with_their_images(name, value):
    given = persons()
    given["image_ids"][[3, 4]] = [777, 778]
    given[name][[3, 4]] = value
    with pytest.raises(NumericsError, match=rf"{name} of 2 of 60 persons .*ids \[777, 778\];"):
        listed(**given)


def test_many_image_ids_are_not_all_listed():
    given = persons()
    given["image_ids"] = np.arange(60)
    given["areas"][:] = np.nan
    with pytest.raises(NumericsError, match=r"60 of 60 .*, 9\] and 50 more; "):
        listed(**given)


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("image_ids", (60, 1), r"\(60,\)"),
        ("keypoints_image", (60, 17, 3), r"\(60, 17, 2\)"),
        ("keypoint_scores", (60, 17, 1), r"\(60, 17\)"),
        ("bbox_scores", (60, 1), r"\(60,\)"),
        ("areas", (1,), r"\(60,\)"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(name, shape, wanted):
    given = persons()
    given[name] = np.ones(shape)
    with pytest.raises(ValueError, match=rf"{name} .*; give {wanted}"):
        listed(**given)


def test_an_unknown_suppression_is_refused():
    with pytest.raises(ValueError, match="nms='medium'; choose 'hard', 'soft' or None"):
        make_results(**persons(), nms="medium")


def test_the_truth_seen_twice_scores_one_after_suppression(coco_sample):
    """Each person twice, the second time a little off: suppression leaves a perfect result."""
    content = json.loads((coco_sample / "annotations" / "person_keypoints_sample.json").read_text())
    entries = [a for a in content["annotations"] if a["num_keypoints"] >= 8 and not a["iscrowd"]]
    content["annotations"] = entries
    points = np.array([a["keypoints"] for a in entries], float).reshape(-1, 17, 3)[..., :2]
    number = len(entries)
    given = {
        "image_ids": np.tile([a["image_id"] for a in entries], 2),
        "keypoints_image": np.concatenate([points, points + 0.01]),
        "keypoint_scores": np.ones((2 * number, 17)),
        "bbox_scores": np.repeat([1.0, 0.9], number),
        "areas": np.tile([a["area"] for a in entries], 2),
        "oks_sigmas": SIGMAS,
    }
    results, counts = listed(**given, nms="hard")
    assert counts == ResultCounts(given=2 * number, kept=number, suppressed=number)
    assert evaluate_coco(content, results)["AP"] == pytest.approx(1)
    assert number > 50


def test_a_results_file_is_read_and_must_be_a_list_of_objects(tmp_path):
    file = tmp_path / "results.json"
    file.write_text('[{"image_id": 1}]')
    assert read_results(file) == [{"image_id": 1}]
    file.write_text('{"image_id": 1}')
    with pytest.raises(DataError, match=f"{file}: contains a dict; results are a JSON list"):
        read_results(str(file))
    file.write_text("[1]")
    with pytest.raises(
        DataError, match=f"{file}: contains a list with entries that are not objects"
    ):
        read_results(file)
