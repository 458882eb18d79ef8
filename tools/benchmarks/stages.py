"""Time by stage of a training crop: the second table of `run.py data`.

CPU time of each stage within the running path (with the same state of the cache), and the bytes and
operations that any implementation needs which decodes whole images.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import torch
from data_path import SEED, DataPath
from timing import table

from keypoint.data.augment import Augmentation
from keypoint.data.images.read import read_image
from keypoint.models import SimpleBaseline
from keypoint.pose.names import STRIDE
from keypoint.progress import progress

DECODE, DRAWS, MIRROR, WARP = "read and decode", "draws, matrix, keypoints", "mirror", "warp"
COLLATE, NORMALISE, HEATMAPS = "collate", "to float, normalise", "heatmaps"


class Laps:
    """CPU milliseconds by stage, each from the end of the one before."""

    def __init__(self) -> None:
        self.milliseconds: Counter[str] = Counter()
        self.begin()

    def begin(self) -> None:
        """Start the next lap now."""
        self._last = time.process_time_ns()

    def __call__(self, stage: str) -> None:
        """End a stage."""
        now = time.process_time_ns()
        self.milliseconds[stage] += (now - self._last) / 1e6  # type: ignore[assignment]
        self._last = now


def measure_stages(path: DataPath, rounds: int) -> str:
    """The table and the bound that decoding sets, as text; one training batch a round."""
    slow, ours = Laps(), Laps()
    augmentation, model = path.augmentation(), path.model()
    with progress(rounds + 1, "stages", "batch") as bar, torch.no_grad():
        for number in range(rounds + 1):
            slow_lap, our_lap = (Laps(), Laps()) if number == 0 else (slow, ours)  # 0: warm up
            slow_lap.begin()
            path.straightforward_batch(number, slow_lap)
            our_batch(path, augmentation, model, number, our_lap)
            bar.update(1)
    return format_stages(path, slow, ours, rounds * path.batch_size)


def our_batch(
    path: DataPath, augmentation: Augmentation, model: SimpleBaseline, number: int, lap: Laps
) -> None:
    """Make a batch like TrainDataset and the trainer, with a lap after each stage."""
    persons, (height, width) = path.persons, path.input_size
    indices = path.choose(number)
    lap.begin()
    samples = [
        augmentation.draw(
            persons.bbox_xywh[index],
            persons.keypoints_image[index],
            persons.visibility[index],
            seed=(SEED, number, index),
        )
        for index in indices
    ]
    lap(DRAWS)
    crops = np.empty((len(indices), height, width, 3), np.uint8)
    for index, sample, crop in zip(indices, samples, crops, strict=True):
        row = int(persons.image_index[index])
        size = (int(persons.images.image_size[row, 0]), int(persons.images.image_size[row, 1]))
        image = read_image(persons.images.path(row), size, int(sample.region[3]))
        lap(DECODE)
        augmentation.cut(image, sample, crop)
        lap(WARP)
    points = torch.from_numpy(np.stack([sample.keypoints_crop for sample in samples]))
    stacked = torch.from_numpy(crops)
    lap(COLLATE)
    images = model.normalize(stacked)
    lap(NORMALISE)
    labelled = torch.from_numpy(persons.visibility[indices] > 0)
    model.codec.encode(points, labelled)
    lap(HEATMAPS)
    del images  # not within a lap


def format_stages(path: DataPath, slow: Laps, ours: Laps, crops: int) -> str:
    """The table, per crop, and the bound."""
    images = path.persons.images
    rows_of_images = np.unique(path.persons.image_index)
    file_bytes = float(np.mean([images.path(int(row)).stat().st_size for row in rows_of_images]))
    image_pixels = images.image_size[rows_of_images].prod(axis=1).mean()
    pixels, num_keypoints = path.input_size[0] * path.input_size[1], path.skeleton.num_keypoints
    height, width = path.input_size[0] // STRIDE, path.input_size[1] // STRIDE
    maps = num_keypoints * height * width
    profiles = num_keypoints * (height + width)
    # Bytes read, bytes written, arithmetic of any implementation of the stage. The warp
    # reads about as many pixels as it writes (a crop is scaled to its size); bilinear is 3
    # interpolations of 3 channels.
    floor: dict[str, tuple[float, float, str]] = {
        DECODE: (file_bytes, 3 * image_pixels, "entropy decoding, inverse DCT"),
        DRAWS: (0, 0, f"{4 * num_keypoints} multiply-adds"),
        MIRROR: (0, 0, "nothing: a sign in the matrix"),
        WARP: (3 * pixels, 3 * pixels, f"{9 * pixels / 1e6:.2f} M multiply-adds"),
        COLLATE: (0, 0, "nothing: a crop can be written in place"),
        NORMALISE: (3 * pixels, 12 * pixels, f"{3 * pixels / 1e6:.2f} M multiply-adds"),
        HEATMAPS: (0, 4 * maps, f"{maps / 1e6:.2f} M products, {profiles} exponentials"),
    }
    rows = []
    for stage, (read, written, operations) in floor.items():
        times = [f"{laps.milliseconds[stage] / crops:.3f}" for laps in (slow, ours)]
        rows.append([stage, *times, f"{read / 1e3:.0f}", f"{written / 1e3:.0f}", operations])
    totals = [sum(laps.milliseconds.values()) / crops for laps in (slow, ours)]
    moved = [sum(read for read, _, _ in floor.values()), sum(w for _, w, _ in floor.values())]
    rows.append(
        ["all", *(f"{t:.3f}" for t in totals), *(f"{number / 1e3:.0f}" for number in moved), ""]
    )
    header = ["stage of a training crop", "straightforward, ms", "ours, ms"]
    header += ["must read, kB", "must write, kB", "must compute"]
    bound = totals[0] / (ours.milliseconds[DECODE] / crops)
    return (
        f"{table(header, rows)}\n\n"
        f"If only our decoding took time, it would be {bound:.1f} times straightforward."
    )
