"""Folders of made-up runs, as trainings and tests leave them."""

import json

import numpy as np
import yaml

from keypoint.evaluation import published
from keypoint.evaluation.coco import METRICS
from tests.evaluation.cases import result_of

CONDITIONS = published.CONDITIONS | {
    "boxes_file": "/data/detections.json",
    "annotations": "/data/person_keypoints_val2017.json",
    "images": 5000,
    "persons": {"total": 9, "used": 7, "skipped": {"crowd": 2}},
    "input_size": [256, 192],
    "skeleton": "coco17",
    "oks_sigmas": "coco17",
    "results": {"given": 7, "kept": 6, "suppressed": 1},
}


def run(folder, ap, seed=0, *, blocks=None, conditions=(), file="metrics.json", **sections):
    """Write the folder of a run of keypoints; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "seed": seed,
        "output": str(folder),
        "data": {"root": f"/data{seed}", "workers": seed},
        "model": {"network": "simple_baseline", "encoder": "resnet50", "blocks": blocks},
        "train": {"lr": 0.001, "epochs": 2},
        "test": {"flip": True, "batch_size": seed + 1},
    }
    for section, changes in sections.items():
        config[section] = config[section] | changes
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = dict.fromkeys(METRICS, 0.8) | {"AP": ap, "AP_M": -1, "AP_L": ap + 0.05}
    entry = {"metrics": metrics, "conditions": CONDITIONS | dict(conditions)}
    if file == "history.json":
        best = {**entry, "metrics": metrics | {"AP": ap + 0.1}}
        entry = [best | {"epoch": 1}, entry | {"epoch": 2}, {"epoch": 3}]
    (folder / file).write_text(json.dumps(entry))
    return folder


def analysed(folder, nose, jitter=20):
    """Add what keypoint test --analyse does."""
    content = json.loads((folder / "metrics.json").read_text())
    kinds = {"good": 80 - jitter, "jitter": jitter, "inversion": 10, "swap": 5, "miss": 5}
    keypoints = {"nose": {"AP": nose}, "left_eye": {"AP": None}}
    content["analysis"] = {"keypoints": keypoints, "errors": {"keypoints": kinds}}
    (folder / "metrics.json").write_text(json.dumps(content))


def many_images(rng, blur, images=40, keypoints=5):
    """Persons, one an image, and results of networks that blur them by so many pixels."""
    annotations, results = [], [[] for _ in blur]
    for image_id in range(1, images + 1):
        points = rng.uniform(0, 100, (keypoints, 2))
        annotations.append(
            {
                "id": image_id,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": keypoints,
                "area": 5000.0,
                "bbox": [0.0, 0.0, 100.0, 100.0],
                "keypoints": np.column_stack([points, np.full(keypoints, 2)]).ravel().tolist(),
            }
        )
        for side, width in zip(results, blur, strict=True):
            guess = points + rng.normal(0, width * rng.uniform(0.2, 2), (keypoints, 2))
            triples = np.column_stack([guess, np.ones(keypoints)])
            side.append(result_of(image_id, triples, float(rng.random())))
    names = [f"point{k}" for k in range(keypoints)]
    content = {
        "images": [
            {"id": n, "width": 100, "height": 100, "file_name": f"{n}.jpg"}
            for n in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    return content, results
