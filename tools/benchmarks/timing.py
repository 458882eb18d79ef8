"""Fair timings on a shared machine: all ways in turn, round after round, and medians of rounds.

A slow minute then affects every way alike, and a ratio is taken within a round. Also the options
and tables that all benchmarks share.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from keypoint.commands import cli

Seconds = NDArray[np.float64]
# tf32 is float32 with products rounded to 10 bits, on a GPU
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
DTYPE_HELP = "bf16 is autocast, tf32 only on a GPU"
count = cli.whole_number(1)  # a type of argument


def interleave(
    ways: Mapping[str, Callable[[int], float]], *, rounds: int, warm_up: int, bar: Any
) -> dict[str, Seconds]:
    """Run every way once a round, forwards and backwards in turn.

    Args:
        ways: By name; each is called with the number of the round and returns the seconds it took.
        rounds: Number of measured rounds.
        warm_up: Number of rounds before them that are not measured.
        bar: Progress bar, updated after each call.

    Returns:
        (rounds,) seconds by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for number in range(warm_up + rounds):
        for name in order if number % 2 else order[::-1]:
            seconds[name].append(ways[name](number))
            bar.update(1)
    return {name: np.array(values[warm_up:]) for name, values in seconds.items()}


def median_ratio(numerator: Seconds, denominator: Seconds) -> float:
    """The median over rounds of the ratio within a round."""
    return float(np.median(numerator / denominator))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process, user and system: on one thread the cost per core, whatever else
    runs on the machine. The time includes freeing the result of `work`.
    """
    begin = time.process_time()
    work()
    return time.process_time() - begin


def wall_seconds(work: Callable[[], object]) -> float:
    """Time on the clock."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """CPU time on one thread, wall time on more; on a GPU between two events of its own queue."""
    if device.type != "cuda":
        return cpu_seconds(work) if torch.get_num_threads() == 1 else wall_seconds(work)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return float(first.elapsed_time(last)) / 1000


def set_tf32(dtype: str) -> None:
    """Let the GPU round products to TF32 if that is the name; by default torch does so in cuDNN."""
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    torch.backends.cudnn.allow_tf32 = dtype == "tf32"


def clock(device: torch.device, threads: int) -> str:
    """Describe the time that `seconds` measures."""
    if device.type != "cpu":
        return "GPU time between events"
    return "CPU time of one thread" if threads == 1 else f"wall time, {threads} threads"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table with padded cells: first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def size(text: str) -> tuple[int, int]:
    """Read "384x288" as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} must be HEIGHTxWIDTH, as 384x288")
    return int(height), int(width)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device; unlike the package's commands these stay on the CPU by default."""
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu (default), cuda, cuda:1 or mps"
    )


def add_number(parser: argparse.ArgumentParser, name: str, default: int, text: str) -> None:
    """Add an option for a number from 1."""
    parser.add_argument(name, type=count, default=default, metavar="N", help=f"{text} ({default})")


def add_crop_size(parser: argparse.ArgumentParser, default: tuple[int, int] = (256, 192)) -> None:
    """Add --input-size for one size."""
    text = f"of the crops ({default[0]}x{default[1]})"
    parser.add_argument("--input-size", type=size, default=default, metavar="HxW", help=text)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options of `model` and `blocks`: sizes, precision and memory format."""
    add_device(parser)
    sizes = [(256, 192), (384, 288)]
    parser.add_argument(
        "--input-size", type=size, nargs="+", default=sizes, metavar="HxW", help="256x192 384x288"
    )
    parser.add_argument(
        "--dtype", nargs="+", choices=list(DTYPES), default=["float32"], help=DTYPE_HELP
    )
    add_number(parser, "--threads", 1, "of the CPU: one is timed in CPU time, more in wall time")
    layout = argparse.BooleanOptionalAction
    parser.add_argument(
        "--channels-last", action=layout, default=True, help="memory format (on, as in training)"
    )
