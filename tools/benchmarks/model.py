"""`run.py model`: milliseconds an image with and without blocks, evaluation and training step.

Ratios are to the network without blocks, in the same run and round. No time depends on the values
of weights or images, so all are random.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from timing import (
    DTYPES,
    Seconds,
    add_network,
    add_number,
    clock,
    interleave,
    median_ratio,
    seconds,
    set_tf32,
    table,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from keypoint.distributed import choose_device
from keypoint.models import SimpleBaseline, create_model
from keypoint.progress import progress
from keypoint.training.losses import heatmap_loss
from keypoint.training.optimizer import build_optimizer

HELP, DESCRIPTION = "ms an image", "Time the network."
ENCODER = "resnet50"
NUM_KEYPOINTS = 17
PLAIN = "none"
# The most that the machine reaches. It is not `a @ b`, because MKL is slow on some CPUs.
PRODUCT, CHANNELS, SIDE = "1x1 convolution", 1024, 48
MODES = ("eval", "train")


@dataclass(frozen=True)
class Setting:
    """Device, batch size and memory format of networks and blocks.

    Attributes:
        device: The device.
        batch_size: Images or maps in a step.
        channels_last: Memory format of weights, images and maps.
    """

    device: torch.device
    batch_size: int
    channels_last: bool

    @property
    def layout(self) -> torch.memory_format:
        """The memory format."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def words(self, threads: int) -> str:
        """Batch, memory format and clock."""
        layout = "channels_last" if self.channels_last else "contiguous"
        return f"batch {self.batch_size}, {layout}; {clock(self.device, threads)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `model`."""
    add_network(parser)
    names = ["none", "srl_fft", "srl_lo", "nl"]
    text = f"after each deconvolution ({' '.join(names)})"
    parser.add_argument("--blocks", nargs="+", default=names, metavar="NAME", help=text)
    add_number(parser, "--batch", 4, "images in a step")
    add_number(parser, "--eval-rounds", 5, "measured rounds of evaluation")
    add_number(parser, "--train-rounds", 3, "measured rounds of training")


def measure(args: argparse.Namespace) -> str:
    """Measure the network; `none` is always measured, bf16 is autocast, as in training."""
    torch.set_num_threads(args.threads)
    setting = Setting(choose_device(args.device), args.batch, args.channels_last)
    rounds = dict(zip(MODES, (args.eval_rounds, args.train_rounds), strict=True))
    warm_up = 3 if setting.device.type == "cuda" else 1  # a GPU chooses its kernels in them
    names = [PLAIN, *(name for name in args.blocks if name != PLAIN)]
    rows, floors, peaks = [], [], []
    steps = sum(number + warm_up for number in rounds.values())
    total = steps * (len(names) + 1) * len(args.dtype) * len(args.input_size)
    with progress(total, "model", "step") as bar:
        for size in args.input_size:
            models = {name: build(name, size, setting) for name in names}
            counts = {name: multiply_adds(model, size, setting) for name, model in models.items()}
            floors.append(floor(models[PLAIN], size, setting))
            for dtype in args.dtype:
                set_tf32(dtype)
                times = {}
                for mode in MODES:
                    ways = {
                        name: step(model, mode, DTYPES[dtype], setting)
                        for name, model in models.items()
                    }
                    ways[PRODUCT] = product(DTYPES[dtype], setting)
                    times[mode] = interleave(ways, rounds=rounds[mode], warm_up=warm_up, bar=bar)
                peaks.append(peak(f"{size[0]}x{size[1]}, {dtype}", times, counts[PLAIN], setting))
                for name in names:
                    cells = [f"{size[0]}x{size[1]}", dtype, name, f"{counts[name] / 1e9:.2f}"]
                    for mode in MODES:
                        taken, plain = times[mode][name], times[mode][PLAIN]
                        each = 1000 * float(np.median(taken)) / setting.batch_size
                        cells += [f"{each:.2f}", f"{median_ratio(taken, plain):.2f}"]
                    rows.append(cells)
    header = ["input", "dtype", "blocks", "G multiply-adds"]
    header += [f"{mode}, {unit}" for mode in MODES for unit in ("ms", "times none")]
    result = "\n".join([table(header, rows), "", *peaks, *floors])
    return (
        f"* ResNet-50, {setting.words(args.threads)}; "
        f"{args.eval_rounds} rounds of eval, {args.train_rounds} of train\n\n{result}\n"
    )


def build(name: str, input_size: tuple[int, int], setting: Setting) -> SimpleBaseline:
    """Make the network with a block after every deconvolution, or without."""
    return create_model(
        ENCODER,
        blocks=None if name == PLAIN else name,
        input_size=input_size,
        num_keypoints=NUM_KEYPOINTS,
    ).to(setting.device, memory_format=setting.layout)


def step(
    model: SimpleBaseline, mode: str, dtype: torch.dtype, setting: Setting
) -> Callable[[int], float]:
    """One step in seconds: "eval" is forward alone, "train" forward, loss, backward and Adam."""
    device = setting.device
    images = torch.randn(setting.batch_size, 3, *model.input_size, device=device)
    images = images.contiguous(memory_format=setting.layout)
    target = torch.rand(setting.batch_size, NUM_KEYPOINTS, *model.heatmap_size, device=device)
    weight = torch.ones(setting.batch_size, NUM_KEYPOINTS, device=device)
    # Adam as well, because SRL-LO's retraction comes with the optimiser's step.
    optimizer = build_optimizer(model) if mode == "train" else None

    def forward() -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
            heatmaps: Tensor = model(images)
        return heatmaps

    def once() -> None:
        if optimizer is None:
            with torch.no_grad():
                forward()
            return
        heatmap_loss(forward(), target, weight).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def timed(_: int) -> float:
        model.train(optimizer is not None)
        return seconds(once, device)

    return timed


def product(dtype: torch.dtype, setting: Setting) -> Callable[[int], float]:
    """Return a function that times one convolution."""
    given = {"device": setting.device, "dtype": dtype}
    maps = torch.randn(setting.batch_size, CHANNELS, SIDE, SIDE, **given)
    maps = maps.contiguous(memory_format=setting.layout)
    weight = torch.randn(CHANNELS, CHANNELS, 1, 1, **given)
    weight = weight.contiguous(memory_format=setting.layout)

    @torch.no_grad()
    def once() -> None:
        torch.nn.functional.conv2d(maps, weight)

    return lambda _: seconds(once, setting.device)


def peak(name: str, times: dict[str, dict[str, Seconds]], count: int, setting: Setting) -> str:
    """Compare the plain network's multiply-adds per second with those of one convolution."""
    shares, product_count = {}, setting.batch_size * (CHANNELS * SIDE) ** 2
    for mode, work in (("eval", count), ("train", 3 * count)):  # backward costs twice as much
        speeds = product_count / times[mode][PRODUCT]
        reached = work * setting.batch_size / times[mode][PLAIN]
        shares[mode] = float(np.median(reached / speeds))
    best = product_count / float(np.median(times["eval"][PRODUCT]))
    return (
        f"* {name}: one 1x1 convolution, {CHANNELS} to {CHANNELS} channels, runs at "
        f"{best / 1e9:.0f} G multiply-adds/s; the network without blocks reaches "
        f"{shares['eval']:.2f} of it in evaluation and {shares['train']:.2f} in a whole training "
        "step."
    )


@torch.no_grad()
def multiply_adds(model: SimpleBaseline, input_size: tuple[int, int], setting: Setting) -> int:
    """Count one image's forward pass: convolutions, matmuls, attention; no counter knows FFTs."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, *input_size, device=setting.device))
    return int(counter.get_total_flops()) // 2


def floor(model: SimpleBaseline, input_size: tuple[int, int], setting: Setting) -> str:
    """The least that a step of the plain network must move, and the FFTs the table leaves out."""
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    images = 4 * 3 * math.prod(input_size) * setting.batch_size
    heatmaps = 4 * NUM_KEYPOINTS * math.prod(model.heatmap_size) * setting.batch_size
    # Two transforms a block, C H W log2(H W) each, after deconv1, deconv2 and deconv3.
    sites = [(input_size[0] // stride, input_size[1] // stride) for stride in (16, 8, 4)]
    ffts = sum(2 * 256 * h * w * math.log2(h * w) for h, w in sites)
    return (
        f"* {input_size[0]}x{input_size[1]}, float32: a forward step of {setting.batch_size} reads "
        f"{weights / 1e6:.0f} MB of weights and {images / 1e6:.1f} MB of images and writes "
        f"{heatmaps / 1e6:.1f} MB of heatmaps at least; backward costs twice the multiply-adds, "
        f"Adam reads and writes {7 * weights / 1e6:.0f} MB. Not in the table: the FFTs of srl_fft, "
        f"{ffts / 1e9:.2f} G an image."
    )
