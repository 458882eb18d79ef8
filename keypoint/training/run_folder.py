"""The output folder of a training run: locked, writable, without files of a killed run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from pathlib import Path
from typing import IO

from keypoint.errors import ConfigError
from keypoint.files import make_folders, remove_empty

logger = logging.getLogger(__name__)

# Files that a run writes, removed when another one replaces it.
OF_A_RUN = (
    "last.pt", "best.pt", "history.json", "curves.png", "metrics.json", "results.json",
    "card.md", "predictions.jpg", "worst.jpg", "events.out.tfevents.*", "logger.json",
)  # fmt: skip
LEFT_BY_DEAD = (".last.pt.*tmp", ".best.pt.*tmp", ".*.json.*.tmp", ".probe.*.tmp")
PROBE_BYTES = 2**20


class RunFolder:
    """A folder locked by this process until it ends, even if it is killed.

    The lock is the system's (fcntl), so a killed run leaves none behind, and worker processes do
    not keep it.

    Args:
        path: The folder; created if it does not exist.

    Raises:
        ConfigError: It cannot be created or written to, or another run has locked it: the text
            names that run's process and host.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._file: IO[str] | None = None
        self._owner_before: str | None = None  # None: there was no lock file
        try:
            self._made = make_folders(path)
            self._lock()
            _probe(path)
        except OSError as error:
            self.withdraw()
            raise ConfigError(
                f"output: {path} cannot be written to ({error.strerror}); give another folder, or "
                "free some space"
            ) from None
        for left in (file for pattern in LEFT_BY_DEAD for file in path.glob(pattern)):
            left.unlink(missing_ok=True)
            logger.info("%s: removed; a run was killed while writing it", left)

    def withdraw(self) -> None:
        """Restore the folder, for a run that is refused before it starts."""
        with contextlib.suppress(OSError):  # a full disk, which is reported by now
            if self._file is not None and self._owner_before is None:
                (self.path / ".lock").unlink(missing_ok=True)
            elif self._file is not None:
                self._file.truncate(0)
                self._file.write(self._owner_before or "")
        with contextlib.suppress(OSError):  # it still has buffered data that cannot be written
            self.close()
        remove_empty(self._made)

    def _lock(self) -> None:
        is_there = (self.path / ".lock").exists()
        file = (self.path / ".lock").open("a+", encoding="utf-8")
        file.seek(0)
        owner = file.read(200)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.close()
                raise ConfigError(
                    f"output: {self.path} is being written to by another run "
                    f"({owner.strip() or 'unknown'}); wait for it, stop it, or give another output="
                ) from None
            logger.warning(
                "%s: cannot be locked (%s); make sure that no other run writes to it",
                self.path,
                error.strerror,
            )
        self._file, self._owner_before = file, owner if is_there else None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()

    def clear(self) -> None:
        """Remove the files of an earlier run, when a new one replaces it."""
        for pattern in OF_A_RUN:
            for file in self.path.glob(pattern):
                file.unlink()

    def close(self) -> None:
        """Release the folder."""
        if self._file is not None:
            self._file.close()


def finds_run(output: Path, *, resume: bool, overwrite: bool) -> bool:
    """Return whether a folder contains a run to resume.

    Args:
        output: The folder, which need not exist.
        resume: Continue the run in it.
        overwrite: Replace the run in it.

    Raises:
        ConfigError: The folder contains another run and neither option is given, or the run
            cannot be resumed.
    """
    last = output / "last.pt"
    there = [name for name in ("last.pt", "best.pt", "history.json") if (output / name).exists()]
    if there and not resume and not overwrite:
        raise ConfigError(
            f"{output} contains another run; --resume continues it, --overwrite starts over, "
            "output=DIR writes to another folder"
        )
    if there and resume and not last.exists():
        raise ConfigError(
            f"{output} has {' and '.join(there)} of another run, but no last.pt to resume from; "
            "--overwrite starts over, output=DIR writes to another folder"
        )
    return resume and last.exists()


def _probe(path: Path) -> None:
    """Check that a file can be written, before training starts."""
    probe = path / f".probe.{os.getpid()}.tmp"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
