"""tools/benchmarks/networks.py prints a row for each network, and says which one failed."""

import importlib

import pytest

from keypoint.commands import cli
from tests.test_readme import REPOSITORY


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "tools" / "benchmarks")
    return importlib.import_module("networks")


def test_each_network_has_a_row_and_a_failed_one_is_named(networks, capsys):
    names = ["networks:small_unet", "timm/no_such_model"]
    few = ["--images", "12", "--epochs", "1", "--forms", ".pt2"]
    assert cli.run(networks.main, [*names, *few]) == 2
    printed = capsys.readouterr()
    head, line, own, failed = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in printed.out.splitlines()
        if line.startswith("|")
    ]
    assert tuple(head) == networks.HEAD
    assert set(line) == {"---"}
    cells = dict(zip(head, own, strict=True))
    model = networks.small_unet(17, networks.SIZE)
    assert cells["parameters"] == f"{sum(p.numel() for p in model.parameters()):,}"
    assert cells["heatmaps"] == "17 x 32 x 24"
    assert cells["as published"] == cells["ONNX differs by"] == "-"
    assert float(cells["torch.export differs by"]) < 1e-4
    assert cells["checkpoint"] == "same"
    assert 0 <= float(cells["AP"]) <= 1
    assert failed[:2] == ["`timm/no_such_model`", failed[1]]
    assert "has no model 'no_such_model'" in failed[1]
    assert "1 of 2 networks failed; timm/no_such_model" in printed.err


def test_names_become_keys_and_published_figures_are_of_timm(networks):
    assert networks.overrides_of("timm/x.y") == ["model.network=simple_baseline", "model.encoder=timm/x.y"]  # fmt: skip
    assert networks.overrides_of("hrnet_w32")[0] == "model.network=hrnet_w32"
    assert networks.published("timm/convnext_atto.d2_in1k", None) == "3.70 / 3.70"
    assert networks.published("resnet18", None) == "11.69 / 11.69"
    assert networks.published("networks:small_unet", None) == "-"
