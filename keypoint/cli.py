"""What all commands share: the log on terminal and file; an error as one message and a status."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import re
import reprlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

logger = logging.getLogger("keypoint")


class _AroundProgressBars(logging.Handler):
    """Prints above a running progress bar in place of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def parser(description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """An argument parser with --debug, which `run` understands."""
    made = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return made


def whole_number(least: int) -> Callable[[str], int]:
    """A type of argument, refused while the command line is read: whole numbers from `least` on."""

    def read(text: str) -> int:
        # Nine digits are enough for anything that is counted here; int() takes "1_000" and "-1".
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"given {reprlib.repr(text)}; give a whole number from {least} to 999999999"
            )
        return int(text)

    return read


def log_to(folder: Path | None = None, quiet: bool = False) -> None:
    """Send the toolkit's messages to the terminal and, with a folder, to its log.txt.

    Args:
        folder: Made if it is not there.
        quiet: Warnings and errors only, on the terminal: for all ranks but the first.
    """
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    terminal = _AroundProgressBars(logging.WARNING if quiet else logging.INFO)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(terminal)
    if folder is not None and not quiet:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(folder / "log.txt", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(file)


def run(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Call a command and turn what it raises into a message and an exit status.

    Args:
        main: Takes the arguments after the command's name.
        argv: Those arguments; None for this process's.

    Returns:
        0; 2 usage or config, 3 data, 4 checkpoint, 5 numerics, 130 and 143 after a signal, 1
        anything else. The traceback goes to the log file, and to the terminal with --debug.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    keep_freed_memory()
    try:
        main(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        status = getattr(error, "exit_status", None)
        unexpected = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        text = str(error) if status else unexpected
        _to_log_file(error)
        if "--debug" in arguments:
            raise
        sys.stderr.write(f"error: {text}\n" if status not in (130, 143) else f"{text}\n")
        return status or 1
    return 0


def keep_freed_memory() -> bool:
    """Have glibc keep large freed blocks for the next tensors of their size.

    By default it gives them back to the system, which then fills every page of the next one with
    zeros: on two cores that was 45 % of a ResNet-50's training step at batch 8, and 15 % of its
    evaluation at batch 1 (docs/benchmarks.md). The process keeps the memory of its largest step.

    Returns:
        Whether it did; another C library has no such setting, and MALLOC_* of the environment is
        left as the user set it.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    # Older ones take no more than 32 MiB for the second, and the first alone would do harm.
    large = any(mallopt(mmap_threshold, size) for size in (2**31 - 1, 2**25))
    return large and bool(mallopt(trim_threshold, 2**31 - 1))


def _to_log_file(error: Exception) -> None:
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            traceback = (type(error), error, error.__traceback__)
            record = logger.makeRecord(
                logger.name, logging.ERROR, __file__, 0, "%s", (error,), traceback
            )
            handler.handle(record)
