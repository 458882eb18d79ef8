"""Fixtures of the tests of commands."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """For trainings of a moment: with two threads each step waits for both, on a busy machine long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
