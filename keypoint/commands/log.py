"""Log of a command: lines on the terminal and in the output folder's log.txt.

Also keeps the folders that a command makes; `run` removes those that stay empty.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tqdm import tqdm

from keypoint.errors import ConfigError, printable
from keypoint.files import make_folders

logger = logging.getLogger("keypoint")
made: list[Path] = []  # folders that this command made, the highest first


class _AroundProgressBars(logging.Handler):
    """Prints above a running progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Printable(logging.Formatter):
    """Escapes control characters, because messages contain names and texts of files."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


class _LogFile(logging.FileHandler):
    """A log file that is created by `keep_log`.

    Lines are held back until then, so that a refused command leaves no file. If the disk is full,
    this is reported once and logging to the file stops.
    """

    def __init__(self, path: Path) -> None:
        self.held: list[logging.LogRecord] | None = []
        is_new = not path.exists()
        path.open("a").close()  # refused now, not when the work starts
        if is_new:
            path.resolve().unlink()  # it may be a link
        super().__init__(path, encoding="utf-8", delay=True)

    def keep(self) -> None:
        """Write the lines held back, and all later ones."""
        held, self.held = self.held or [], None
        if self.stream is None:
            make_folders(Path(self.baseFilename).parent)
            self.stream = self._open()
        for record in held:
            self.emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        if self.held is not None:
            self.held.append(record)
        else:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[1]
        logger.removeHandler(self)
        logger.warning("%s: can no longer be written (%s)", self.baseFilename, error)


def log_to(folder: Path | None = None, quiet: bool = False) -> None:
    """Send the toolkit's messages to the terminal and, with a folder, to its log.txt.

    The file is created by `keep_log`.

    Args:
        folder: Folder of the log file, made if it does not exist.
        quiet: Only warnings and errors on the terminal: for all ranks but the first.
    """
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    terminal = _AroundProgressBars(logging.WARNING if quiet else logging.INFO)
    terminal.setFormatter(_Printable("%(message)s"))
    logger.addHandler(terminal)
    if folder is not None:
        make_folder(folder, "output")
        try:
            file = _LogFile(folder / "log.txt")
        except OSError as error:
            raise _no_log(folder / "log.txt", error) from None
        file.setFormatter(_Printable("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(file)


def keep_log() -> None:
    """Start writing the log file, once the command has passed its checks.

    Raises:
        ConfigError: It cannot be written.
    """
    for handler in log_files():
        try:
            handler.keep()
        except OSError as error:
            logger.removeHandler(handler)
            raise _no_log(Path(handler.baseFilename), error) from None


def _no_log(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output: {path} cannot be written ({error.strerror}); give another folder")


def make_folder(folder: Path, option: str) -> None:
    """Make a folder that a command writes to, and its parents, if they do not exist.

    `run` removes those that are still empty when the command ends.

    Args:
        folder: The folder.
        option: Option that gives the folder, for the error.

    Raises:
        ConfigError: The folder cannot be made, or a file of that name exists.
    """
    try:
        made.extend(make_folders(folder))
    except OSError as error:
        raise ConfigError(
            f"{option}: cannot make the folder {folder} ({error.strerror}); give another folder"
        ) from None


def log_files() -> list[_LogFile]:
    """Return the open log files, at most one."""
    return [handler for handler in logger.handlers if isinstance(handler, _LogFile)]


def close_log() -> None:
    """Close the log file; the next command of this process opens its own."""
    for handler in log_files():
        logger.removeHandler(handler)
        handler.close()


def print_result(text: str) -> None:
    """Print the result of a command on stdout, and write it to the log file."""
    print(text)
    for handler in log_files():
        handler.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 0, text, (), None))


def add_error(error: Exception) -> None:
    """Write an error to the log file, with its faults and traceback; of a signal only its text."""
    text = "\n  ".join([str(error), *getattr(error, "faults", ())])
    of_signal = getattr(error, "exit_status", None) in (130, 143)
    traceback = None if of_signal else (type(error), error, error.__traceback__)
    level = logging.WARNING if of_signal else logging.ERROR
    for handler in log_files():
        record = logger.makeRecord(logger.name, level, __file__, 0, "%s", (text,), traceback)
        handler.handle(record)
