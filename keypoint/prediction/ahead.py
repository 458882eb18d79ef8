"""Work done ahead on threads, in order, and never more of it than memory is meant for.

Decoding releases Python's lock, so threads do it beside the network. Images are of any size, so
what waits is bounded by bytes as well as by number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
BYTES_AHEAD = 2**28  # of decoded pixels that wait: 0.27 GB, or one larger image


def ahead(
    calls: Iterable[tuple[int, Callable[[], T]]], threads: int, most: int, most_bytes: int
) -> Generator[T, None, None]:
    """Results of calls in their order, while later ones are worked on.

    Args:
        calls: About how many bytes a result takes, and what makes it; taken from the iterable when
            there is room.
        threads: That work; with 1 the calls are made one after the other.
        most: Results that wait or are worked on.
        most_bytes: Of all of those; one larger than that is made alone.

    Raises:
        Exception: Of the first call that raises; calls behind it may have been made.
    """
    waiting: deque[tuple[int, Future[T]]] = deque()
    held = 0
    rest = iter(calls)
    following = next(rest, None)
    pool = ThreadPoolExecutor(threads)
    try:
        while waiting or following:
            while following and (
                not waiting or (len(waiting) < most and held + following[0] <= most_bytes)
            ):
                size, call = following
                waiting.append((size, pool.submit(call)))
                held += size
                following = next(rest, None)
            size, first = waiting.popleft()
            result = first.result()
            del first  # it holds the result, which the caller may want to be rid of
            held -= size
            yield result
            del result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
