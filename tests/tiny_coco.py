"""A data set of a few noise images in COCO's form, made in a moment in a test's own folder."""

import json
from pathlib import Path

import cv2
import numpy as np

from keypoint.pose.skeleton import load_skeleton

SKELETON = load_skeleton("coco17")


def person(number, image_id, bbox, rng, **changes):
    x, y, w, h = bbox
    columns = [rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17), np.full(17, 2)]
    points = np.stack(columns, axis=1).round(2)
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
    height, width = size
    for key in range(100, 100 + num_images):
        name = f"{key:012d}.png"
        images.append({"id": key, "file_name": name, "height": height, "width": width})
        for _ in range(persons_per_image):
            corner, sides = rng.uniform([5, 5], [60, 30]), rng.uniform(40, 80, 2)
            bbox = np.concatenate([corner, sides]).round(1).tolist()
            annotations.append(person(len(annotations) + 1, key, bbox, rng))
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
        width, height = entry["width"], entry["height"]
        noise = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
        picture = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(images / entry["file_name"]), picture)
    return file, images
