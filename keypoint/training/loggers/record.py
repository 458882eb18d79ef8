"""A file in the run's folder with which a resumed run continues the log of a service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keypoint.files import read_json, write_json

FILE = "logger.json"


class Record:
    """The run's id at a service, and the last logged step of each tag.

    A killed run may have logged steps after its last checkpoint. They are computed again after
    `--resume`, and services cannot delete entries, so they must not be sent twice.

    Args:
        folder: The run's folder; a new run has no such file.
        service: Its name; the file has an entry for each, in case the logger is changed.

    Attributes:
        run: The id, None if this run was never logged there.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._file, self._service = folder / FILE, service
        self._entries: dict[str, Any] = {}
        if self._file.exists():
            self._entries = read_json(self._file, "the logger's run ids")
        entry = self._entries.get(service, {})
        self.run: str | None = entry.get("run")
        self._last: dict[str, int] = entry.get("last", {})

    def begin(self, run: str) -> None:
        """Store the id of the run at the service."""
        self.run = run
        self._write()

    def new(self, tags: Iterable[str], step: int) -> list[str]:
        """Return the tags that were not yet logged at this step."""
        return [tag for tag in tags if step > self._last.get(tag, -1)]

    def sent(self, tags: Iterable[str], step: int) -> None:
        """Store that these tags were logged up to this step."""
        self._last |= dict.fromkeys(tags, step)
        self._write()

    def _write(self) -> None:
        entry = {"run": self.run, "last": self._last}
        write_json(self._file, {**self._entries, self._service: entry})
