"""This process and those that torchrun started with it, without importing torch."""

from __future__ import annotations

import ctypes
import os
import re

TIMEOUT_S = 600  # longer than scoring on rank 0 alone, which takes seconds on val2017
# Torch's messages when another process has ended or does not answer.
LOST = re.compile(
    r"/gloo/|\bNCCL\b|pair closure|Connection (closed|reset|refused)|Broken pipe|"
    r"Timed out waiting \d+ ?ms"
)


def place() -> tuple[int, int] | None:
    """Return rank and number of processes under torchrun; None if this is the only process.

    Reads the environment; no process group is needed.
    """
    if not started_many() or "RANK" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def local_processes() -> int:
    """Return the number of processes that torchrun started on this machine, 1 without it."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def started_many() -> bool:
    """Return whether the environment has several processes; the process group may be gone."""
    text = os.environ.get("WORLD_SIZE", "1")
    return text.isdecimal() and int(text) > 1


def says_lost(error: BaseException) -> bool:
    """Return whether an error means that another process has ended or does not answer."""
    return started_many() and isinstance(error, RuntimeError) and bool(LOST.search(str(error)))


def keep_freed_memory() -> bool:
    """Make glibc keep large freed blocks for the next tensors of their size.

    By default glibc returns them to the system, which then fills every page of the next one with
    zeros: on two cores that took 45 % of a ResNet-50's training step at batch 8, and 15 % of its
    evaluation at batch 1 (docs/benchmarks/network.md). The process keeps the memory of its
    largest step.

    Returns:
        True if it is set; False with another C library, or if the environment sets MALLOC_*.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    # Older versions accept at most 32 MiB for the second; the first alone would be slower.
    large = any(mallopt(mmap_threshold, size) for size in (2**31 - 1, 2**25))
    return large and bool(mallopt(trim_threshold, 2**31 - 1))
