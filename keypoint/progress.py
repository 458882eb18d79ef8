"""Progress with ETA: a bar on a terminal, plain lines in a log file or a pipe."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

STEADY_SECONDS = 10.0  # between plain lines


class PlainProgress:
    """Progress as a line every ten seconds, for log files and pipes.

    Args:
        total: Units to do; None if unknown.
        text: What is being done.
        unit: Name of the units.
    """

    def __init__(self, total: int | None, text: str, unit: str) -> None:
        self.total, self.text, self.unit = total, text, unit
        self.done = 0
        self._first = 0  # units done before this process
        self._begin = self._last = time.perf_counter()
        self._numbers = ""

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.done:
            self._write(time.perf_counter())

    def update(self, number: int = 1) -> None:
        """Count units as done."""
        self.done += number
        now = time.perf_counter()
        if now - self._last >= STEADY_SECONDS:
            self._last = now
            self._write(now)

    def skip(self, number: int) -> None:
        """Count units that an earlier run has done; they are excluded from the rate."""
        self.done = self._first = number

    def set_postfix(self, **numbers: str) -> None:
        """Set the numbers at the end of the line."""
        self._numbers = "".join(f", {name} {value}" for name, value in numbers.items())

    def _write(self, now: float) -> None:
        seconds = max(now - self._begin, 1e-9)
        rate = (self.done - self._first) / seconds
        of, left = "", ""
        if self.total is not None and self.done <= self.total:  # it may be an estimate
            of = f"/{self.total}"
            to_go = tqdm.format_interval((self.total - self.done) / rate) if rate else "?"
            left = f", {to_go} to go"
        sys.stderr.write(
            f"{self.text}: {self.done}{of}, {rate:.3g} {self.unit}/s, "
            f"{tqdm.format_interval(seconds)} so far{left}{self._numbers}\n"
        )
        sys.stderr.flush()


class _Bar(tqdm):  # type: ignore[type-arg]
    """tqdm that counts units of an earlier run."""

    def skip(self, number: int) -> None:
        self.initial = self.n = number
        self.refresh()


def progress(total: int | None, text: str, unit: str, enabled: bool = True) -> Any:
    """A bar with rate and ETA on a terminal, plain lines elsewhere, nothing if not enabled.

    Returns:
        A context manager with `update(number)`, `skip(number)` and `set_postfix(name=text)`.
    """
    enabled = enabled and sys.stderr is not None  # None in a process without a terminal
    if enabled and not sys.stderr.isatty():
        return PlainProgress(total, text, unit)
    return _Bar(
        total=total,
        desc=text,
        unit=unit,
        disable=not enabled,
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    )
