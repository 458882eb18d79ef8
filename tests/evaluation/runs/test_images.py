"""AP of drawn images is COCOeval's of a test set in which the copies are written out."""

import copy
import json

import numpy as np
import pytest

from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.runs.images import ap_difference, score_file
from keypoint.pose.skeleton import Skeleton
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
        ours = ready.average_precision(times).ap
        drawn, drawn_results = written_out(annotations, results, times)
        if ours is None or not drawn_results:
            continue
        theirs = plain_coco_eval(drawn, drawn_results, OWN_SIGMAS)["AP"]
        assert ours == pytest.approx(theirs, abs=1e-12), seed
        seen.add(ours)
    assert len(seen) > 20


def test_the_difference_and_its_interval(tmp_path):
    content, sides = many_images(np.random.default_rng(3), (8.0, 5.0))
    content["images"] += [{"id": 41}, {"id": 42}]  # one with a false positive, one with nothing
    sides[1].append(sides[1][0] | {"image_id": 41, "score": 2.0})
    files = [saved(tmp_path, side, f"{n}.json") for n, side in enumerate(sides)]
    aps = [evaluate_coco(content, side, oks_sigmas=OWN_SIGMAS)["AP"] for side in sides]
    ready = [score_file(content, file, FIVE, ap) for file, ap in zip(files, aps, strict=True)]
    found = ap_difference(*ready, draws=300)
    assert found.mean == pytest.approx(aps[1] - aps[0], abs=1e-12)
    assert found.low < found.mean < found.high
    assert found.n == (41, 41)
    assert found == ap_difference(*ready, draws=300)  # repeats itself
    turned = ap_difference(*ready[::-1], draws=300)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    same = ap_difference(ready[0], ready[0], draws=20)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_results_of_another_test_are_refused(tmp_path):
    content, sides = many_images(np.random.default_rng(3), (8.0, 5.0), images=4)
    file = saved(tmp_path, sides[0])
    with pytest.raises(DataError, match=r"results.json: its AP against .* the run's is 0.9900"):
        score_file(content, file, FIVE, 0.99)
    fewer = copy.deepcopy(content)
    fewer["annotations"].pop()
    ready = [score_file(each, file, FIVE) for each in (content, fewer)]
    with pytest.raises(ValueError, match="other persons"):
        ap_difference(*ready)
