"""The processes that torchrun started, as the environment names them: without torch."""

from __future__ import annotations

import os
import re

TIMEOUT_S = 600  # scoring on rank 0 alone (seconds on val2017) must fit in
# Torch's words if another process has ended or does not answer.
LOST = re.compile(
    r"/gloo/|\bNCCL\b|pair closure|Connection (closed|reset|refused)|Broken pipe|"
    r"Timed out waiting \d+ ?ms"
)


def place() -> tuple[int, int] | None:
    """Rank and number of the processes that torchrun started; None if this is the only one.

    From the environment: no process group is needed.
    """
    if not started_many() or "RANK" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def local_processes() -> int:
    """How many processes torchrun started on this machine, 1 without it."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def started_many() -> bool:
    """Whether this is one of several processes by its environment; the group may be gone by now."""
    text = os.environ.get("WORLD_SIZE", "1")
    return text.isdecimal() and int(text) > 1


def says_lost(error: BaseException) -> bool:
    """Whether an error says that another process has ended or does not answer."""
    return started_many() and isinstance(error, RuntimeError) and bool(LOST.search(str(error)))
