"""A thread for a client that waits for its server in every call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Background:
    """Runs jobs in another thread, in order; stops at the first failure.

    The thread does not keep the process alive.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], object]) -> None:
        """Add a job.

        Raises:
            Exception: The exception of an earlier job.
        """
        if self._failure is not None:
            raise self._failure
        self._jobs.put(job)

    def finish(self, timeout_s: float) -> None:
        """Wait until all jobs are done.

        Raises:
            TimeoutError: They take longer.
            Exception: The exception of a job.
        """
        self._jobs.put(None)
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure
        if self._thread.is_alive():
            raise TimeoutError(f"no answer within {timeout_s:g} s")

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self._failure = error
                return
