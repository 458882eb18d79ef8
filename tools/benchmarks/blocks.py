"""`run.py blocks`: each block alone on the maps of the three deconvolutions, and three of them
compared with the base network.

The floor of any block is copying its map: it must read and write it once. Weights and maps are
random and gates are opened; no time depends on the values.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from model import PLAIN, Setting, build
from timing import (
    DTYPES,
    add_network,
    add_number,
    interleave,
    median_ratio,
    seconds,
    set_tf32,
    table,
)
from torch import Tensor, nn

from keypoint.blocks import build_block
from keypoint.blocks.build import BLOCKS
from keypoint.distributed import choose_device
from keypoint.models.names import DECONV_SITES, STRIDES_OF_SITES
from keypoint.models.simple_baseline import DECONV_CHANNELS
from keypoint.progress import progress

HELP, DESCRIPTION = "ms a map", "Time each block alone."
WARM_UP = 2  # rounds in which kernels are chosen and graphs compiled
HOWS = ("eager", "compiled")
COPY = "copy the map"
BASE = "base network"
FFT, MATMUL = "srl_fft", "srl_fft_matmul"  # one function, the second by matrix products
BY_TORCH = "srl_fft_torch"  # the first without compiled code
MODES = ("forward", "forward+backward")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `blocks`."""
    add_network(parser)
    names = [*BLOCKS, BY_TORCH, MATMUL]
    add = parser.add_argument
    add("--blocks", nargs="+", choices=names, default=names, metavar="NAME", help="default: all")
    add("--how", nargs="+", choices=HOWS, default=["eager"], help="eager (default), compiled")
    add_number(parser, "--batch", 1, "maps in a step")
    add_number(parser, "--rounds", 5, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure the blocks."""
    torch.set_num_threads(args.threads)
    setting = Setting(choose_device(args.device), args.batch, args.channels_last)
    rows, sums, ratios = [], [], []
    ways = len(MODES) * (len(args.blocks) + 1)
    one_size = (WARM_UP + args.rounds) * (len(DECONV_SITES) * ways + len(MODES))
    sizes = len(args.input_size) * len(args.dtype) * len(args.how)
    with progress(one_size * sizes, "blocks", "step") as bar:
        for input_size in args.input_size:
            for dtype in args.dtype:
                set_tf32(dtype)
                for how in args.how:
                    head = [f"{input_size[0]}x{input_size[1]}", dtype, how]
                    sites, total, products = measure_sites(
                        setting, args.rounds, input_size, dtype, how, args.blocks, bar
                    )
                    rows += [head + row for row in sites]
                    sums += [head + row for row in total]
                    ratios += [head + row for row in products]
    alone = ["input", "dtype", "how", "map", "block", "forward, ms", "times copy"]
    alone += ["forward+backward, ms", "times copy", "peak MB"]
    three = ["input", "dtype", "how", "three blocks", "forward, ms", "% of base"]
    three += ["forward+backward, ms", "% of base"]
    summary = '<details markdown="1"><summary>Each block at each site</summary>'
    result = f"{table(three, sums)}\n\n{summary}\n\n{table(alone, rows)}\n\n</details>"
    if ratios:
        header = ["input", "dtype", "how", "map", *(f"{MATMUL} / {FFT}, {mode}" for mode in MODES)]
        result += f"\n\n{table(header, ratios)}"
    return (
        f"* ResNet-50 and maps of {DECONV_CHANNELS} channels, {setting.words(args.threads)}; "
        f"{args.rounds} rounds; figures an image\n{floors(args.input_size)}\n\n{result}\n"
    )


def measure_sites(
    setting: Setting,
    rounds: int,
    input_size: tuple[int, int],
    dtype: str,
    how: str,
    blocks: Sequence[str],
    bar: Any,
) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """Rows of each block at each site, of three blocks next to the base network, and the times
    of matrix products in those of FFTs at each site.
    """
    timing = {"rounds": rounds, "warm_up": WARM_UP, "bar": bar}
    each = 1000 / setting.batch_size
    network = build(PLAIN, input_size, setting)
    images = torch.randn(setting.batch_size, 3, *input_size, device=setting.device)
    images = images.contiguous(memory_format=setting.layout)
    base = {}
    for mode in MODES:
        torch.compiler.reset()
        run = step(
            network, images.contiguous(memory_format=setting.layout), mode, dtype, how, setting
        )
        base[mode] = interleave({BASE: run}, **timing)[BASE]
    del network, run
    rows, products = [], []
    sums: dict[str, dict[str, Any]] = {name: dict.fromkeys(MODES, 0.0) for name in blocks}
    for site in DECONV_SITES:
        size = (
            input_size[0] // STRIDES_OF_SITES[32][site],
            input_size[1] // STRIDES_OF_SITES[32][site],
        )
        x = torch.randn(setting.batch_size, DECONV_CHANNELS, *size, device=setting.device)
        x = x.contiguous(memory_format=setting.layout).to(DTYPES[dtype])
        modules = {name: opened(name, size).to(setting.device) for name in blocks}
        times = {}
        for mode in MODES:
            torch.compiler.reset()  # a function is only compiled for so many sizes
            runs = {
                name: step(module, x, mode, dtype, how, setting) for name, module in modules.items()
            }
            runs[COPY] = copying(x, mode, setting)
            times[mode] = interleave(runs, **timing)
        if {FFT, MATMUL} <= set(blocks):
            both = [median_ratio(times[mode][MATMUL], times[mode][FFT]) for mode in MODES]
            products.append([f"{size[0]}x{size[1]}", *(f"{ratio:.2f}" for ratio in both)])
        for name in (COPY, *blocks):
            cells = [f"{size[0]}x{size[1]}", name]
            for mode in MODES:
                taken = times[mode][name]
                cells.append(f"{each * float(np.median(taken)):.2f}")
                cells.append(f"{median_ratio(taken, times[mode][COPY]):.0f}")
                if name != COPY:
                    sums[name][mode] = sums[name][mode] + taken
            module = modules.get(name)
            peak = None if module is None else peak_megabytes(module, x, dtype, setting)
            rows.append([*cells, "" if peak is None else f"{peak:.1f}"])
    totals = []
    for name in (BASE, *blocks):
        cells = [name]
        for mode in MODES:
            taken = base[mode] if name == BASE else sums[name][mode]
            cells.append(f"{each * float(np.median(taken)):.1f}")
            cells.append(f"{100 * float(np.median(taken) / np.median(base[mode])):.1f}")
        totals.append(cells)
    return rows, totals, products


def opened(name: str, size: tuple[int, int]) -> nn.Module:
    """Return the block with random values in its zero gates, so that nothing is skipped as zero."""
    if name == MATMUL:
        block = build_block(FFT, DECONV_CHANNELS, size, matmul=True)
    elif name == BY_TORCH:
        block = build_block(FFT, DECONV_CHANNELS, size)
        block.transform.register_forward_hook(lambda *_: None)  # which compiled code does not call
    else:
        block = build_block(name, DECONV_CHANNELS, size)
    for parameter in block.parameters():
        if parameter.ndim <= 1:
            nn.init.normal_(parameter, mean=0.5, std=0.1)
    return block


@contextlib.contextmanager
def precision(dtype: str, device: torch.device) -> Iterator[None]:
    """Autocast for bf16."""
    with torch.autocast(device.type, DTYPES[dtype], enabled=DTYPES[dtype] is not torch.float32):
        yield


def step(
    module: nn.Module, x: Tensor, mode: str, dtype: str, how: str, setting: Setting
) -> Callable[[int], float]:
    """One step in seconds: "forward" in eval mode without gradients, or a training step's part."""
    call: Callable[[Tensor], Tensor] = module
    if how == "compiled":
        call = torch.compile(module)
    with torch.no_grad(), precision(dtype, setting.device):
        gradient = torch.randn_like(module.eval()(x))

    def forward() -> None:
        with torch.no_grad(), precision(dtype, setting.device):
            call(x)

    def forward_backward() -> None:
        leaf = x.detach().requires_grad_()
        with precision(dtype, setting.device):
            y = call(leaf)
        y.backward(gradient)  # type: ignore[no-untyped-call]

    def timed(_: int) -> float:
        module.train(mode == "forward+backward")
        taken = seconds(forward if mode == "forward" else forward_backward, setting.device)
        module.zero_grad(set_to_none=True)
        return taken

    return timed


def copying(x: Tensor, mode: str, setting: Setting) -> Callable[[int], float]:
    """The floor: one copy forward, one more backward."""
    target = torch.empty_like(x)

    def copy() -> None:
        for _ in range(1 + (mode == "forward+backward")):
            target.copy_(x)

    return lambda _: seconds(copy, setting.device)


def peak_megabytes(module: nn.Module, x: Tensor, dtype: str, setting: Setting) -> float:
    """Peak memory of forward+backward without input and weights, per map, in 10^6 bytes."""
    run = step(module, x, "forward+backward", dtype, "eager", setting)
    run(0)
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setting.device)
        before = torch.cuda.memory_allocated(setting.device)
        run(0)
        peak = torch.cuda.max_memory_allocated(setting.device) - before
        return peak / 1e6 / setting.batch_size
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run(0)
    waiting = list(profiled.profiler.kineto_results.experimental_event_tree())
    changes = []  # (time, bytes)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.name == "[memory]":
            changes.append((event.start_time_ns, event.extra_fields.alloc_size))
    changes.sort(key=lambda change: change[0])
    return max(np.cumsum([size for _, size in changes])) / 1e6 / setting.batch_size


def floors(input_sizes: Sequence[tuple[int, int]]) -> str:
    """The least that a step of three blocks must move, in words."""
    lines = []
    for height, width in input_sizes:
        maps = [
            DECONV_CHANNELS
            * math.prod((height // STRIDES_OF_SITES[32][s], width // STRIDES_OF_SITES[32][s]))
            for s in DECONV_SITES
        ]
        lines.append(
            f"* {height}x{width}, float32: the maps hold "
            f"{' + '.join(f'{4 * n / 1e6:.1f}' for n in maps)} MB an image; a forward pass reads "
            f"and writes each at least once, {8 * sum(maps) / 1e6:.0f} MB."
        )
    return "\n".join(lines)
