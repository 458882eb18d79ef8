import warnings

import pytest


@pytest.fixture(autouse=True)
def no_warnings():
    """An overflow that numpy reports on stderr only is a number that is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield
