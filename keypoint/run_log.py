"""What a run shows while it goes on: progress with ETA, tensorboard numbers and pictures."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

logger = logging.getLogger(__name__)

STEADY_SECONDS = 10.0  # between plain lines


class PlainProgress:
    """What tqdm shows, as a line of its own every ten seconds: for log files and pipes.

    Args:
        total: Units to do; None if nobody knows.
        text: What is being done.
        unit: Of what.
    """

    def __init__(self, total: int | None, text: str, unit: str) -> None:
        self.total, self.text, self.unit = total, text, unit
        self.done = 0
        self._first = 0  # done before this process began to count
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
        """Count units that an earlier run has done; they say nothing about this one's speed."""
        self.done = self._first = number

    def set_postfix(self, **numbers: str) -> None:
        """Numbers to show at the line's end."""
        self._numbers = "".join(f", {name} {value}" for name, value in numbers.items())

    def _write(self, now: float) -> None:
        seconds = max(now - self._begin, 1e-9)
        rate = (self.done - self._first) / seconds
        of, left = "", ""
        if self.total is not None:
            of = f"/{self.total}"
            to_go = tqdm.format_interval((self.total - self.done) / rate) if rate else "?"
            left = f", {to_go} to go"
        sys.stderr.write(
            f"{self.text}: {self.done}{of}, {rate:.3g} {self.unit}/s, "
            f"{tqdm.format_interval(seconds)} so far{left}{self._numbers}\n"
        )
        sys.stderr.flush()


class _Bar(tqdm):  # type: ignore[type-arg]
    """tqdm, which can be told what was done before."""

    def skip(self, number: int) -> None:
        self.initial = self.n = number
        self.refresh()


def progress(total: int | None, text: str, unit: str, enabled: bool = True) -> Any:
    """A bar with rate and ETA on a terminal, plain lines elsewhere, nothing if not enabled.

    Returns:
        A context manager with `update(number)`, `skip(number)` and `set_postfix(name=text)`.
    """
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


class RunLog:
    """Tensorboard events of a run; silent on processes that do not write.

    Where they can no longer be written (a full disk), that is said once and the run goes on without
    them: a checkpoint that cannot be written ends it.

    Args:
        folder: Where the event files go.
        enabled: False on all ranks but 0.
        first_step: Where a resumed run goes on; later events of the interrupted run are left out
            by tensorboard.
    """

    def __init__(self, folder: Path, enabled: bool, first_step: int = 0) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        if enabled:
            threading.excepthook = _but_for_events
            purge = first_step + 1 if first_step else None
            with self._told():
                self.writer = SummaryWriter(str(folder), purge_step=purge)

    def text(self, name: str, value: str) -> None:
        """A text, such as the config."""
        with self._told():
            if self.writer:
                self.writer.add_text(name, f"```\n{value}\n```")

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Numbers by tag."""
        with self._told():
            for tag, value in values.items():
                if self.writer:
                    self.writer.add_scalar(tag, value, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """An (H, W, 3) uint8 RGB picture."""
        with self._told():
            if self.writer:
                self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write everything out."""
        with self._told():
            if self.writer:
                self.writer.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.writer = None
            logger.warning(
                "%s: tensorboard events cannot be written (%s); going on without them",
                self.folder,
                error.strerror or error,
            )


def _but_for_events(problem: threading.ExceptHookArgs) -> None:
    # Tensorboard's writing thread raises into the void, and again at the next call, which tells it.
    if type(problem.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(problem)


class Window:
    """Where the time went since the last look: waiting for data against computing."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._data = 0.0
        self._images = 0

    def add(self, data_seconds: float, images: int) -> None:
        """Count one batch."""
        self._data += data_seconds
        self._images += images

    def take(self) -> dict[str, float]:
        """Images per second and the two shares of the time; starts anew."""
        now = time.perf_counter()
        seconds = max(now - self._begin, 1e-9)
        rates = {
            "time/images_per_second": self._images / seconds,
            "time/data_share": self._data / seconds,
            "time/compute_share": 1 - self._data / seconds,
        }
        self._begin, self._data, self._images = now, 0.0, 0
        return rates
