"""What `tools/benchmarks/run.py export` measures: crops to keypoints, by torch and by onnxruntime.

All that a crop costs after it is cut: normalisation, network, decoding. The ratios are to torch
with the same network, in the same run and round. Nothing here depends on the values of weights or
crops, so all are random; int8 is calibrated on such crops too.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from benchmark_timing import cpu_seconds, interleave, median_ratio, table, wall_seconds
from numpy.typing import NDArray

from keypoint import __version__
from keypoint.export.card import ExportCard
from keypoint.export.onnx_predictor import choose_providers
from keypoint.export.write import LEAST_CROPS, export_network
from keypoint.models import SimpleBaseline, create_model
from keypoint.models.fold_norms import fold_norms
from keypoint.models.inference import predict_keypoints
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

WARM_UP = 1  # rounds

Crops = NDArray[np.uint8]


def measure_export(
    device: torch.device,
    *,
    input_size: tuple[int, int],
    blocks: Sequence[str],
    precisions: Sequence[str],
    batches: Sequence[int],
    threads: int,
    rounds: int,
) -> str:
    """Time every network by torch and as each exported file, at each batch size.

    Args:
        device: That both run on.
        input_size: (height, width).
        blocks: After each deconvolution; "none" for the plain network.
        precisions: Of the files.
        batches: Crops at a time.
        threads: Of the CPU, for both.
        rounds: Measured, after one that is not.

    Returns:
        A table.
    """
    rows = []
    for name in blocks:
        torch.manual_seed(0)
        choice = None if name == "none" else name
        model = create_model("resnet50", input_size=input_size, blocks=choice).eval()
        with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
            files = {
                f"onnxruntime {precision}": write(model, precision, Path(folder))
                for precision in precisions
            }
            runs = {"torch float32": by_torch(model, device)}
            runs |= {way: by_onnx(file, device, threads) for way, file in files.items()}
        for batch in batches:
            crops = random_crops(input_size, batch)
            with progress(len(runs) * (WARM_UP + rounds), f"{name}, batch {batch}", "run") as bar:
                ways = {way: timed(run, crops, device, threads) for way, run in runs.items()}
                seconds = interleave(ways, rounds=rounds, warm_up=WARM_UP, bar=bar)
            rows += [
                [
                    name,
                    str(batch),
                    way,
                    f"{1000 * np.median(taken) / batch:.1f}",
                    f"{median_ratio(seconds['torch float32'], taken):.2f}",
                ]
                for way, taken in seconds.items()
            ]
    return table(["blocks", "batch", "by", "ms a crop", "times as fast as torch"], rows)


def write(model: SimpleBaseline, precision: str, folder: Path) -> Path:
    """The file of one precision."""
    card = ExportCard(
        version=__version__,
        skeleton=load_skeleton("coco17"),
        input_size=model.input_size,
        input="uint8",
        outputs="keypoints",
        codec=model.codec.name,
        flip=False,
        precision=precision,
    )
    path = folder / f"{precision}.onnx"
    crops = None if precision == "float32" else random_crops(model.input_size, LEAST_CROPS)
    export_network(model, card, path, crops)
    return path


def random_crops(input_size: tuple[int, int], number: int) -> Crops:
    """(N, H, W, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (number, *input_size, 3), np.uint8)


def by_torch(model: SimpleBaseline, device: torch.device) -> Callable[[Crops], object]:
    """As `Predictor.from_checkpoint` runs the network, but in channels_last memory."""
    placed = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
    fold_norms(placed)

    def run(crops: Crops) -> object:
        with torch.inference_mode():
            found = predict_keypoints(placed, torch.from_numpy(crops).to(device))
        return [part.cpu() for part in found]

    return run


def by_onnx(path: Path, device: torch.device, threads: int) -> Callable[[Crops], object]:
    """As `OnnxPredictor` runs the file, but on so many threads."""
    import onnxruntime  # of an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = choose_providers(str(device), onnxruntime.get_available_providers())
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    return lambda crops: session.run(["keypoints", "scores"], {"crops": crops})


def timed(
    run: Callable[[Crops], object], crops: Crops, device: torch.device, threads: int
) -> Callable[[int], float]:
    """For `interleave`: CPU time on one thread of the CPU, else wall time."""
    clock = cpu_seconds if device.type == "cpu" and threads == 1 else wall_seconds
    return lambda _: clock(lambda: run(crops))
