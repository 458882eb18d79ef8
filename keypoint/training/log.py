"""Tensorboard numbers and pictures of a run, and the share of its time that waits for data."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from keypoint.training.step import Batch

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)


class RunLog:
    """Tensorboard events of a run; silent on processes that do not write.

    If they can no longer be written (a full disk), that is logged once and the run continues
    without them: a checkpoint that cannot be written ends it.

    Args:
        folder: Gets the event files.
        enabled: False on all ranks but 0.
        first_step: The step at which a resumed run continues; tensorboard drops later events of
            the interrupted run.
    """

    def __init__(self, folder: Path, enabled: bool, first_step: int = 0) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        if enabled:
            threading.excepthook = _but_for_events
            purge = first_step + 1 if first_step else None
            with self._warned():
                self.writer = SummaryWriter(str(folder), purge_step=purge)

    def text(self, name: str, value: str) -> None:
        """Write a text, such as the config."""
        with self._warned():
            if self.writer:
                self.writer.add_text(name, f"```\n{value}\n```")

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write numbers by tag."""
        with self._warned():
            for tag, value in values.items():
                if self.writer:
                    self.writer.add_scalar(tag, value, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Write an (H, W, 3) uint8 RGB picture."""
        with self._warned():
            if self.writer:
                self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write everything out."""
        with self._warned():
            if self.writer:
                self.writer.close()

    @contextmanager
    def _warned(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.writer = None
            logger.warning(
                "%s: tensorboard events cannot be written (%s); continuing without them",
                self.folder,
                error.strerror or error,
            )


def _but_for_events(problem: threading.ExceptHookArgs) -> None:
    # Tensorboard's writing thread raises unseen, and again at the next call, which reports it.
    if type(problem.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(problem)


class Window:
    """The time since the last look, divided into waiting for data and computing."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._data = 0.0
        self._images = 0

    def timed(self, loader: Iterable[B]) -> Iterator[B]:
        """The loader's batches; the wait for each is counted."""
        batches = iter(loader)
        while True:
            begin = time.perf_counter()
            batch = next(batches)
            self._data += time.perf_counter() - begin
            self._images += len(batch)
            yield batch

    def take(self) -> dict[str, float]:
        """Images per second and the two shares of the time; starts over."""
        now = time.perf_counter()
        seconds = max(now - self._begin, 1e-9)
        rates = {
            "time/images_per_second": self._images / seconds,
            "time/data_share": self._data / seconds,
            "time/compute_share": 1 - self._data / seconds,
        }
        self._begin, self._data, self._images = now, 0.0, 0
        return rates
