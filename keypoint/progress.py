"""Progress with ETA: a bar on a terminal, plain lines in a log file or a pipe."""

from __future__ import annotations

import math
import sys
from typing import Any

from tqdm import tqdm

STEADY_SECONDS = 10.0  # between plain lines
LINE = "{desc}: {n_fmt}/{total_fmt}, {rate_fmt}, {elapsed} so far, {remaining} to go{postfix}"
ENDLESS = "{desc}: {n_fmt}, {rate_fmt}, {elapsed} so far{postfix}"  # a camera


class _Bar(tqdm):  # type: ignore[type-arg]
    """tqdm that counts what an earlier run has done."""

    def skip(self, number: int) -> None:
        """Count units that an earlier run has done; they say nothing about this one's speed."""
        self.initial = self.n = number
        self.refresh()


class _Lines(_Bar):
    """tqdm as a line of its own every ten seconds, and one at the end."""

    def __init__(self, *, total: int | None, **options: Any) -> None:
        super().__init__(
            total=total,
            bar_format=ENDLESS if total is None else LINE,
            miniters=1,
            mininterval=STEADY_SECONDS,
            delay=STEADY_SECONDS,
            **options,
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the line."""
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def set_postfix(
        self, ordered_dict: Any = None, refresh: bool | None = False, **numbers: Any
    ) -> None:
        """Show numbers at the end of the next line."""
        super().set_postfix(ordered_dict, refresh, **numbers)

    def skip(self, number: int) -> None:
        """Count units that an earlier run has done, in the next line."""
        self.initial = self.n = self.last_print_n = number

    def close(self) -> None:
        """Write the last line."""
        if not self.disable and self.n:
            self.display()
        self.delay = math.inf  # for tqdm nothing was shown, so it has nothing to clear
        super().close()


def progress(total: int | None, text: str, unit: str, enabled: bool = True) -> Any:
    """A bar with rate and ETA on a terminal, plain lines elsewhere, nothing if not enabled.

    Returns:
        A context manager with `update(number)`, `skip(number)` and `set_postfix(name=text)`.
    """
    kind = _Bar if sys.stderr.isatty() else _Lines
    return kind(
        total=total,
        desc=text,
        unit=unit,
        disable=not enabled,
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    )
