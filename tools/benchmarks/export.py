"""`run.py export`: crops to keypoints, by torch and by onnxruntime.

The whole cost of a crop after it is cut: normalisation, network, decoding. Ratios are to torch with
the same network, in the same run and round. No time depends on the values of weights or crops, so
all are random; int8 is calibrated on such crops too.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from timing import (
    add_crop_size,
    add_device,
    add_number,
    count,
    cpu_seconds,
    interleave,
    median_ratio,
    table,
    wall_seconds,
)

from keypoint import __version__
from keypoint.distributed import choose_device
from keypoint.export.card import PRECISIONS, ExportCard
from keypoint.export.onnx_predictor import choose_providers
from keypoint.export.write import LEAST_CROPS, export_network
from keypoint.models import SimpleBaseline, create_model
from keypoint.models.fold_norms import fold_norms
from keypoint.models.inference import predict_keypoints
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "torch and onnxruntime", "Time exported networks."
WARM_UP = 1  # rounds

Crops = NDArray[np.uint8]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export`; --device cuda needs onnxruntime-gpu."""
    add = parser.add_argument
    add_device(parser)
    add_crop_size(parser)
    names = ["none", "srl_fft"]
    add("--blocks", nargs="+", default=names, help=f"after each deconvolution ({' '.join(names)})")
    add("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of files (all)")
    add("--batch", type=count, nargs="+", default=[1, 8], help="crops at a time (1 8)")
    add_number(parser, "--threads", 1, "of the CPU, as for `model`")
    add_number(parser, "--rounds", 9, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Time every network by torch and as each exported file, at each batch size."""
    torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    rows = []
    for name in args.blocks:
        torch.manual_seed(0)
        choice = None if name == "none" else name
        model = create_model("resnet50", input_size=args.input_size, blocks=choice).eval()
        with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
            files = {
                f"onnxruntime {precision}": write(model, precision, Path(folder))
                for precision in args.precision
            }
            runs = {"torch float32": by_torch(model, device)}
            runs |= {way: by_onnx(file, device, args.threads) for way, file in files.items()}
        for batch in args.batch:
            crops = random_crops(args.input_size, batch)
            total = len(runs) * (WARM_UP + args.rounds)
            with progress(total, f"{name}, batch {batch}", "run") as bar:
                ways = {way: timed(run, crops, device, args.threads) for way, run in runs.items()}
                seconds = interleave(ways, rounds=args.rounds, warm_up=WARM_UP, bar=bar)
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
    found = table(["blocks", "batch", "by", "ms a crop", "times as fast as torch"], rows)
    one_thread = device.type == "cpu" and args.threads == 1
    words = "CPU time of one thread" if one_thread else f"wall time, {args.threads} threads"
    return (
        f"* ResNet-50, {args.input_size[0]}x{args.input_size[1]} crops (height x width), uint8 to "
        f"keypoints; torch in channels_last; onnxruntime {version('onnxruntime')}; {words}; "
        f"{args.rounds} rounds; load {os.getloadavg()[0]:.1f} at the end\n\n{found}\n"
    )


def write(model: SimpleBaseline, precision: str, folder: Path) -> Path:
    """Export a file of one precision."""
    card = ExportCard(
        version=__version__,
        skeleton=load_skeleton("coco17"),
        input_size=model.input_size,
        input="uint8",
        outputs="keypoints",
        codec=model.codec.name,
        decoding=model.codec.decoding(),
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
    """Run the network like `Predictor.from_checkpoint`, but in channels_last memory."""
    placed = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
    fold_norms(placed)

    def run(crops: Crops) -> object:
        with torch.inference_mode():
            found = predict_keypoints(placed, torch.from_numpy(crops).to(device))
        return [part.cpu() for part in found]

    return run


def by_onnx(path: Path, device: torch.device, threads: int) -> Callable[[Crops], object]:
    """Run the file like `OnnxPredictor`, but with this number of threads."""
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
