"""Memory of freed tensors, kept for the next ones."""

from __future__ import annotations

import ctypes
import os


def keep_freed_memory() -> bool:
    """Have glibc keep large freed blocks for the next tensors of their size.

    By default glibc returns them to the system, which then fills every page of the next one with
    zeros: on two cores that took 45 % of a ResNet-50's training step at batch 8, and 15 % of its
    evaluation at batch 1 (docs/benchmarks.md). The process keeps the memory of its largest step.

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
    # Older versions accept at most 32 MiB for the second, and the first alone would do harm.
    large = any(mallopt(mmap_threshold, size) for size in (2**31 - 1, 2**25))
    return large and bool(mallopt(trim_threshold, 2**31 - 1))
