"""Road signs with four corners as keypoints: a generated data set of a custom object.

Own work, no source. It is as irregular as real data: a category "sign" and one without keypoints,
ids that neither start at 1 nor are consecutive, images in subfolders. Image ``i`` of a split
depends only on (seed, split, i).

A corner is named by its place on the upright sign, however the sign is rotated in the image: a band
marks the top edge. The sign is symmetric, so a mirrored picture shows a possible sign with left and
right corners swapped, as in the pairs. Corners have subpixel positions; pixel centres are integers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.synthetic.demo_set import bbox_of_mask, keypoint_numbers, write_jpeg
from keypoint.data.synthetic.mark import SIGN_MARKER, generated_info
from keypoint.data.synthetic.surroundings import sample_background
from keypoint.errors import DataError
from keypoint.files import write_json

SIGN, POLE = 42, 7  # category ids
CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")
FACE_SIZE = 96  # pixels of the sign's own picture

SKELETON_YAML = """# Four corners of a sign, named by their place on the upright sign. How well
# annotators agree was not measured: without oks_sigmas, uniform ones are used with a warning.
name: sign
keypoints: [top_left, top_right, bottom_right, bottom_left]
pairs:
  - [top_left, top_right]
  - [bottom_left, bottom_right]
edges:
  - [top_left, top_right]
  - [top_right, bottom_right]
  - [bottom_right, bottom_left]
  - [bottom_left, top_left]
"""


def synthesize_signs(
    rng: np.random.Generator, image_size: tuple[int, int]
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Draw one image with one to three signs on poles.

    Args:
        rng: The only source of randomness.
        image_size: (height, width), each at least 96.

    Returns:
        image: (H, W, 3) uint8 RGB.
        signs: Far to near, without those that are mostly hidden: ``keypoints`` (4, 3) x, y and
            visibility (0 outside the image, 1 behind another sign, 2 seen), ``bbox`` and ``area``
            of what is seen, ``pole``: the bbox of its pole.
    """
    height, width = image_size
    canvas = sample_background(rng, image_size)
    owner = np.full(image_size, -1)
    corners = [_quadrilateral(rng, image_size) for _ in range(rng.integers(1, 4))]
    poles = [_draw_pole(rng, canvas, quad) for quad in corners]  # behind all signs
    for sign, quad in enumerate(corners):
        _paste(rng, canvas, owner, quad, sign)
    canvas += rng.normal(0, rng.uniform(0, 8), canvas.shape).astype(np.float32)  # noise
    signs = []
    for sign, quad in enumerate(corners):
        seen = owner == sign
        area = int(seen.sum())
        if area < 0.4 * cv2.contourArea(quad.astype(np.float32)):
            continue  # mostly hidden or outside
        inside = np.all((quad >= 0) & (quad <= [width - 1, height - 1]), axis=1)
        covered = np.array([_covered(point, corners[sign + 1 :]) for point in quad])
        flags = np.where(inside, np.where(covered, 1, 2), 0)
        keypoints = np.where(inside[:, None], quad, 0.0)
        signs.append(
            {
                "keypoints": np.column_stack([keypoints, flags]),
                "bbox": bbox_of_mask(seen),
                "area": area,
                "pole": poles[sign],
            }
        )
    return np.clip(canvas, 0, 255).astype(np.uint8), signs


def write_sign_set(
    folder: str | Path,
    *,
    train_images: int = 400,
    val_images: int = 100,
    image_size: tuple[int, int] = (240, 320),
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write `sign.yaml`, `annotations/signs_{train,val}.json` and `images/{train,val}/camera_*/`.

    Also `sign_set.json`, with everything the set depends on; it marks the images as generated.

    Args:
        folder: New or empty.
        train_images: Number of images for training.
        val_images: Number of other images, for testing.
        image_size: (height, width), each at least 96.
        seed: 0 or more.
        progress: Called as ``progress(1)`` after each image.

    Raises:
        DataError: The folder is not empty.
        ValueError: A number is out of range.
    """
    folder = Path(folder)
    counts = {"train": train_images, "val": val_images}
    if min(counts.values()) < 1 or seed < 0 or min(image_size) < FACE_SIZE:
        raise ValueError(
            f"train_images={train_images}, val_images={val_images}, seed={seed}, "
            f"image_size={image_size}; give 1 or more images, seed >= 0, sides >= {FACE_SIZE}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not empty, nothing was written; choose a new folder")
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "sign.yaml").write_text(SKELETON_YAML, encoding="utf-8")
    write_json(folder / SIGN_MARKER, counts | {"image_size": list(image_size), "seed": seed})
    for split_index, (split, number) in enumerate(counts.items()):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(number):
            rng = np.random.default_rng([seed, split_index, index])
            pixels, signs = synthesize_signs(rng, image_size)
            image_id = 3_000_000_019 + 13 * index  # beyond 32 bits, on purpose
            name = f"{split}/camera_{'ab'[index % 2]}/{index:05d}.jpg"
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_jpeg(path, pixels)
            height, width = image_size
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            for sign in signs:
                annotations += _entries(sign, image_id, 1001 + 2 * len(annotations))
            if progress is not None:
                progress(1)
        categories = [
            {"id": POLE, "name": "pole"},
            {"id": SIGN, "name": "sign", "keypoints": list(CORNERS)},
        ]
        content = {
            "info": generated_info("signs", seed),
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
        write_json(folder / "annotations" / f"signs_{split}.json", content)


def _entries(sign: dict[str, Any], image_id: int, first_id: int) -> list[dict[str, Any]]:
    """A sign and its pole as annotations."""
    numbers = keypoint_numbers(sign["keypoints"])
    pole = sign["pole"]
    return [
        {
            "id": first_id,
            "image_id": image_id,
            "category_id": SIGN,
            "iscrowd": 0,
            "bbox": sign["bbox"],
            "area": sign["area"],
            "keypoints": numbers,
            "num_keypoints": sum(flag > 0 for flag in numbers[2::3]),
        },
        {
            "id": first_id + 1,
            "image_id": image_id,
            "category_id": POLE,
            "iscrowd": 0,
            "bbox": pole,
            "area": pole[2] * pole[3],
        },
    ]


def _quadrilateral(rng: np.random.Generator, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Corners (4, 2) of a square plate, turned in space and seen by a camera."""
    yaw, pitch, roll = np.radians(rng.uniform([-55, -25, -35], [55, 25, 35]))
    turn_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    turn_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    turn_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    plate = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)  # as CORNERS
    turned = plate @ (np.array(turn_z) @ np.array(turn_x) @ np.array(turn_y)).T
    seen = turned[:, :2] / (1 + turned[:, 2:] / 4.5)  # the camera is 4.5 half sides away
    height, width = image_size
    half = rng.uniform(0.1, 0.2) * height
    center = rng.uniform([0.1, 0.12], [0.9, 0.7]) * [width, height]
    return np.asarray(seen * half + center)


def _face(rng: np.random.Generator) -> NDArray[np.float32]:
    """The sign's picture (S, S, 3), its own mirror image: rim, a band at the top, an arrow."""
    rim, ground, mark = rng.uniform(0, 255, (3, 3))
    while np.abs(ground - mark).max() < 90:
        mark = rng.uniform(0, 255, 3)
    size = FACE_SIZE
    face = np.full((size, size, 3), ground, np.float32)
    cv2.rectangle(face, (0, 0), (size - 1, size - 1), rim.tolist(), 2 * int(rng.integers(3, 7)))
    cv2.rectangle(face, (12, 12), (size - 13, 12 + int(rng.integers(10, 22))), mark.tolist(), -1)
    tip, foot = size * 0.45, size * 0.8
    arrow = [[size / 2, tip], [size * 0.7, foot], [size * 0.3, foot]]
    if rng.random() < 0.7:
        cv2.fillPoly(face, [np.array(arrow, np.int32)], mark.tolist())
    return np.asarray((face + face[:, ::-1]) / 2, np.float32)


def _paste(
    rng: np.random.Generator,
    canvas: NDArray[np.float32],
    owner: NDArray[Any],
    quad: NDArray[np.float64],
    sign: int,
) -> None:
    """Draw a sign in perspective, in place. The plate ends half a pixel beyond pixel centres."""
    low, high = -0.5, FACE_SIZE - 0.5
    square = np.array([[low, low], [high, low], [high, high], [low, high]], np.float32)
    matrix = cv2.getPerspectiveTransform(square, quad.astype(np.float32))
    size = canvas.shape[1::-1]
    light = rng.uniform(0.6, 1.1)
    # cv2.warpPerspective fades to black at the edge; the border pixels are repeated instead
    drawn = cv2.warpPerspective(
        _face(rng) * light, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # OpenCV fills every pixel that an edge touches; on a grid four times finer the error is small
    fine = np.zeros((4 * size[1], 4 * size[0]), np.uint8)
    shift = 4
    points = np.round((4 * quad + 1.5) * 2**shift).astype(np.int32)
    cv2.fillConvexPoly(fine, points, 255, shift=shift)
    mask = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    share = mask[..., None].astype(np.float32) / 255
    canvas += share * (drawn - canvas)
    owner[mask > 127] = sign


def _draw_pole(
    rng: np.random.Generator, canvas: NDArray[np.float32], quad: NDArray[np.float64]
) -> list[int]:
    """A pole from the sign's middle to the image's foot, in place; its bbox."""
    height, width = canvas.shape[:2]
    half = int(rng.integers(2, 5))
    x, y = (int(v) for v in np.clip(quad.mean(axis=0), 0, [width - 1, height - 2]))
    left, right = max(0, x - half), min(width, x + half)
    canvas[y:, left:right] = rng.uniform(40, 160)
    return [left, y, right - left, height - y]


def _covered(point: NDArray[np.float64], nearer: list[NDArray[np.float64]]) -> bool:
    where = float(point[0]), float(point[1])
    return any(cv2.pointPolygonTest(quad.astype(np.float32), where, False) >= 0 for quad in nearer)
