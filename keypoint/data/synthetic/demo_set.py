"""The demo set: generated persons in COCO's layout, read by the same code as COCO.

Own work, no source. Image ``i`` of a split depends only on (seed, split, i): a smaller set is the
beginning of a larger one, annotations included. Where COCO's definitions are open, they mean:

* visibility 2: the pixel at the keypoint shows the limb that carries it, or clothes on it;
  1: hidden by its own body, another person or an object; 0 (x = y = 0): outside the image, or on
  the far side of the head, where annotators do not guess (nose and eyes of a back view, not its
  ears).
* area, bbox and segmentation describe the visible pixels, as COCO's do. A hidden keypoint may lie
  outside the box. The segmentation is a run-length code instead of a polygon, so it is exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from keypoint.data.synthetic.mark import DEMO_MARKER, generated_info
from keypoint.data.synthetic.scene import Scene, compose_scene
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton

SPLITS = ("train2017", "val2017")
MARKER = DEMO_MARKER  # a folder with this file may be overwritten
IMAGE_SIZE = (288, 384)  # height, width
JPEG_QUALITY = 92
MAX_PERSONS = 100  # an image; its annotation ids are image id * 100 + person
MIN_SIDE = 64


def synthesize_image(
    rng: np.random.Generator, image_size: tuple[int, int]
) -> tuple[npt.NDArray[np.uint8], list[dict[str, Any]]]:
    """Draw one image and describe its persons.

    Args:
        rng: The only source of randomness.
        image_size: (height, width), each at least 64.

    Returns:
        image: (H, W, 3) uint8 RGB.
        persons: One dict each, far to near; may be empty. ``keypoints`` (17, 3) float64 (x, y in
            pixels of the image, visibility), ``num_keypoints``, ``bbox`` [x, y, w, h], ``area``,
            ``iscrowd`` 0, ``segmentation`` {"size": [H, W], "counts": COCO's run lengths}.

    Raises:
        ValueError: image_size is too small.
    """
    if min(image_size) < MIN_SIDE:
        raise ValueError(
            f"image_size={image_size} must be (height, width) of at least {MIN_SIDE} pixels"
        )
    scene = compose_scene(rng, image_size)
    return scene.image, [_describe_person(scene, person) for person in range(len(scene.keypoints))]


def is_demo_set(
    folder: str | Path,
    *,
    train_images: int,
    val_images: int,
    image_size: tuple[int, int] = IMAGE_SIZE,
    seed: int = 0,
) -> bool:
    """Return whether `write_demo_set` has written this set completely."""
    folder = Path(folder)
    settings = _settings(train_images, val_images, image_size, seed)
    try:
        written = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # The annotations are written last.
    return written == settings and all(_annotations(folder, s).is_file() for s in SPLITS)


def write_demo_set(
    folder: str | Path,
    *,
    train_images: int = 600,
    val_images: int = 150,
    image_size: tuple[int, int] = IMAGE_SIZE,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write ``annotations/person_keypoints_{train,val}2017.json`` and the JPEG files they list.

    The annotations are written last, each by a rename, so an interrupted run leaves none. An
    earlier demo set is replaced.

    Args:
        folder: New, empty, or an earlier demo set.
        train_images: Number of images in ``train2017/``.
        val_images: Number of images in ``val2017/``; none of them is in ``train2017/``.
        image_size: (height, width), each at least 64.
        seed: 0 or more.
        progress: Called as ``progress(1)`` after each image, like a progress bar's ``update``.

    Raises:
        DataError: The folder contains something else.
        ValueError: A number is out of range.
    """
    counts = dict(zip(SPLITS, (train_images, val_images), strict=True))
    if min(counts.values()) < 0 or seed < 0:
        raise ValueError(
            f"train_images={train_images}, val_images={val_images}, seed={seed}: 0 or more"
        )
    folder = Path(folder)
    _clear(folder)
    for name in (*SPLITS, "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = _settings(train_images, val_images, image_size, seed)
    (folder / MARKER).write_text(json.dumps(settings) + "\n", encoding="utf-8")

    contents = {}
    for split_index, split in enumerate(SPLITS):
        images, annotations = [], []
        for index in range(counts[split]):
            rng = np.random.default_rng([seed, split_index, index])
            pixels, persons = synthesize_image(rng, image_size)
            image_id = index + 1
            name = f"{image_id:012d}.jpg"
            write_jpeg(folder / split / name, pixels)
            height, width = image_size
            images.append(
                {"id": image_id, "file_name": name, "height": height, "width": width, "license": 1}
            )
            annotations += [
                _to_json(person, image_id, image_id * MAX_PERSONS + n)
                for n, person in enumerate(persons)
            ]
            if progress is not None:
                progress(1)
        contents[split] = {**_header(seed), "images": images, "annotations": annotations}
    for split, content in contents.items():
        path = _annotations(folder, split)
        unfinished = path.with_suffix(".json.part")
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.replace(path)


def _settings(
    train_images: int, val_images: int, image_size: tuple[int, int], seed: int
) -> dict[str, Any]:
    """Content of the marker: everything that the set depends on."""
    counts = {"train2017": train_images, "val2017": val_images}
    return {**counts, "image_size": list(image_size), "seed": seed}


def _annotations(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"person_keypoints_{split}.json"


def _clear(folder: Path) -> None:
    """Remove an earlier demo set's files, annotations first."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: a file; the demo set needs a folder, choose another place")
    held = sorted(path.name for path in folder.iterdir())
    if held and MARKER not in held:
        raise DataError(
            f"{folder}: contains {held[:5]} but no {MARKER}, so it is not a demo set and was left "
            "alone; choose a new or empty folder"
        )
    for split in SPLITS:
        _annotations(folder, split).unlink(missing_ok=True)
    for split in SPLITS:
        for path in (folder / split).glob("*.jpg"):
            if re.fullmatch(r"\d{12}\.jpg", path.name):
                path.unlink()


def _describe_person(scene: Scene, person: int) -> dict[str, Any]:
    mask = scene.owner == person
    keypoints = scene.keypoints[person]
    return {
        "keypoints": keypoints,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "bbox": bbox_of_mask(mask),
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(mask.shape), "counts": _run_lengths(mask)},
    }


def _run_lengths(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of 0 and 1 in turn, column by column; the first run is of zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(starts, prepend=0, append=mask.size)]


def _to_json(person: dict[str, Any], image_id: int, annotation_id: int) -> dict[str, Any]:
    fixed = {"id": annotation_id, "image_id": image_id, "category_id": 1}
    return {**fixed, **person, "keypoints": keypoint_numbers(person["keypoints"])}


def _header(seed: int) -> dict[str, Any]:
    skeleton = load_skeleton("coco17")
    person = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edge_indices],
    }
    return {
        "info": generated_info("persons", seed),
        "licenses": [{"id": 1, "name": "generated, no restrictions", "url": ""}],
        "categories": [person],
    }


def bbox_of_mask(mask: npt.NDArray[np.bool_]) -> list[int]:
    """COCO's x, y, width, height of the pixels in an (H, W) mask that has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def keypoint_numbers(keypoints: npt.NDArray[np.float64]) -> list[float]:
    """COCO's list of 3K numbers: x and y to a hundredth of a pixel, whole visibility flags."""
    numbers = [round(float(value), 2) for value in keypoints.ravel()]
    numbers[2::3] = [int(value) for value in numbers[2::3]]
    return numbers


def write_jpeg(path: Path, image: npt.NDArray[np.uint8], quality: int = JPEG_QUALITY) -> None:
    """Write an (H, W, 3) uint8 RGB image; imwrite would only return False if it cannot write."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    path.write_bytes(encoded.tobytes())
