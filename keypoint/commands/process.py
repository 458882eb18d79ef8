"""Settings of a command's process: its streams, and how it ends by SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from keypoint.errors import ConfigError, printable

AGAIN_S = 5.0  # after SIGTERM; ending takes less
SHORT_SPIN = "2000"  # of GOMP_SPINCOUNT; its default is 300,000


class KeptStream:
    """A standard stream that discards text once its reader is gone, instead of raising.

    Args:
        stream: The stream, or None if it was closed when the process started.
        lost: The error after which text is discarded; others are raised.
        lines: Escape control characters, because lines contain names of files.
    """

    def __init__(self, stream: TextIO | None, lost: type[OSError], *, lines: bool = False) -> None:
        self._stream = stream or _nowhere()
        self._lost = lost
        self._lines = lines

    def write(self, text: str) -> int:
        """Write text."""
        if self._lines:
            text = "\n".join(map(printable, text.split("\n")))
        try:
            return self._stream.write(text)
        except self._lost:
            self.give_up()
            return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            self._stream.flush()
        except self._lost:
            self.give_up()

    def give_up(self) -> None:
        """Discard buffered and all later text, also that of other libraries."""
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, self._stream.fileno())
        except (OSError, ValueError):  # a stream without a file descriptor
            self._stream = _nowhere()
        finally:
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped stream."""
        return getattr(self._stream, name)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (open until the end)


@contextlib.contextmanager
def kept_streams() -> Iterator[None]:
    """Keep a command running when its output is not read: `| head -1`, `>&- 2>&-`.

    A full disk under stdout is an error, because the text may be the command's result. Under stderr
    it is ignored, because the log file has all messages.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would get the number, and the text
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    out = KeptStream(sys.stdout, BrokenPipeError, lines=True)
    err = KeptStream(sys.stderr, OSError)  # progress bars move the terminal
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        err.flush()
        try:
            out.flush()
        except OSError:  # reported by now; Python would try again at its end
            out.give_up()


@contextlib.contextmanager
def ended_by_sigterm(say: Callable[[str], None]) -> Iterator[None]:
    """End a command on SIGTERM with status 143, unless it handles the signal itself.

    Args:
        say: Prints a line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal armed
        if number == signal.SIGTERM:
            say("stopped by SIGTERM")
        # In a destructor or a fork Python prints an exception and continues, so raise it again.
        armed = True
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before)


def spin_briefly() -> None:
    """Let OpenMP's waiting threads give up their core soon; call it before torch is imported.

    They spin at each barrier. Next to data workers and other programs, steps of a small network
    then take two to four times as long. With a short spin they take 3 to 6 % longer on an idle
    machine. A GOMP_SPINCOUNT or OMP_WAIT_POLICY that is set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SHORT_SPIN)


def refuse_torchrun(what: str) -> None:
    """Check that this process was not started by torchrun with several ranks.

    Raises:
        ConfigError: It was.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"{what} starts its own processes, so it cannot run under torchrun; give torchrun the "
            "commands that --dry-run prints"
        )
