"""What a run shows while it goes on: progress with ETA, tensorboard numbers and pictures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)


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
