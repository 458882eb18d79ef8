"""`run.py eval`: everything after the network, ours and the straightforward loops.

A generated validation set of val2017's size: truth, boxes around it like a detector's, clutter, and
a pool of heatmaps instead of a network. Each box has a place in the pool, and the truth is the
result of a person's first box, so that AP is meaningful and both ways must agree on it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import straightforward_evaluation as straightforward
import torch
from numpy.typing import NDArray
from timing import add_crop_size, add_number, clock, table
from torch import Tensor

from keypoint.errors import ConfigError
from keypoint.evaluation.coco import METRICS, evaluate_coco
from keypoint.evaluation.results import make_results
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "s of a validation set", "Time everything after the network."
SEED = 0
BATCH = 64  # boxes in a batch, as test.batch_size
POOL_BATCHES = 4  # different heatmaps: 54 MB and their mirrored ones, more than any cache holds
STAGES = ("flip average, decoding", "back to the image", "rescoring and OKS-NMS", "scoring")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `eval`."""
    add_number(parser, "--images", 5000, "generated; val2017 has")
    add_number(parser, "--persons", 6352, "of the truth")
    add_number(parser, "--boxes", 104_125, "of the detector")
    add_crop_size(parser)
    add_number(parser, "--threads", 1, "of the CPU")
    add_number(parser, "--rounds", 1, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure everything after the network."""
    if args.persons > args.boxes:
        raise ConfigError(
            f"--persons {args.persons} have a box each; give at least as many --boxes"
        )
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    result = measure_eval(
        Codec(args.input_size),
        load_skeleton("coco17"),
        images=args.images,
        persons=args.persons,
        boxes=args.boxes,
        rounds=args.rounds,
        clock=time.process_time if args.threads == 1 else time.perf_counter,
    )
    return (
        f"* heatmaps of {args.input_size[0]}x{args.input_size[1]} crops in batches of {BATCH}, "
        f"float32; {clock(torch.device('cpu'), args.threads)}; {args.rounds} round(s)\n{result}\n"
    )


@dataclass
class EvaluationCase:
    """A validation set.

    Attributes:
        annotations: COCO's, as read from a file.
        image_ids: (P,) of the boxes.
        bbox_xywh: (P, 4).
        bbox_scores: (P,).
        heatmaps: Batches of the pool, each (BATCH, K, H, W), and those of the mirrored crops.
    """

    annotations: dict[str, Any]
    image_ids: NDArray[np.int64]
    bbox_xywh: NDArray[np.float64]
    bbox_scores: NDArray[np.float64]
    heatmaps: list[tuple[Tensor, Tensor]]


def make_case(
    codec: Codec, skeleton: Skeleton, *, images: int, persons: int, boxes: int
) -> EvaluationCase:
    """Generate a set with these numbers of images, persons and boxes."""
    rng = np.random.default_rng(SEED)
    flip = torch.tensor(skeleton.flip_indices)
    height, width = codec.heatmap_size
    pool = []
    for _ in range(POOL_BATCHES):
        shape = (BATCH, skeleton.num_keypoints, 2)
        place = torch.tensor(rng.uniform([0.1, 0.1], [0.9, 0.9], shape))
        crop = place * torch.tensor([codec.input_size[1], codec.input_size[0]])
        strength = torch.tensor(rng.uniform(0.1, 1, shape[:2]), dtype=torch.float32)
        maps = codec.encode(crop, torch.ones(shape[:2]))[0] * strength[..., None, None]
        maps += 0.02 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(SEED))
        mirrored = maps.roll(-1, 3).flip(-1).index_select(1, flip).contiguous()
        pool.append((maps.contiguous(), mirrored))

    # A place in the pool is reused after that many rows; every second time on the same image.
    cycle = BATCH * POOL_BATCHES
    drawn = rng.integers(0, images, (boxes // (2 * cycle) + 1, 1, cycle))
    box_image = drawn.repeat(2, axis=1).ravel()[:boxes]
    center = rng.uniform(50, 590, (boxes, 2))
    size = np.exp(rng.uniform(np.log(30), np.log(400), (boxes, 1))) * [0.5, 1]
    bbox = np.concatenate([center - size / 2, size], axis=1)
    truth_rows = np.sort(rng.choice(boxes, persons, replace=False))
    # Half of the persons are found a second time, by a slightly moved box.
    again = truth_rows[::2] + cycle
    again = again[(again < boxes) & (again % (2 * cycle) >= cycle)]
    bbox[again] = bbox[again - cycle] + rng.normal(0, 0.5, (len(again), 4))
    scores = rng.beta(1, 6, boxes)  # most boxes of a detections file are clutter
    scores[truth_rows] = rng.beta(8, 2, persons)

    peaks = torch.cat([codec.decode(maps)[0] for maps, _ in pool])
    found = peaks[truth_rows % len(peaks)].double().numpy()
    points = codec.crop_frame(bbox[truth_rows]).to_image(found, codec.heatmap_size)
    points += rng.normal(0, 0.02, (persons, 1, 1)) * size[truth_rows, None, 1:]
    flags = rng.choice([0, 1, 2], points.shape[:2], p=[0.3, 0.2, 0.5])
    flags[:, 0] = 2
    annotations = [
        {
            "id": place + 1,
            "image_id": int(box_image[row]),
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": int((flags[place] > 0).sum()),
            "keypoints": np.column_stack([points[place], flags[place]]).ravel().tolist(),
            "bbox": bbox[row].tolist(),
            "area": float(bbox[row, 2] * bbox[row, 3]),
        }
        for place, row in enumerate(truth_rows)
    ]
    content = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}],
        "annotations": annotations,
    }
    return EvaluationCase(content, box_image, bbox, scores, pool)


class Laps:
    """Seconds of each stage, added up over batches."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do the work and add its time."""
        begin = self.clock()
        result = work()
        self.seconds[stage] += self.clock() - begin
        return result


def ours(
    case: EvaluationCase, codec: Codec, skeleton: Skeleton, laps: Laps, bar: Any
) -> tuple[Laps, dict[str, float]]:
    """The package's way, all boxes; seconds and the ten numbers."""
    boxes = len(case.bbox_xywh)
    flip = torch.tensor(skeleton.flip_indices)
    keypoints, scores = [], []
    for first in range(0, boxes, BATCH):
        maps = [m[: boxes - first] for m in case.heatmaps[first // BATCH % POOL_BATCHES]]
        points, peaks = laps.time(
            "flip average, decoding", lambda m=maps: codec.decode_flipped(*m, flip)
        )
        keypoints.append(points.numpy())
        scores.append(peaks.numpy())
        bar.update(len(points))
    crops = codec.crop_frame(case.bbox_xywh)
    all_points = np.concatenate(keypoints).astype(np.float64)
    found = laps.time("back to the image", lambda: crops.to_image(all_points, codec.heatmap_size))
    results, _ = laps.time(
        "rescoring and OKS-NMS",
        lambda: make_results(
            case.image_ids,
            found,
            np.concatenate(scores),
            case.bbox_scores,
            crops.area,
            skeleton.oks_sigmas,
            nms="hard",
        ),
    )
    metrics = laps.time(
        "scoring",
        lambda: evaluate_coco(case.annotations, results, oks_sigmas=skeleton.oks_sigmas),
    )
    return laps, metrics


def theirs(
    case: EvaluationCase, codec: Codec, skeleton: Skeleton, laps: Laps, bar: Any
) -> tuple[Laps, dict[str, float]]:
    """The straightforward way, all boxes; seconds and the ten numbers."""
    boxes = len(case.bbox_xywh)
    pairs = [(i, j) for i, j in enumerate(skeleton.flip_indices) if i < j]
    found, scores = [], []
    for first in range(0, boxes, BATCH):
        maps = [m[: boxes - first] for m in case.heatmaps[first // BATCH % POOL_BATCHES]]
        maps[1] = maps[1].clone()  # it is written into; not counted
        points, peaks = laps.time(
            "flip average, decoding",
            lambda m=maps: straightforward.find_keypoints(
                straightforward.flip_average(*m, pairs).numpy()
            ),
        )
        rows = range(first, first + len(points))
        found += laps.time(
            "back to the image",
            lambda p=points, r=rows: [
                straightforward.to_image(person, case.bbox_xywh[row], codec.heatmap_size)
                for person, row in zip(p, r, strict=True)
            ],
        )
        scores.append(peaks)
        bar.update(len(points))
    areas = codec.crop_frame(case.bbox_xywh).area
    results = laps.time(
        "rescoring and OKS-NMS",
        lambda: straightforward.make_results(
            case.image_ids,
            np.array(found),
            np.concatenate(scores),
            case.bbox_scores,
            areas,
            np.array(skeleton.oks_sigmas),
        ),
    )
    numbers = laps.time("scoring", lambda: straightforward.score(case.annotations, results))
    return laps, dict(zip(METRICS, numbers, strict=True))


def measure_eval(
    codec: Codec,
    skeleton: Skeleton,
    *,
    images: int,
    persons: int,
    boxes: int,
    rounds: int,
    clock: Callable[[], float],
) -> str:
    """Both ways in turn over the whole set: seconds by stage, and that they agree on AP."""
    case = make_case(codec, skeleton, images=images, persons=persons, boxes=boxes)
    laps: dict[str, list[Laps]] = {"ours": [], "loops": []}
    with progress(2 * rounds * boxes, "evaluate", "box") as bar:
        for _ in range(rounds):
            mine, metrics = ours(case, codec, skeleton, Laps(clock), bar)
            loops, expected = theirs(case, codec, skeleton, Laps(clock), bar)
            laps["ours"].append(mine)
            laps["loops"].append(loops)
            off = max(abs(metrics[name] - expected[name]) for name in METRICS)
            if off > 1e-3:  # the loops' affine map is in float32
                raise AssertionError(f"the two ways disagree: {metrics} and {expected}")

    def seconds(way: str, stage: str | None) -> NDArray[np.float64]:
        return np.array(
            [lap.seconds[stage] if stage else sum(lap.seconds.values()) for lap in laps[way]]
        )

    rows = []
    for stage in (*STAGES, None):
        slow, fast = seconds("loops", stage), seconds("ours", stage)
        ratio = np.median(slow / fast)
        numbers = [f"{np.median(slow):.2f}", f"{np.median(fast):.2f}", f"{ratio:.1f}"]
        rows.append([stage or "all", *numbers])
    counts = f"* {images:,} images, {persons:,} persons, {boxes:,} boxes"
    return (
        f"{counts}; AP {metrics['AP']:.3f}, the same both ways (off by {off:.0e} at most)\n\n"
        + table(["seconds", "loops", "ours", "times"], rows)
    )
