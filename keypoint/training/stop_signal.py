"""Handle SIGTERM and Ctrl-C as a request to stop when no work would be lost.

The handler raises only in a run that hangs: it may run inside a destructor or a fork, where Python
prints an exception and continues.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

LATE_S = 0.5  # Python runs a handler at once, unless it waits inside a library
PATIENCE_S = 6  # after SIGTERM, added to twice a step's time; torchrun kills after 30 s


class Interrupted(Exception):  # noqa: N818 (named as KeyboardInterrupt is)
    """A signal asked the run to end.

    Args:
        number: The signal.
        saved: True if `last.pt` contains everything up to the last finished step; false if the
            current step did not finish in time.
    """

    def __init__(self, number: int, saved: bool = True) -> None:
        name = signal.Signals(number).name
        place = "after saving" if saved else "in a step that did not end, without saving"
        super().__init__(f"stopped by {name} {place}; --resume continues from last.pt")
        self.exit_status = 128 + number


class StopSignal:
    """A context that records SIGTERM and SIGINT; a SIGINT after either interrupts at once.

    Args:
        answer: Logged when a signal arrives.

    Attributes:
        number: The received signal, or None.
        patience_s: Seconds that a step may take after a signal. After that the run is assumed to
            hang and ends without saving. None for no limit.
    """

    def __init__(self, answer: str = "finishing this step, then saving") -> None:
        self.answer = answer
        self.number: int | None = None
        self.patience_s: float | None = None
        self._due: float | None = None  # when patience ends
        self._next_patience_s: float | None = None
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
        return self

    @contextmanager
    def delayed(self, limited: bool) -> Iterator[None]:
        """A context for one step; a signal takes effect at its end.

        Args:
            limited: Whether to give up a step that takes much longer than the one before it, as
                it may wait for a process that has ended. The first step has no limit.
        """
        begin = time.perf_counter()
        self.patience_s = self._next_patience_s if limited else None
        yield
        self._next_patience_s = PATIENCE_S + 2 * (time.perf_counter() - begin)
        self.seen()

    def seen(self) -> None:
        """Remove the step's limit after it has finished; what follows has no limit."""
        self.patience_s = None
        if self._due is not None:
            self._due = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def check(self) -> None:
        """End work that can be repeated, such as an evaluation after a save, on a signal.

        Raises:
            Interrupted: A signal was received.
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
            return  # it was waiting in a system call or for another process, and returned
        raise Interrupted(self.number or signal.SIGTERM, saved=False)
