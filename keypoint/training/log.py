"""Log numbers and pictures of a run, and the share of time spent waiting for data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import printable
from keypoint.training.loggers.record import FILE as RECORD
from keypoint.training.step import Batch

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)
LONGEST_CAUSE = 300  # characters; services return long error texts


class Logger(Protocol):
    """Interface of a logger for a run's numbers and pictures; any call may raise."""

    def config(self, values: Mapping[str, Any]) -> None:
        """Keep the run's config, in nested sections."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Keep numbers by tag."""

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Keep an (H, W, 3) uint8 RGB picture."""

    def close(self, done: bool) -> None:
        """Write everything out; `done` if the last epoch was reached."""


def check_logger(name: str) -> None:
    """Refuse a logger that cannot start, before training.

    Args:
        name: A value of `train.logger`.

    Raises:
        ConfigError: Its client is not installed or not set up.
    """
    if name == "wandb":
        from keypoint.training.loggers.wandb import check_wandb

        check_wandb()
    if name == "mlflow":
        from keypoint.training.loggers.mlflow import check_mlflow

        check_mlflow()


def _open(name: str, folder: Path, first_step: int) -> Logger:
    """Start or continue a run's log; imports only the chosen client."""
    if not first_step:  # a run that ended before its first checkpoint leaves its record
        (folder / RECORD).unlink(missing_ok=True)
    if name == "wandb":
        from keypoint.training.loggers.wandb import WandbLog

        return WandbLog(folder)
    if name == "mlflow":
        from keypoint.training.loggers.mlflow import MlflowLog

        return MlflowLog(folder)
    from keypoint.training.loggers.tensorboard import TensorboardLog

    return TensorboardLog(folder, first_step)


class RunLog:
    """The log of a run; silent on processes that do not write.

    If it can no longer be written (a full disk, a server that does not answer), this is logged once
    and the run continues without it. (A checkpoint that cannot be written does end the run.)

    Args:
        folder: The run's folder.
        enabled: False on all ranks but 0.
        first_step: The step at which a resumed run continues; later entries of the interrupted
            run are not logged twice.
        name: A value of `train.logger`.
    """

    def __init__(
        self, folder: Path, enabled: bool, first_step: int = 0, name: str = "tensorboard"
    ) -> None:
        self.folder, self.name = folder, name
        self._logger: Logger | None = None
        if enabled:
            with self._warned():
                self._logger = _open(name, folder, first_step)

    def config(self, values: Mapping[str, Any]) -> None:
        """Write the config."""
        with self._warned():
            if self._logger:
                self._logger.config(values)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by tag."""
        with self._warned():
            if self._logger:
                self._logger.scalars(values, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Write an (H, W, 3) uint8 RGB picture."""
        with self._warned():
            if self._logger:
                self._logger.picture(name, image, step)

    def close(self, done: bool = True) -> None:
        """Write everything out; `done` if the last epoch was reached."""
        with self._warned():
            if self._logger:
                self._logger.close(done)

    @contextmanager
    def _warned(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of a disk, a network or a client: none may end training
            self._logger = None
            cause = error.strerror if isinstance(error, OSError) else None
            words = " ".join((cause or f"{type(error).__name__}: {error}").split())
            logger.warning(
                "%s: %s cannot be written (%s); continuing without them",
                self.folder,
                "tensorboard events" if self.name == "tensorboard" else f"logs to {self.name}",
                printable(words[:LONGEST_CAUSE]),
            )


class Window:
    """Time since the last report, divided into waiting for data and computing."""

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
