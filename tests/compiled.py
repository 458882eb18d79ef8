"""Tests of compiled code: what is there is tested, and what is missing is no success."""

import os

import pytest

from keypoint.compiled.libraries import libraries, state


def with_library(monkeypatch, user, number):
    """Have a module use one of the libraries, 0 the quickest, or None: PyTorch.

    A test that never runs proves nothing: `.ci/run` sets REQUIRE_COMPILED.
    """
    found = () if number is None else libraries()[number : number + 1]
    if number == 0 and not found and os.environ.get("REQUIRE_COMPILED"):
        pytest.fail(f"compiled code is {state()} (REQUIRE_COMPILED is set: no reason to skip)")
    if number is not None and not found:
        pytest.skip(f"no library number {number} on this machine; compiled code is {state()}")
    monkeypatch.setattr(user, "libraries", lambda: found)
