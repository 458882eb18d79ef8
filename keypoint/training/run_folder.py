"""The output folder of a training: one run at a time, writable, free of what a dead run left."""

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

logger = logging.getLogger(__name__)

# What a run writes, and a new one in its place must not be mistaken for.
OF_A_RUN = (
    "last.pt", "best.pt", "history.json", "curves.png", "metrics.json", "results.json",
    "card.md", "predictions.jpg", "worst.jpg", "events.out.tfevents.*",
)  # fmt: skip
LEFT_BY_DEAD = (".last.pt.tmp", ".best.pt.tmp", ".*.json.*.tmp", ".probe.*.tmp")
PROBE_BYTES = 2**20


class RunFolder:
    """A folder held by this process until it ends, however it ends.

    The lock is the system's (fcntl), so a killed run leaves none behind, and worker processes do
    not hold it on.

    Args:
        path: The folder; made if it is not there.

    Raises:
        ConfigError: It cannot be made or written to, or another run holds it: the text names its
            process and host.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._file = self._lock()
            _probe(path)
        except OSError as error:
            raise ConfigError(
                f"output: {path} cannot be written to ({error.strerror}); give another place, or "
                "make room there"
            ) from None
        for left in (file for pattern in LEFT_BY_DEAD for file in path.glob(pattern)):
            left.unlink(missing_ok=True)
            logger.info("%s: removed, left by a run that was killed while writing", left)

    def _lock(self) -> IO[str]:
        file = (self.path / ".lock").open("a+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
                logger.warning(
                    "%s: cannot be locked (%s); take care that no other run writes there",
                    self.path,
                    error.strerror,
                )
                return file
            file.seek(0)
            owner = file.read(200).strip() or "unknown"
            raise ConfigError(
                f"output: {self.path} is being written to by another run ({owner}); wait for it, "
                "stop it, or give another output="
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        return file

    def clear(self) -> None:
        """Remove what an earlier run left, when a new one begins in its place."""
        for pattern in OF_A_RUN:
            for file in self.path.glob(pattern):
                file.unlink()

    def close(self) -> None:
        """Give the folder free."""
        self._file.close()


def _probe(path: Path) -> None:
    """See that a file can be written, before hours of work depend on it."""
    probe = path / f".probe.{os.getpid()}.tmp"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
