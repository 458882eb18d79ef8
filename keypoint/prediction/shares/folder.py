"""Folders of the shares, `OUTPUT/shards/3-of-8`: their locks, and which are finished or missing.

run.json identifies the run of a share, events.jsonl grows with its inputs, and done.json appears
when it is complete. A lock of the system (flock) prevents a second process from working on a share;
it ends with its process in any case.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from keypoint.errors import ConfigError, printable
from keypoint.files import make_folders, read_json, remove_empty, write_json
from keypoint.prediction.drawing import CROPS, PICTURES
from keypoint.prediction.inputs.find import Input
from keypoint.prediction.shares.identity import Identity, difference
from keypoint.prediction.shares.split import Share
from keypoint.prediction.shares.stored import IncompleteError, stored_events
from keypoint.prediction.stream import Predicted

SHARDS = "shards"
EVENTS, RUN, DONE, LOCK = "events.jsonl", "run.json", "done.json", ".lock"
PUBLISHING = "publishing"  # exists once the merge has started to write to the output folder

logger = logging.getLogger(__name__)


class Shards:
    """The folders of a run's shares.

    Args:
        output: The output folder of the run.
        of: Number of shares.

    Attributes:
        folder: `OUTPUT/shards`.
    """

    def __init__(self, output: Path, of: int) -> None:
        self.output = output
        self.of = of
        self.folder = output / SHARDS

    def of_share(self, number: int) -> Path:
        """Return the folder of a share."""
        return self.folder / f"{number}-of-{self.of}"

    @property
    def publishing(self) -> Path:
        """Return the path of a file that marks results in the output folder as this run's."""
        return self.folder / PUBLISHING

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context in which no other process starts a share or merges; waits for the lock.

        Raises:
            ConfigError: The folder cannot be written to.
        """
        path = self.folder / LOCK
        try:
            file = _opened(path)
            while not (_lock(file, wait=True) and _is_still(path, file)):
                file.close()  # another process has merged, and removed the folder
                file = _opened(path)
        except OSError as error:
            raise ConfigError(
                f"--output {self.output}: {printable(self.folder)} cannot be written to "
                f"({error.strerror}); give another folder, or free some space"
            ) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a refused command leaves no folder
                remove_empty([each for each in self.folder.iterdir() if each.is_dir()])
                if [each.name for each in self.folder.iterdir()] == [LOCK]:
                    path.unlink()
            file.close()  # before its folder is removed: NFS renames an open file in it
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    @contextlib.contextmanager
    def taken(self, share: Share, run: Identity, overwrite: bool) -> Iterator[None]:
        """Context in which only this process works on a share; enter it inside `locked`.

        Args:
            share: The share.
            run: Values from `identify`.
            overwrite: Remove its results so far.

        Raises:
            ConfigError: Another process works on it, or the folder contains shares of another run.
        """
        self._require_same(run)
        folder = self.of_share(share.number)
        make_folders(folder)
        file = (folder / LOCK).open("a+", encoding="utf-8")
        with contextlib.closing(file):
            if not _lock(file, wait=False):
                file.seek(0)
                raise ConfigError(
                    f"--output {self.output}: another process is working on {share} "
                    f"({file.read(200).strip() or 'unknown'}); wait for it, or stop it"
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            if overwrite:
                for name in (DONE, EVENTS):
                    (folder / name).unlink(missing_ok=True)
                for name in (PICTURES, CROPS):
                    shutil.rmtree(folder / name, ignore_errors=True)
            write_json(folder / RUN, {"share": share.number, "of": self.of, "run": run})
            yield

    def is_done(self, number: int) -> bool:
        """Return whether all inputs of a share are predicted."""
        return (self.of_share(number) / DONE).exists()

    def states(self) -> dict[str, list[int]]:
        """Return the numbers of the shares by state: done, running, stopped or not started."""
        found: dict[str, list[int]] = {}
        for number in range(1, self.of + 1):
            found.setdefault(self._state(number), []).append(number)
        return found

    def _state(self, number: int) -> str:
        folder = self.of_share(number)
        if not (folder / RUN).exists():
            return "not started"
        with (folder / LOCK).open("a+") as file:
            if not _lock(file, wait=False):
                return "running"
        return "done" if self.is_done(number) else "stopped"

    def _require_same(self, run: Identity) -> None:
        """Refuse to mix shares of different runs.

        Raises:
            ConfigError: The folder contains a share of another run; names it and what differs.
        """
        for folder in sorted(self.folder.iterdir()):
            match = re.fullmatch("([0-9]+)-of-([0-9]+)", folder.name)
            if match is None or not (folder / RUN).exists():
                continue
            there = f"--output {self.output}: {printable(folder)} is a share of another run"
            remedy = f"give another --output, or remove {printable(self.folder)} to start over"
            if int(match[2]) != self.of:
                raise ConfigError(
                    f"{there}, of {match[2]} shares and not {self.of}; continue with {match[2]}, "
                    f"{remedy}"
                )
            differs = difference(read_json(folder / RUN, "a share").get("run", {}), run)
            if differs:
                raise ConfigError(f"{there}, which differs in {differs}; {remedy}")


def require_no_shards(output: Path) -> None:
    """Refuse to run without shares in a folder that contains shares.

    Raises:
        ConfigError: It does.
    """
    folder = output / SHARDS
    if folder.exists():
        raise ConfigError(
            f"--output {output} contains {SHARDS}, the shares of an unfinished run; finish it with "
            f"the same command, remove {printable(folder)}, or give another --output"
        )


def continue_share(folder: Path, inputs: Sequence[Input], num_keypoints: int) -> tuple[int, int]:
    """Read the progress of an earlier process, and remove its incomplete last input.

    Args:
        folder: Folder of the share.
        inputs: Inputs of the share.
        num_keypoints: Number of keypoints of each person.

    Returns:
        The number of finished inputs, and how many images and frames were numbered for them.
    """
    done = numbered = end = 0
    with (folder / EVENTS).open("a+b") as file:
        file.seek(0)
        for one in inputs:
            try:
                events = [stored.event for stored in stored_events(file, one, num_keypoints)]
            except IncompleteError:
                break
            frames = sum(isinstance(event, Predicted) for event in events)
            numbered += frames if one.is_video else 1
            done, end = done + 1, file.tell()
        file.truncate(end)
    return done, numbered


def numbers_in_words(states: dict[str, list[int]]) -> str:
    """Format shares that are not done: `running: 2, 3; not started: 4, 5, 6 and 12 more`."""
    texts = []
    for state, numbers in states.items():
        if state != "done":
            more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
            texts.append(f"{state}: {', '.join(map(str, numbers[:8]))}{more}")
    return "; ".join(texts)


def _opened(path: Path) -> IO[str]:
    while True:
        make_folders(path.parent)
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            return path.open("a+", encoding="utf-8")


def _lock(file: IO[str], *, wait: bool) -> bool:
    """Lock an open file; return False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        logger.warning(
            "%s cannot be locked (%s); make sure that no two processes work on one share",
            file.name,
            error.strerror,
        )
    return True


def _is_still(path: Path, file: IO[str]) -> bool:
    """Return whether a path names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
