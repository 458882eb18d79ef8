"""`run.py predict`: persons a second from image files to keypoints, by keypoint predict and by the
straightforward loop.

Straightforward is one image after the other and one person after the other: read, warp, make the
crop float, run the network, find the peak of each heatmap. All in wall time, with all threads:
keypoint predict decodes files while the network runs, and runs full batches.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from data_path import GENERATED_SIZE, generate
from numpy.typing import NDArray
from straightforward import decode, to_normalised_tensor
from timing import (
    add_crop_size,
    add_device,
    add_number,
    interleave,
    median_ratio,
    table,
    wall_seconds,
)

from keypoint.data.images.read import read_image, warp
from keypoint.data.persons import Persons
from keypoint.distributed import choose_device
from keypoint.models import SimpleBaseline, create_model
from keypoint.models.fold_norms import fold_norms
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.prediction.inputs.find import Input
from keypoint.prediction.inputs.frames import read_inputs
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import Predicted, known_persons, predict_stream
from keypoint.progress import progress

HELP, DESCRIPTION = "persons/s", "Time prediction from image files to keypoints."
WARM_UP = 1  # rounds
SLOW = "one person after the other"
EACH, STREAM = "Predictor, image by image", "keypoint predict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `predict`."""
    add_device(parser)
    add_number(parser, "--generate", 32, "images to generate")
    add_crop_size(parser)
    add_number(parser, "--batch", 32, "persons at a time")
    add_number(parser, "--threads", 2, "of the CPU, and that decode images")
    parser.add_argument("--compiled", action="store_true", help="measure --compile, too")
    add_number(parser, "--rounds", 3, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure prediction from files to keypoints."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    skeleton = load_skeleton("coco17")
    model = create_model("resnet50", input_size=args.input_size).eval()
    model = model.to(choose_device(args.device))
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
        persons = generate(Path(folder), args.generate, skeleton)
        setting = PredictSetting(persons, skeleton, model, args.batch, args.threads, args.compiled)
        result = measure_predict(setting, rounds=args.rounds)
    return (
        f"* ResNet-50, {args.input_size[0]}x{args.input_size[1]} crops (height x width) of "
        f"{len(persons)} persons on {args.generate} generated images of "
        f"{GENERATED_SIZE[1]}x{GENERATED_SIZE[0]}; wall time, {args.threads} threads; "
        f"{args.rounds} rounds\n\n{result}\n"
    )


@dataclass(frozen=True)
class PredictSetting:
    """Persons and network for all ways.

    Attributes:
        persons: Boxes on images.
        skeleton: Skeleton of the persons.
        model: Network on its device.
        batch_size: Batch size of keypoint predict.
        threads: Threads that decode images there.
        compiled: Also measure the compiled network.
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
    """Ways to predict all persons on all images."""
    folded = copy.deepcopy(setting.model)
    fold_norms(folded)  # as Predictor.from_checkpoint does
    plain = Predictor(folded, setting.skeleton)
    half = Predictor(folded, setting.skeleton, amp_dtype=torch.bfloat16)

    def timed(work: Callable[[], object]) -> Callable[[int], float]:
        return lambda _: wall_seconds(work)

    ways = {
        SLOW: timed(lambda: straightforward_predict(setting)),
        EACH: timed(lambda: image_by_image(setting, plain)),
        f"{STREAM} --batch-size 1": timed(lambda: as_predict(setting, plain, batch_size=1)),
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
            frame = codec.crop_frame(persons.bbox_xywh[index][None])
            crop = warp(image, frame.matrices()[0], model.input_size)
            tensor = to_normalised_tensor(crop)[None].to(model.pixel_mean.device)
            heatmaps = model(tensor)[0].float().cpu().numpy()
            points = np.stack([peak_of(heatmap) for heatmap in heatmaps])[None]
            keypoints = frame.to_image(points, codec.heatmap_size)[0]
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
    """Keypoints by image id, found by the README's three lines."""
    persons, found = setting.persons, {}
    for row in np.unique(persons.image_index):
        image = read_image(persons.images.path(int(row)))
        boxes = persons.bbox_xywh[persons.image_index == row]
        found[int(persons.images.ids[row])] = predictor(image, boxes).keypoints
    return found


def as_predict(
    setting: PredictSetting, predictor: Predictor, *, batch_size: int | None = None
) -> dict[int, Any]:
    """Keypoints by image id, found like keypoint predict does."""
    images = setting.persons.images
    inputs = [
        Input(images.path(row), "", False, None, int(images.ids[row]), (int(height), int(width)))
        for row, (height, width) in enumerate(images.image_size)
    ]
    found = {}
    with closing(read_inputs(inputs, setting.threads)) as events:
        persons, batch_size = known_persons(setting.persons), batch_size or setting.batch_size
        for event in predict_stream(events, persons, predictor, batch_size=batch_size):
            assert isinstance(event, Predicted), event
            found[event.frame.image_id] = event.keypoints
    return found
