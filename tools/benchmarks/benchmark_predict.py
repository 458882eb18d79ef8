"""The part `predict` of run.py: persons a second from image files to keypoints, as
keypoint predict does it beside the straightforward loop.

Straightforward is one image after the other and one person after the other: read, warp, make the
crop float, run the network, look for the peaks of each heatmap. All on the clock, with all threads:
what is gained is that files are decoded beside the network and that it gets full batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from benchmark_timing import interleave, median_ratio, table, wall_seconds
from numpy.typing import NDArray
from straightforward import decode, to_normalised_tensor

from keypoint.data.image import read_image, warp
from keypoint.data.persons import Persons
from keypoint.models import SimpleBaseline
from keypoint.models.fold_norms import fold_norms
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import bbox_to_crop
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.frames import Task, read_tasks
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import Predicted, known_persons, predict_stream
from keypoint.progress import progress

WARM_UP = 1  # rounds
SLOW = "one person after the other"
EACH, STREAM = "Predictor, image by image", "keypoint predict"


@dataclass(frozen=True)
class PredictSetting:
    """What all ways work on.

    Attributes:
        persons: Boxes on images.
        skeleton: Theirs.
        model: On its device.
        batch_size: Of keypoint predict.
        threads: That decode images there.
        compiled: Measure it compiled, too.
    """

    persons: Persons
    skeleton: Skeleton
    model: SimpleBaseline
    batch_size: int
    threads: int
    compiled: bool


def measure_predict(setting: PredictSetting, *, rounds: int) -> str:
    """Persons a second of all ways, as a table."""
    ways = predict_ways(setting)
    with progress(len(ways) * (rounds + WARM_UP), "predict", "timing") as bar:
        seconds = interleave(ways, rounds=rounds, warm_up=WARM_UP, bar=bar)
    persons = len(setting.persons)
    rows = [
        [
            way,
            f"{1000 * float(np.median(taken)) / persons:.1f}",
            f"{persons / float(np.median(taken)):.1f}",
            f"{median_ratio(seconds[SLOW], taken):.2f}",
        ]
        for way, taken in seconds.items()
    ]
    return table(["way", "ms a person", "persons/s", "times straightforward"], rows)


def predict_ways(setting: PredictSetting) -> dict[str, Callable[[int], float]]:
    """Each predicts everybody on all images."""
    folded = copy.deepcopy(setting.model)
    fold_norms(folded)  # as Predictor.from_checkpoint does
    plain = Predictor(folded, setting.skeleton)
    half = Predictor(folded, setting.skeleton, amp_dtype=torch.bfloat16)

    def timed(work: Callable[[], object]) -> Callable[[int], float]:
        return lambda _: wall_seconds(work)

    ways = {
        SLOW: timed(lambda: straightforward_predict(setting)),
        EACH: timed(lambda: image_by_image(setting, plain)),
        STREAM: timed(lambda: as_predict(setting, plain)),
        f"{STREAM} --amp bf16": timed(lambda: as_predict(setting, half)),
    }
    if setting.compiled:
        other = copy.deepcopy(folded)  # compiling is in place
        compiled = Predictor(other, setting.skeleton, compile_batch=setting.batch_size)
        ways[f"{STREAM} --compile"] = timed(lambda: as_predict(setting, compiled))
    return ways


@torch.no_grad()
def straightforward_predict(setting: PredictSetting) -> dict[int, NDArray[np.float64]]:
    """Keypoints (P, K, 2) by image id, found one person after the other."""
    persons, model = setting.persons, setting.model
    codec = Codec(model.input_size)
    found: dict[int, list[Any]] = {}
    for row in np.unique(persons.image_index):
        image = decode(persons, int(row))
        for index in np.flatnonzero(persons.image_index == row):
            center, crop_size = bbox_to_crop(persons.bbox_xywh[index][None], model.input_size)
            matrix = codec.crop_matrix(center, crop_size)[0]
            crop = warp(image, matrix, model.input_size)
            tensor = to_normalised_tensor(crop)[None].to(model.pixel_mean.device)
            heatmaps = model(tensor)[0].float().cpu().numpy()
            points = np.stack([peak_of(heatmap) for heatmap in heatmaps])[None]
            keypoints = codec.to_image(points, center, crop_size)[0]
            found.setdefault(int(persons.image_ids[index]), []).append(keypoints)
    return {key: np.stack(value) for key, value in found.items()}


def peak_of(heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    """(x, y) of the highest pixel, a quarter of a pixel towards the higher neighbour."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    point = np.array([x, y], np.float64)
    if 0 < x < heatmap.shape[1] - 1 and 0 < y < heatmap.shape[0] - 1:
        point[0] += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        point[1] += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return point * (heatmap.max() > 0)


def image_by_image(setting: PredictSetting, predictor: Predictor) -> dict[int, Any]:
    """Keypoints by image id, as the README's three lines find them."""
    persons, found = setting.persons, {}
    for row in np.unique(persons.image_index):
        image = read_image(persons.images.path(int(row)))
        boxes = persons.bbox_xywh[persons.image_index == row]
        found[int(persons.images.ids[row])] = predictor(image, boxes).keypoints
    return found


def as_predict(setting: PredictSetting, predictor: Predictor) -> dict[int, Any]:
    """Keypoints by image id, as keypoint predict finds them."""
    images = setting.persons.images
    tasks = [
        Task(images.path(row), False, int(images.ids[row]), (int(height), int(width)))
        for row, (height, width) in enumerate(images.image_size)
    ]
    found = {}
    with closing(read_tasks(tasks, setting.threads)) as events:
        for event in predict_stream(
            events, known_persons(setting.persons), predictor, batch_size=setting.batch_size
        ):
            assert isinstance(event, Predicted), event
            found[event.frame.image_id] = event.keypoints
    return found
