"""Small label files made by the tests, and the conversion as a test reads it."""

import json

import cv2
import numpy as np

from tests.calling import tool

SIZE = (60, 80)


def picture(file, size=SIZE, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    cv2.imwrite(str(file), noise)
    return file


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def convert(source, output, *options, status=0):
    """The content of convert_report.json and of each split's file."""
    assert tool("convert", source, "--to", "coco", "--output", output, *options) == status
    if status:
        assert not list(output.glob("*.json"))
        return None
    names = ("convert_report", "train", "val", "test")
    return {n: json.loads(f.read_text()) for n in names if (f := output / f"{n}.json").is_file()}


def persons(made):
    """Annotations of all splits but val, which may be the same images."""
    return made["train"]["annotations"]


def triples(person):
    return np.reshape(person["keypoints"], (-1, 3)).tolist()


def point(label, x, y, group=None, **changes):
    """A point of labelme."""
    return {
        "label": label,
        "points": [[x, y]],
        "group_id": group,
        "shape_type": "point",
        "flags": {},
    } | changes


def rectangle(label, x1, y1, x2, y2, group=None):
    return point(label, 0, 0, group, shape_type="rectangle", points=[[x1, y1], [x2, y2]])


def labelme(folder, name, shapes, **changes):
    """A label file of labelme next to its image."""
    picture(folder / f"{name}.png", seed=len(name))
    content = {
        "version": "6.3.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{name}.png",
        "imageData": None,
        "imageHeight": 60,
        "imageWidth": 80,
    }
    return write(folder / f"{name}.json", content | changes)
