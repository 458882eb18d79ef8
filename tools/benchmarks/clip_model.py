"""`run.py clip-model`: milliseconds a clip of C2D ResNet-50, with and without blocks.

Ratios are to the network without blocks, in the same run and round. No time depends on the values
of weights or clips, so all are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from model import MODES, PLAIN, Setting
from timing import (
    DTYPE_HELP,
    DTYPES,
    add_crop_size,
    add_device,
    add_number,
    clock,
    count,
    interleave,
    median_ratio,
    seconds,
    set_tf32,
    table,
)
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from keypoint.action import create_model
from keypoint.action.networks.network import ActionNetwork
from keypoint.distributed import choose_device
from keypoint.progress import progress
from keypoint.training.optimizer import build_optimizer

HELP, DESCRIPTION = "ms a clip", "Time the network for videos."
NETWORK, PLACES, FRAMES = "c2d_resnet50", "five", 8
BLOCKS = ("srl_fft", "srl_lo", "nl", "pnl", "cgnl", "a2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `clip-model`."""
    add_device(parser)
    add_crop_size(parser, (224, 224))
    add = parser.add_argument
    add("--dtype", nargs="+", choices=list(DTYPES), default=["float32"], help=DTYPE_HELP)
    add_number(parser, "--threads", 1, "of the CPU: one is timed in CPU time, more in wall time")
    text = f"at {PLACES} places, evaluated"
    add("--blocks", nargs="+", default=BLOCKS, metavar="NAME", help=f"{text} ({' '.join(BLOCKS)})")
    trained = ["srl_fft", "nl"]
    text = f"those of them that are trained, too ({' '.join(trained)})"
    add("--trained", nargs="+", default=trained, metavar="NAME", help=text)
    add("--batch", nargs="+", type=count, default=[1, 2], metavar="N", help="clips in a step (1 2)")
    add_number(parser, "--eval-rounds", 5, "measured rounds of evaluation")
    add_number(parser, "--train-rounds", 3, "measured rounds of training, at the last batch size")


def measure(args: argparse.Namespace) -> str:
    """Measure the network; none, without blocks, is always measured."""
    torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    names = [PLAIN, *args.blocks]
    models = {name: build(name, args.input_size).to(device) for name in names}
    counts = {name: multiply_adds(model) for name, model in models.items()}
    plan = [(MODES[0], batch, names, args.eval_rounds) for batch in args.batch]
    trained = [PLAIN, *(name for name in args.blocks if name in args.trained)]
    plan.append((MODES[1], args.batch[-1], trained, args.train_rounds))
    warm_up = 3 if device.type == "cuda" else 1  # a GPU chooses its kernels in them
    steps = sum((rounds + warm_up) * len(names) for _, _, names, rounds in plan) * len(args.dtype)
    rows = []
    with progress(steps, "clip-model", "step") as bar:
        for dtype in args.dtype:
            set_tf32(dtype)
            for mode, batch, chosen, rounds in plan:
                setting = Setting(device, batch, channels_last=True)
                ways = {name: step(models[name], mode, DTYPES[dtype], setting) for name in chosen}
                times = interleave(ways, rounds=rounds, warm_up=warm_up, bar=bar)
                for name, taken in times.items():
                    each = 1000 * float(np.median(taken)) / batch
                    ratio = median_ratio(taken, times[PLAIN])
                    cells = [mode, dtype, str(batch), name, f"{counts[name] / 1e9:.2f}"]
                    rows.append([*cells, f"{each:.1f}", f"{ratio:.2f}"])
    header = ["mode", "dtype", "batch", "blocks", "G multiply-adds", "ms a clip", "times none"]
    size = f"{args.input_size[0]}x{args.input_size[1]}"
    return (
        f"* {NETWORK}, clips of {FRAMES} x {size}, blocks at {PLACES} places, channels_last; "
        f"{clock(device, args.threads)}; {args.eval_rounds} rounds of eval, {args.train_rounds} of "
        f"train\n\n{table(header, rows)}\n"
    )


def build(name: str, input_size: tuple[int, int]) -> ActionNetwork:
    """Make the network with blocks, or without."""
    blocks, places = (None, None) if name == PLAIN else (name, PLACES)
    model = create_model(
        NETWORK, frames=FRAMES, input_size=input_size, blocks=blocks, places=places
    )
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():  # `model.to` refuses networks that have both
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
    return model


def step(
    model: ActionNetwork, mode: str, dtype: torch.dtype, setting: Setting
) -> Callable[[int], float]:
    """One step in seconds: "eval" is forward alone, "train" forward, loss, backward and SGD."""
    device, batch = setting.device, setting.batch_size
    shape = (batch, model.frames, *model.input_size, 3)
    clips = model.normalize(torch.randint(256, shape, dtype=torch.uint8, device=device))
    labels = torch.arange(batch, device=device)
    optimizer = build_optimizer(model, "sgd", lr=1e-4) if mode == "train" else None

    def forward() -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
            scores: Tensor = model(clips)
        return scores

    def once() -> None:
        if optimizer is None:
            with torch.no_grad():
                forward()
            return
        cross_entropy(forward().float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def timed(_: int) -> float:
        model.train(optimizer is not None)
        return seconds(once, device)

    return timed


@torch.no_grad()
def multiply_adds(model: ActionNetwork) -> int:
    """Count one clip's forward pass: convolutions, matmuls, attention; no counter knows FFTs."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(model.example().to(next(model.parameters()).device))
    return int(counter.get_total_flops()) // 2
