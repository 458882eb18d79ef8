"""Results in order, errors at their place, and never more bytes than allowed."""

import threading
import time
from contextlib import closing

import pytest

from keypoint.prediction.ahead import ahead


def test_in_order_whatever_finishes_first():
    def call(i):
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i

    calls = ((1, lambda i=i: call(i)) for i in range(20))
    assert list(ahead(calls, threads=4, most=8, most_bytes=100)) == list(range(20))
    assert list(ahead([], threads=4, most=8, most_bytes=100)) == []


@pytest.mark.parametrize(("size", "most", "allowed"), [(40, 8, 2), (500, 8, 1), (0, 3, 3)])
def test_what_waits_is_bounded_by_bytes_and_number(size, most, allowed):
    lock, there, largest = threading.Lock(), [0], [0]

    def call():
        with lock:
            there[0] += 1
            largest[0] = max(largest[0], there[0])
        return size

    for _ in ahead(((size, call) for _ in range(30)), threads=4, most=most, most_bytes=100):
        time.sleep(0.005)  # the threads have time to go too far
        with lock:
            there[0] -= 1
    assert allowed <= largest[0] <= allowed + 1  # and the one that is out


def test_an_error_comes_at_its_place_and_the_threads_end():
    before = threading.active_count()
    calls = [(1, lambda: 0), (1, lambda: 1 / 0), (1, lambda: 2)]
    results = ahead(calls, threads=2, most=8, most_bytes=100)
    assert next(results) == 0
    with pytest.raises(ZeroDivisionError):
        next(results)
    with closing(ahead(((1, time.time) for _ in range(100)), 2, 8, 100)) as more:
        next(more)
    assert threading.active_count() == before
