"""Fixtures of the tests of configs."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a config's text into a file, and gives its path."""

    def write_config(text):
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_config
