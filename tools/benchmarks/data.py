"""`run.py data`: crops per second of one core, ours and the straightforward way.

One process, one thread, CPU time. The headline includes the work that our path leaves to the device
(normalising, heatmaps), here on the CPU, as in the straightforward way.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import straightforward
import torch
from data_path import GENERATED_SIZE, SEED, DataPath, generate
from stages import measure_stages
from timing import (
    Seconds,
    add_crop_size,
    add_number,
    count,
    cpu_seconds,
    interleave,
    median_ratio,
    table,
)

from keypoint.data.batches import EvaluationDataset, TrainDataset
from keypoint.data.coco import load_persons
from keypoint.data.persons import Persons
from keypoint.errors import ConfigError
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "crops/s a core", "Time the data path."
WARM_UP = 2  # rounds
SLOW, HEADLINE, UINT8 = "straightforward", "ours, all on this core", "ours, uint8 to the device"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `data`."""
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="folder of images; default: generated ones")
    add("--annotations", type=Path, metavar="FILE", help="their COCO annotations")
    add_number(parser, "--generate", 64, "images to generate")
    add_crop_size(parser, (384, 288))
    add_number(parser, "--batch", 32, "crops in a batch")
    add("--boxes", type=count, nargs="+", default=[1, 5, 20], help="boxes an image (1 5 20)")
    add_number(parser, "--crops", 80, "in an evaluation round")
    add_number(parser, "--rounds", 15, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure the data path."""
    if (args.images is None) != (args.annotations is None):
        raise ConfigError("--images and --annotations belong together; give both or neither")
    skeleton = load_skeleton("coco17")
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
        if args.images is None:
            persons = generate(Path(folder), args.generate, skeleton)
        else:
            persons = load_persons(args.annotations, args.images, skeleton)
        path = DataPath(persons, skeleton, args.input_size, args.batch)
        rates = measure_rates(path, boxes=args.boxes, crops=args.crops, rounds=args.rounds)
        stages = measure_stages(path, args.rounds)
    source = args.images or f"generated, {GENERATED_SIZE[1]}x{GENERATED_SIZE[0]} (width x height)"
    return (
        f"* images: {source}; crops {args.input_size[0]}x{args.input_size[1]} (height x width)\n"
        f"* one process, one thread, CPU time; batch {args.batch}, {args.rounds} rounds\n\n"
        f"{rates}\n\n{stages}\n"
    )


def measure_rates(path: DataPath, *, boxes: Sequence[int], crops: int, rounds: int) -> str:
    """Crops per second of training and of evaluation by boxes an image, as a table.

    Args:
        path: Persons and crops.
        boxes: Numbers of boxes an image, one evaluation row group each.
        crops: Approximate number of crops in an evaluation round.
        rounds: Number of measured rounds.
    """
    ways = 3 * (1 + len(boxes)) * (rounds + WARM_UP)
    rows = []
    with progress(ways, "rates", "timing") as bar, torch.no_grad():
        rows += rate_rows("training", training_ways(path), path.batch_size, rounds, bar)
        for number in boxes:
            images = max(1, min(round(crops / number), len(np.unique(path.persons.image_index))))
            each = evaluation_ways(path, number, images)
            rows += rate_rows(f"evaluation, {number} an image", each, number * images, rounds, bar)
    header = ["path", "way", "ms a crop", "crops/s a core", "times straightforward"]
    return table(header, rows)


def rate_rows(
    name: str, ways: dict[str, Callable[[int], float]], crops: int, rounds: int, bar: Any
) -> list[list[str]]:
    """One row for each way; the ratio is the median of the rounds' ratios."""
    seconds = interleave(ways, rounds=rounds, warm_up=WARM_UP, bar=bar)

    def row(way: str, taken: Seconds) -> list[str]:
        each = float(np.median(taken)) / crops
        ratio = median_ratio(seconds[SLOW], taken)
        return [name, way, f"{1000 * each:.2f}", f"{1 / each:.0f}", f"{ratio:.2f}"]

    return [row(way, taken) for way, taken in seconds.items()]


def training_ways(path: DataPath) -> dict[str, Callable[[int], float]]:
    """A training batch of a round, three times."""
    dataset = TrainDataset(path.persons, path.augmentation(), SEED)
    model = path.model()

    def uint8(number: int) -> Any:
        return dataset.__getitems__([(number, index) for index in path.choose(number)])

    def complete(number: int) -> object:
        batch = uint8(number)
        labelled = batch.visibility > 0
        targets = model.codec.encode(batch.keypoints_crop, labelled)
        return model.normalize(batch.crops), targets

    return {
        SLOW: lambda number: cpu_seconds(lambda: path.straightforward_batch(number)),
        HEADLINE: lambda number: cpu_seconds(lambda: complete(number)),
        UINT8: lambda number: cpu_seconds(lambda: uint8(number)),
    }


def evaluation_ways(path: DataPath, number: int, images: int) -> dict[str, Callable[[int], float]]:
    """Crops of `number` boxes on each of `images` images, three times; other images each round."""
    model, size = path.model(), path.batch_size

    def slow(persons: Persons) -> None:
        for begin in range(0, len(persons), size):
            indices = range(begin, min(begin + size, len(persons)))
            straightforward.evaluation_batch(persons, indices, path.input_size)

    def uint8(persons: Persons) -> None:
        for _ in EvaluationDataset(persons, codec=Codec(path.input_size), batch_size=size):
            pass

    def complete(persons: Persons) -> None:
        for batch in EvaluationDataset(persons, codec=Codec(path.input_size), batch_size=size):
            model.normalize(batch.crops)

    def timed(way: Callable[[Persons], None]) -> Callable[[int], float]:
        def run(number_of_round: int) -> float:
            rng = np.random.default_rng((SEED, number, number_of_round))
            persons = boxes_on_images(path.persons, images, number, rng)
            return cpu_seconds(lambda: way(persons))

        return run

    return {SLOW: timed(slow), HEADLINE: timed(complete), UINT8: timed(uint8)}


def boxes_on_images(
    persons: Persons, images: int, number: int, rng: np.random.Generator
) -> Persons:
    """Make boxes like a detector's: an image's own boxes in turn, slightly moved and scaled.

    Args:
        persons: Ground truth.
        images: Number of images, at most those with persons.
        number: Number of boxes on each.
        rng: Chooses images and moves boxes.
    """
    rows = rng.permutation(np.unique(persons.image_index))
    own = [np.flatnonzero(persons.image_index == row) for row in np.sort(rows[:images])]
    chosen = np.concatenate([np.resize(indices, number) for indices in own])
    box = persons.bbox_xywh[chosen]
    shift = box[:, 2:] * rng.uniform(-0.1, 0.1, (len(box), 2))
    scaled = box[:, 2:] * rng.uniform(0.8, 1.25, (len(box), 2))
    return replace(
        persons,
        ids=np.arange(len(box)),
        image_index=persons.image_index[chosen],
        bbox_xywh=np.concatenate([box[:, :2] + shift, scaled], axis=1),
        bbox_scores=np.ones(len(box)),
        keypoints_image=persons.keypoints_image[chosen],
        visibility=persons.visibility[chosen],
    )
