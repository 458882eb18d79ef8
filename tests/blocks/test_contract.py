"""Every block keeps every promise of `contract`."""

import pytest

from tests.blocks.contract import CASES, PROMISES


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_contract(name, promise):
    promise(CASES[name])
