"""Fixtures of the tests of training."""

import logging

import pytest


@pytest.fixture
def warnings(caplog, monkeypatch):
    """The toolkit's warnings, in `warnings.text`."""
    monkeypatch.setattr(logging.getLogger("keypoint"), "propagate", True)
    caplog.set_level(logging.WARNING, "keypoint")
    return caplog
