"""SIGTERM and Ctrl-C as a wish to stop soon: noted now, looked at where stopping loses nothing."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


class Interrupted(Exception):  # noqa: N818 (named as KeyboardInterrupt is)
    """A signal asked the run to end; `last.pt` holds everything up to the step it finished."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after saving; --resume goes on from here"
        )
        self.exit_status = 128 + number


class StopSignal:
    """A context in which SIGTERM and SIGINT are noted; a second SIGINT interrupts at once.

    Attributes:
        number: The signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        logger.warning("%s: finishing this step, then saving", signal.Signals(number).name)
        signal.signal(signal.SIGINT, signal.default_int_handler)
