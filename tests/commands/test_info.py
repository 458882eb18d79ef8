"""keypoint info without a network: what is installed."""

import json

from keypoint.blocks.spectral import compiled
from tests.calling import tool


def test_the_installation(capsys):
    assert tool("info") == 0
    assert f"compiled SRL-FFT: {compiled.state()}\n" in capsys.readouterr().out
    assert tool("info", "--json") == 0
    here = json.loads(capsys.readouterr().out)
    assert here["keypoint"] == "0.1.0"
    assert here["device"].startswith(("cpu", "cuda"))
