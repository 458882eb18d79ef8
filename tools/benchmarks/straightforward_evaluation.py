"""Everything after the network as it is usually written: one person, keypoint or pair at a time.

The same mathematics as the package; tests/benchmarks/test_run.py compares the numbers.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from keypoint.pose.geometry import CropFrame

Floats = NDArray[np.floating[Any]]


def flip_average(heatmaps: Tensor, mirrored: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Mirror back, swap left and right, shift by a column, average."""
    back = mirrored.numpy()[:, :, :, ::-1]
    for left, right in pairs:
        kept = back[:, left].copy()
        back[:, left] = back[:, right]
        back[:, right] = kept
    flipped = torch.from_numpy(back.copy())
    flipped[:, :, :, 1:] = flipped.clone()[:, :, :, 0:-1]
    return (heatmaps + flipped) * 0.5


def find_keypoints(heatmaps: Floats) -> tuple[Floats, Floats]:
    """Peaks with their quarter offsets, (B, K, 2), and scores (B, K)."""
    batch, number, height, width = heatmaps.shape
    flat = heatmaps.reshape(batch, number, -1)
    index, scores = flat.argmax(2), flat.max(2)
    points = np.zeros((batch, number, 2), np.float32)
    for b in range(batch):
        for k in range(number):
            if scores[b, k] <= 0:
                continue
            x, y = index[b, k] % width, index[b, k] // width
            points[b, k] = x, y
            heatmap = heatmaps[b, k]
            if 1 < x < width - 1 and 1 < y < height - 1:
                difference = np.array(
                    [
                        heatmap[y, x + 1] - heatmap[y, x - 1],
                        heatmap[y + 1, x] - heatmap[y - 1, x],
                    ]
                )
                points[b, k] += np.sign(difference) * 0.25
    return points, scores


def to_image(points: Floats, bbox: Floats, heatmap_size: tuple[int, int]) -> Floats:
    """(K, 2) of one person, by the inverse of the affine map through three points."""
    height, width = heatmap_size
    frame = CropFrame.from_bboxes(bbox[None], heatmap_size)
    x, y, half = frame.center[0, 0], frame.center[0, 1], frame.crop_size[0, 1] / 2
    image = np.array([[x, y], [x, y - half], [x - half, y - half]], np.float32)
    middle = np.array([width / 2, height / 2])
    heatmap = np.array([middle, middle - [0, width / 2], middle - [width / 2, width / 2]])
    matrix = cv2.getAffineTransform(heatmap.astype(np.float32), image)
    found = np.zeros(points.shape)
    for k in range(len(points)):
        found[k] = np.dot(matrix, np.array([points[k, 0], points[k, 1], 1.0]))
    return found


def oks_of_two(one: Floats, other: Floats, area: float, other_area: float, sigmas: Floats) -> float:
    """Similarity of two persons with the mean of their areas."""
    dx, dy = one[:, 0] - other[:, 0], one[:, 1] - other[:, 1]
    exponent = (dx**2 + dy**2) / (2 * sigmas) ** 2 / ((area + other_area) / 2 + np.spacing(1)) / 2
    return float(np.sum(np.exp(-exponent)) / len(exponent))


def suppress(persons: list[dict[str, Any]], sigmas: Floats, threshold: float) -> list[int]:
    """Greedy OKS-NMS on one image; places of the kept."""
    order = np.argsort([-person["score"] for person in persons], kind="stable")
    kept = []
    while len(order):
        best = persons[order[0]]
        kept.append(int(order[0]))
        left = []
        for place in order[1:]:
            other = persons[place]
            oks = oks_of_two(best["points"], other["points"], best["area"], other["area"], sigmas)
            if oks <= threshold:
                left.append(place)
        order = np.array(left, int)
    return kept


def make_results(
    image_ids: NDArray[Any],
    points: Floats,
    scores: Floats,
    bbox_scores: Floats,
    areas: Floats,
    sigmas: Floats,
) -> list[dict[str, Any]]:
    """Rescore by loops, suppress image by image."""
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in range(len(image_ids)):
        total, number = 0.0, 0
        for k in range(points.shape[1]):
            if scores[row, k] > 0.2:
                total += scores[row, k]
                number += 1
        mean = total / number if number else 0.0
        person = {"points": points[row], "scores": scores[row], "area": areas[row]}
        of_image[int(image_ids[row])].append(person | {"score": mean * bbox_scores[row]})
    results = []
    for image_id, persons in of_image.items():
        for place in suppress(persons, sigmas, 0.9):
            person = persons[place]
            keypoints = []
            for k in range(points.shape[1]):
                keypoints += [*person["points"][k].tolist(), float(person["scores"][k])]
            score = float(person["score"])
            results.append(
                {"image_id": image_id, "category_id": 1, "keypoints": keypoints, "score": score}
            )
    return results


def score(annotations: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """Score by plain pycocotools."""
    assert not any(math.isnan(result["score"]) for result in results)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]
