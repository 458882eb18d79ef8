"""SIGTERM and Ctrl-C as a wish to stop soon: noted now, looked at where stopping loses nothing.

Nothing is raised in the handler but for a run that hangs: it may run inside a destructor or a fork,
where Python prints an exception and goes on.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

LATE_S = 0.5  # Python runs a handler at once, unless it waits inside a library


class Interrupted(Exception):  # noqa: N818 (named as KeyboardInterrupt is)
    """A signal asked the run to end.

    Args:
        number: The signal.
        saved: Whether `last.pt` holds everything up to the step that was finished, or the one
            under way did not finish in time.
    """

    def __init__(self, number: int, saved: bool = True) -> None:
        name = signal.Signals(number).name
        place = "after saving" if saved else "in a step that did not end, without saving"
        super().__init__(f"stopped by {name} {place}; --resume goes on from last.pt")
        self.exit_status = 128 + number


class StopSignal:
    """A context in which SIGTERM and SIGINT are noted; a SIGINT after either interrupts at once.

    Args:
        answer: What is done when one comes, for the log.

    Attributes:
        number: The signal that came, or None.
        patience_s: How long the step that the signal met may take: after that the run is held to
            hang and ends without saving. None for however long it takes.
    """

    def __init__(self, answer: str = "finishing this step, then saving") -> None:
        self.answer = answer
        self.number: int | None = None
        self.patience_s: float | None = None
        self._due: float | None = None  # when patience ends
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
        return self

    def seen(self) -> None:
        """The step has finished: what follows takes the time it takes."""
        self.patience_s = None
        if self._due is not None:
            self._due = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def check(self) -> None:
        """For long work after which nothing is lost, such as an evaluation behind a save.

        Raises:
            Interrupted: A signal came.
        """
        if self.number is not None:
            raise Interrupted(self.number)

    def __exit__(self, *_: object) -> None:
        self.seen()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logger.warning("%s: %s", signal.Signals(number).name, self.answer)
        if self.patience_s is not None:
            self._due = time.monotonic() + self.patience_s
            signal.setitimer(signal.ITIMER_REAL, self.patience_s)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        if self._due is None or time.monotonic() - self._due > LATE_S:
            return  # it was in a call of the system or of another process, and came back
        raise Interrupted(self.number or signal.SIGTERM, saved=False)
