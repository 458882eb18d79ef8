"""Memory that is free inside a process, given back before worker processes come to share it."""

from __future__ import annotations

import contextlib
import ctypes


def give_back_freed_memory() -> None:
    """Give the system what reading the annotations left free: 130 MB of 100,000 persons.

    Workers are forked, so they would hold every page of it, and the main process could use none of
    them again without a copy. Measured with 4 workers after an epoch: the main process 450 MB
    without and 314 with, each worker's share 141 and 109.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
