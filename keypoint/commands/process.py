"""Settings of a command's process: how it ends by SIGTERM, and how it reuses memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

AGAIN_S = 5.0  # after SIGTERM; ending takes less


@contextlib.contextmanager
def ended_by_sigterm(say: Callable[[str], None]) -> Iterator[None]:
    """End a command by SIGTERM with status 143, unless it handles the signal itself.

    Args:
        say: Prints a line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal armed
        if number == signal.SIGTERM:
            say("stopped by SIGTERM")
        # In a destructor or a fork Python prints an exception and continues: raise it again then.
        armed = True
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before)


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
