"""keypoint info without a network: what is installed."""

import json

import keypoint
from keypoint.compiled.libraries import state
from tests.calling import tool


def test_the_installation(capsys):
    assert tool("info") == 0
    assert f"compiled code: {state()}\n" in capsys.readouterr().out
    assert tool("info", "--json") == 0
    here = json.loads(capsys.readouterr().out)
    assert here["keypoint"] == keypoint.__version__
    assert here["device"].startswith(("cpu", "cuda"))
