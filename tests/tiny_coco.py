"""A data set of a few drawn rectangles in COCO's form, made in a moment; every test gets its own folder."""

import json
from pathlib import Path

import cv2
import numpy as np

from keypoint.skeleton import load_skeleton

SKELETON = load_skeleton("coco17")


def person(number, image_id, bbox, rng, **changes):
    x, y, w, h = bbox
    points = np.stack([rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17), np.full(17, 2)], axis=1).round(2)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": list(bbox),
        "area": float(w * h * 0.6),
        "num_keypoints": 17,
        "keypoints": points.ravel().tolist(),
    } | changes


def content(num_images=4, persons_per_image=2, size=(120, 160), seed=0):
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for i in range(num_images):
        images.append({"id": 100 + i, "file_name": f"{100 + i:012d}.png", "height": size[0], "width": size[1]})
        for _ in range(persons_per_image):
            bbox = [float(v) for v in (*rng.uniform([5, 5], [60, 30]).round(1), *rng.uniform(40, 80, 2).round(1))]
            annotations.append(person(len(annotations) + 1, 100 + i, bbox, rng))
    category = {"id": 1, "name": "person", "keypoints": list(SKELETON.keypoints), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def write(folder: Path, data, split="val2017"):
    """Annotations and noise images; returns (annotation file, image folder)."""
    images = folder / split
    images.mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    file = folder / "annotations" / f"person_keypoints_{split}.json"
    file.write_text(json.dumps(data))
    for entry in data["images"]:
        if not isinstance(entry.get("file_name"), str) or "width" not in entry:
            continue
        rng = np.random.default_rng(int(entry["id"]))
        noise = rng.integers(0, 255, (entry["height"] // 8, entry["width"] // 8, 3), dtype=np.uint8)
        picture = cv2.resize(noise, (entry["width"], entry["height"]), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(images / entry["file_name"]), picture)
    return file, images
