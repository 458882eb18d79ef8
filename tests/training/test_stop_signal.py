"""SIGTERM and Ctrl-C: noted, and the handlers put back afterwards."""

import os
import signal
import time

import pytest

from keypoint.training import stop_signal
from keypoint.training.stop_signal import Interrupted, StopSignal


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.number is None
        send(number)
        assert stop.number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_after_a_signal_ends_at_once(first):
    with StopSignal():
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_step_that_does_not_end_is_given_up():
    with StopSignal() as stop:
        stop.patience_s = 0.05
        send(signal.SIGTERM)
        with pytest.raises(Interrupted, match="in a step that did not end") as error:
            time.sleep(30)
        assert error.value.exit_status == 143


def test_a_step_is_limited_by_the_one_before_it(monkeypatch):
    monkeypatch.setattr(stop_signal, "PATIENCE_S", 0.05)
    with StopSignal() as stop:
        with stop.delayed(limited=True):
            assert stop.patience_s is None  # the first may compile for a minute
        with stop.delayed(limited=False):
            assert stop.patience_s is None
        step = stop.delayed(limited=True)
        step.__enter__()
        assert 0.05 <= stop.patience_s < 1
        send(signal.SIGTERM)
        with pytest.raises(Interrupted, match="in a step that did not end"):
            time.sleep(30)


@pytest.mark.parametrize("is_seen_first", [True, False])
def test_a_step_that_ends_is_not(is_seen_first):
    """Before the signal or after it: what follows the step has no limit."""
    with StopSignal() as stop:
        stop.patience_s = 0.05
        if is_seen_first:
            stop.seen()
        send(signal.SIGTERM)
        if not is_seen_first:
            stop.seen()
        time.sleep(0.1)


def test_a_wait_inside_a_library_that_came_back_is_no_hang(monkeypatch):
    """Python runs the handler late then: a rank that waited for another one's save continues."""
    monkeypatch.setattr(stop_signal, "LATE_S", -1.0)
    with StopSignal() as stop:
        stop.patience_s = 0.05
        send(signal.SIGTERM)
        time.sleep(0.2)
