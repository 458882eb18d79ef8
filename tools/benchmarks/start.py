"""`run.py start`: from typing a command to its help, or to its first result.

Each way is a separate process on one thread. Most of its time is spent on imports, so `import
torch` is timed too. The files and Python's compiled code are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import export
import numpy as np
import torch
from timing import add_number, interleave, median_ratio, table

from keypoint.checkpoint.file import checkpoint_of, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.errors import KeypointError
from keypoint.files import write_json
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "from a command to its first result", "Time processes from their start."
REPOSITORY = Path(__file__).parents[2]
WARM_UP = 1  # rounds, which write Python's compiled code

FLOOR = "import torch"
LIBRARIES = (FLOOR, "import torchvision", "import keypoint", "import keypoint.blocks")
HELPS = ("--help", "predict --help", "train --help", "test --help", "weights --help")
BOXES = "--annotations images.json --boxes boxes.json"
BOX = (200, 40, 220, 400)  # x, y, width, height on the photo
PREDICT = (f"predict --checkpoint best.pt {BOXES}", f"predict --onnx model.onnx {BOXES}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `start`."""
    add_number(parser, "--rounds", 9, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Start every process in turn, round after round."""
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as name:
        folder = Path(name)
        write_files(folder)
        ways = {text: Process(["-c", text], folder) for text in LIBRARIES}
        for words in HELPS:
            ways[f"keypoint {words}"] = Process(["-m", "keypoint", *words.split()], folder)
        for words in PREDICT:
            given = [*words.split(), "--output", "out", "--overwrite", "photo.jpg"]
            ways[f"keypoint {words}"] = Process(["-m", "keypoint", *given], folder)
        with progress(len(ways) * (WARM_UP + args.rounds), "start", "process") as bar:
            seconds = interleave(ways, rounds=args.rounds, warm_up=WARM_UP, bar=bar)
    rows = [
        [
            f"`{way}`",
            f"{np.median(taken):.2f}",
            f"{np.median(ways[way].walls[WARM_UP:]):.2f}",
            f"{median_ratio(taken, seconds[FLOOR]):.2f}",
        ]
        for way, taken in seconds.items()
    ]
    found = table(["process", "CPU, s", "wall, s", "CPU, times import torch"], rows)
    return (
        "* predict: ResNet-50 of 256x192 crops, one box on a photo of 640x480; files of the page "
        f"cache; one thread; medians of {args.rounds} rounds; load {os.getloadavg()[0]:.1f} at the "
        f"end\n\n{found}\n"
    )


class Process:
    """A way of `interleave`: starts Python and waits for its end.

    Args:
        words: What follows `python`.
        folder: The working folder.
    """

    def __init__(self, words: list[str], folder: Path) -> None:
        self.words = [sys.executable, *words]
        self.folder = folder
        self.walls: list[float] = []

    def __call__(self, _: int) -> float:
        """CPU seconds, user and system.

        Raises:
            KeypointError: It failed.
        """
        own = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"} | own
        begin = time.perf_counter()
        with (self.folder / "said.txt").open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 (words of this file)
                self.words, cwd=self.folder, env=environment, stdout=said, stderr=said
            )
            _, status, used = os.wait4(process.pid, 0)
        self.walls.append(time.perf_counter() - begin)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            text = (self.folder / "said.txt").read_text(encoding="utf-8")
            raise KeypointError(f"{' '.join(self.words)} failed: {text.strip()[-500:]}")
        return used.ru_utime + used.ru_stime


def write_files(folder: Path, input_size: tuple[int, int] = (256, 192)) -> None:
    """Write a photo with one box, and a network with random weights in both forms."""
    photo = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), cv2.GaussianBlur(photo, (0, 0), 3))
    images = [{"id": 1, "file_name": "photo.jpg", "width": 640, "height": 480}]
    categories = [{"id": 1, "name": "person"}]
    write_json(folder / "images.json", {"images": images, "categories": categories})
    box = {"image_id": 1, "category_id": 1, "bbox": list(BOX), "score": 0.9}
    write_json(folder / "boxes.json", [box])
    torch.manual_seed(0)
    model = create_model("resnet50", input_size=input_size, weights=None).eval()
    own = {"weights": None, "input_size": list(input_size)}
    config = config_from_dict({"model": own}, "benchmark")
    content = checkpoint_of(model, config, load_skeleton("coco17"), {}, {})
    save_checkpoint(folder / "best.pt", content)
    export.write(model, "float32", folder).rename(folder / "model.onnx")
