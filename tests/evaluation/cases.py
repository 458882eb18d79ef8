"""Ground truth and results to score: random ones, and a small one to break."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keypoint.evaluation.coco import METRICS

OWN_SIGMAS = [0.03, 0.05, 0.1, 0.08, 0.025]  # of 5 keypoints


def plain_coco_eval(annotations, results, sigmas=None):
    """The numbers of pycocotools itself; it gets copies, because it writes into both sides."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRICS, evaluator.stats, strict=True))


def result_of(image_id, triples, score, category_id=1):
    """A result in COCO's form, of (K, 3) numbers."""
    keypoints = np.asarray(triples, float).ravel().tolist()
    return {"image_id": image_id, "category_id": category_id, "keypoints": keypoints, "score": score}  # fmt: skip


def boxes_of(content, *scores):
    """The boxes of all annotations as a detector's, once for each score."""
    return [
        {"image_id": entry["image_id"], "category_id": 1, "bbox": entry["bbox"], "score": score}
        for entry in content["annotations"]
        for score in scores
    ]


def random_case(seed, num_keypoints):
    """Truth and results for every branch of COCOeval: sizes, crowds, ties, over 20 an image."""
    generator = np.random.default_rng(seed)
    images = generator.choice(1000, size=generator.integers(1, 6), replace=False).tolist()
    annotations, results = [], []
    for image_id in images:
        for _ in range(generator.integers(0, 5)):
            area = generator.choice([300, 32**2, 2000, 96**2, 30_000]) * generator.choice(
                [1, 1, 1.3]
            )
            side = np.sqrt(area) * 1.5
            corner = generator.uniform(0, 200, 2)
            points = corner + generator.uniform(0, side, (num_keypoints, 2))
            flags = generator.choice([0, 1, 2], num_keypoints, p=[0.3, 0.3, 0.4])
            if generator.random() < 0.15:
                flags[:] = 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": int(generator.random() < 0.15),
                    "num_keypoints": int((flags > 0).sum()),
                    "area": float(area),
                    "bbox": [*corner.tolist(), side, side],
                    "keypoints": np.column_stack([points, flags]).ravel().tolist(),
                }
            )
            copies = generator.integers(0, 3) if generator.random() < 0.9 else 25
            for _ in range(copies):
                blur = side * generator.choice([0.005, 0.02, 0.05, 0.3])
                guess = points + generator.normal(0, blur, points.shape)
                triples = np.column_stack([guess, np.ones(num_keypoints)])
                score = round(float(generator.random()), 1)  # many are equal
                results.append(result_of(image_id, triples, score))
    results = [results[i] for i in generator.permutation(len(results))]
    names = [f"point{k}" for k in range(num_keypoints)]
    content = {
        "images": [{"id": image_id} for image_id in images],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    scored = any(a["num_keypoints"] and not a["iscrowd"] for a in annotations)
    return content, results, scored and len(results) > 0


def truth_as_results(content, shift=0.0):
    results = []
    for place, entry in enumerate(content["annotations"]):
        if entry["num_keypoints"] and not entry["iscrowd"]:
            triples = np.array(entry["keypoints"], float).reshape(-1, 3) + [shift, 0, 0]
            triples[:, 2] = 1
            results.append(result_of(entry["image_id"], triples, 1 / (1 + place)))
    return results


def small_case():
    """3 persons on 2 images, every entry of which can be broken, and the results that fit."""
    points = np.random.default_rng(0).uniform(0, 100, (3, 17, 2))
    annotations = {
        "images": [{"id": 501}, {"id": 502}],
        "annotations": [
            {
                "id": 71 + i,
                "image_id": (501, 501, 502)[i],
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": 17,
                "area": 5000.0,
                "bbox": [0.0, 0.0, 100.0, 100.0],
                "keypoints": np.column_stack([points[i], np.full(17, 2)]).ravel().tolist(),
            }
            for i in range(3)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": ["point"] * 17}],
    }
    results = [
        result_of(entry["image_id"], entry["keypoints"], 0.9 - 0.1 * i)
        for i, entry in enumerate(annotations["annotations"])
    ]
    return annotations, results
