"""Errors that are not bugs, and the exit status of a command for each kind.

Every message answers three questions: what was given, what is allowed, what to do. It names the
file and the id or key, in at most three lines; if many entries of a file are faulty, the text has
the first, and `faults` has all. Programming errors are assertions and built-in exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

MOST_LINES = 3
MOST_LETTERS = 4_000  # per line; a path may have 4,096, but usually has a few hundred

E = TypeVar("E", bound="KeypointError")


def printable(text: str | Path) -> str:
    """Return a file's text or name on one line, with terminal control characters escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def _shortened(line: str) -> str:
    if len(line) <= MOST_LETTERS:
        return line
    half = MOST_LETTERS // 2
    return f"{line[:half]} .. {line[-half:]}"


class KeypointError(Exception):
    """Base class of errors that the user can fix.

    Args:
        text: Cause, place, what to do. Everything after its second line is joined to a third: a
            library's message or a file name may contain any number of lines. Lines are made
            printable, and the middle of long ones is cut.

    Attributes:
        faults: All faults, one line each, if the text has only the first; otherwise empty.
    """

    exit_status = 1
    faults: tuple[str, ...] = ()

    def __init__(self, text: str = "") -> None:
        lines = [_shortened(printable(line)) for line in text.splitlines()]
        last = " ".join(line.strip() for line in lines[MOST_LINES - 1 :])
        short = [*lines[: MOST_LINES - 1], f"  {last}"]
        super().__init__("\n".join(short if len(lines) > MOST_LINES else lines))

    @classmethod
    def of_many(cls: type[E], head: str, faults: Iterable[object], alike: str = "") -> E:
        """Create one error for several faults.

        Args:
            head: Their place and what to do, one line.
            faults: At least one.
            alike: Says how many of the faults that are not shown are like the first.
        """
        lines = [_shortened(printable(" ".join(str(fault).splitlines()))) for fault in faults]
        shown = lines if len(lines) < MOST_LINES else lines[:1]
        more = [f"and {len(lines) - 1} more{alike}; --debug lists all"] if shown != lines else []
        error = cls("\n  ".join([head, *shown, *more]))
        error.faults = tuple(lines) if more else ()
        return error


class ConfigError(KeypointError, ValueError):
    """A config file, an override or a command line is not valid."""

    exit_status = 2


class DataError(KeypointError, ValueError):
    """Annotations, images, person boxes or results cannot be used."""

    exit_status = 3


class CheckpointError(KeypointError, ValueError):
    """A checkpoint or weights file cannot be read or does not fit the network."""

    exit_status = 4


class ExportError(KeypointError, RuntimeError):
    """A checkpoint's network cannot be exported, or the exported one computes something else."""

    exit_status = 4


class OutputError(KeypointError, OSError):
    """A result file cannot be written: the disk is full or fails, or the folder is gone."""

    exit_status = 4


class NumericsError(KeypointError, ArithmeticError):
    """A number that training or scoring needs is not finite."""

    exit_status = 5


def lost_worker(error: BaseException) -> DataError | None:
    """Rephrase torch's error about a data worker process that ended or hung.

    Torch raises it at any point of the main process. Returns None for any other error.
    """
    text = str(error)
    if not isinstance(error, RuntimeError) or (
        "DataLoader worker" not in text and "DataLoader timed out" not in text
    ):
        return None
    return DataError(
        f"a worker process that reads data ended or hung ({text.splitlines()[0]}); it may have "
        "run out of memory or of /dev/shm: lower data.workers"
    )
