"""Event files for tensorboard, in the run's folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter


class TensorboardLog:
    """Tensorboard drops events of the interrupted run that are later than `first_step`."""

    def __init__(self, folder: Path, first_step: int) -> None:
        threading.excepthook = _but_for_events
        purge = first_step + 1 if first_step else None
        self._writer = SummaryWriter(str(folder), purge_step=purge)

    def config(self, values: Mapping[str, Any]) -> None:
        """Log the config as text."""
        self._writer.add_text("config", f"```\n{json.dumps(values, indent=2)}\n```")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a point of each tag's curve."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Log the picture of a step."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self, done: bool) -> None:
        """Write everything; tensorboard does not use `done`."""
        self._writer.close()


def _but_for_events(problem: threading.ExceptHookArgs) -> None:
    # Hide the exception of tensorboard's writing thread; the next call raises it again.
    if type(problem.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(problem)
