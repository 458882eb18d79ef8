"""A file in the run's folder that a resumed run continues the log of a service with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keypoint.files import read_json, write_json

FILE = "logger.json"


class Record:
    """The run's id at a service, and the last step of each tag that the service was given.

    A killed run has logged steps that came after its last checkpoint. They are computed again after
    `--resume`, and no service takes back what it was given, so they must not be sent twice.

    Args:
        folder: The run's folder; without the file if the run is new.
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
        """Keep the id that the service knows the run by."""
        self.run = run
        self._write()

    def new(self, tags: Iterable[str], step: int) -> list[str]:
        """Those of the tags that have not been given to the service at this step."""
        return [tag for tag in tags if step > self._last.get(tag, -1)]

    def sent(self, tags: Iterable[str], step: int) -> None:
        """Keep that the service has these tags up to this step."""
        self._last |= dict.fromkeys(tags, step)
        self._write()

    def _write(self) -> None:
        entry = {"run": self.run, "last": self._last}
        write_json(self._file, {**self._entries, self._service: entry})
