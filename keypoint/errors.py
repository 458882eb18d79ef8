"""Errors that are no fault of the code, and the exit status with which each kind ends a command.

Every message answers three questions: what was given, what is allowed, what to do. It names the
file and the id or key, in at most three lines; if many entries of a file are at fault the text
has the first, and `faults` all. Programming errors stay assertions and built-in exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

MOST_LINES = 3
MOST_LETTERS = 4_000  # of a line; a path has up to 4,096, and those of people a few hundred

E = TypeVar("E", bound="KeypointError")


def printable(text: str | Path) -> str:
    """Return a text of a file, or its name, on one line: what would move a terminal is escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def _shortened(line: str) -> str:
    if len(line) <= MOST_LETTERS:
        return line
    half = MOST_LETTERS // 2
    return f"{line[:half]} .. {line[-half:]}"


class KeypointError(Exception):
    """Any error that the user can fix; never raised itself.

    Args:
        text: Cause, place, what to do. What comes after its second line is joined to a third: a
            library's own text that is quoted, or a file's name, may hold any number of lines. Lines
            are made printable, and long ones lose their middle.

    Attributes:
        faults: All faults, a line each, if the text has only the first; else empty.
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
        """Make the error of several faults, to be fixed together.

        Args:
            head: What they are of and what to do, one line.
            faults: At least one.
            alike: How many of those that are not shown are like the first, in words.
        """
        lines = [_shortened(printable(" ".join(str(fault).splitlines()))) for fault in faults]
        shown = lines if len(lines) < MOST_LINES else lines[:1]
        more = [f"and {len(lines) - 1} more{alike}; --debug lists all"] if shown != lines else []
        error = cls("\n  ".join([head, *shown, *more]))
        error.faults = tuple(lines) if more else ()
        return error


class ConfigError(KeypointError, ValueError):
    """A config file, an override or a command line that does not fit."""

    exit_status = 2


class DataError(KeypointError, ValueError):
    """Annotations, images, person boxes or results that cannot be used."""

    exit_status = 3


class CheckpointError(KeypointError, ValueError):
    """A checkpoint or weights file that cannot be read or does not fit the network."""

    exit_status = 4


class ExportError(KeypointError, RuntimeError):
    """A checkpoint's network that cannot be written in another form, or comes out different."""

    exit_status = 4


class OutputError(KeypointError, OSError):
    """A file of results that cannot be written: a full or failing disk, a folder that is gone."""

    exit_status = 4


class NumericsError(KeypointError, ArithmeticError):
    """A number that is not finite although training or scoring needs one."""

    exit_status = 5


def lost_worker(error: BaseException) -> DataError | None:
    """Torch's error of a worker process that reads data and ended or hung, put for users.

    It is raised wherever the main process happens to be. None for any other error.
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
