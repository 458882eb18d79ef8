"""Fair timings on a machine that others use too: all ways in turn, round after round, and medians
of what the rounds say.

A slow minute then hits every way alike, and a ratio is taken within a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


def interleave(
    ways: Mapping[str, Callable[[int], float]], *, rounds: int, warm_up: int, bar: Any
) -> dict[str, Seconds]:
    """Run every way once a round, forwards and backwards in turn.

    Args:
        ways: By name; each is called with the number of the round and returns the seconds it took.
        rounds: That count.
        warm_up: Rounds before them that do not.
        bar: Progress, told of each call.

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
    """CPU time of this process, user and system: on one thread the cost per core, whoever else
    uses the machine.

    What `work` returns is freed within the time.
    """
    begin = time.process_time()
    work()
    return time.process_time() - begin


def wall_seconds(work: Callable[[], object]) -> float:
    """Time on the clock."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table that is readable as it is: first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])
