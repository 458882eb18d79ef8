"""What a user meets before a command begins to work: help, devices, typos."""

import os
import re

import pytest

from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from tests.end_to_end.test_check_data import TOOLS, tool

WITH_EXAMPLES = sorted(p.stem for p in TOOLS.glob("*.py") if "\nexamples:\n" in p.read_text().replace('"""', "\n"))  # fmt: skip


@pytest.mark.parametrize("name", ["cpu:3", "mps", "meta", "gpu", "cuda:x", "xpu", " "])
def test_only_devices_that_this_toolkit_runs_on(name):
    with pytest.raises(
        ConfigError, match=r"device='.*' is unknown; give cpu, cuda or cuda:NUMBER$"
    ):
        choose_device(name)
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("path", sorted(TOOLS.glob("*.py")), ids=lambda path: path.name)
def test_commands_can_be_called_and_nothing_else_looks_like_one(path):
    """By name, as the README does: a `#!` line and the right to execute."""
    is_command = "\ndef main(" in path.read_text()
    assert path.read_text().startswith("#!/usr/bin/env python\n") == is_command
    assert os.access(path, os.X_OK) == is_command


def test_there_are_examples():
    assert {"train", "test", "check_data", "import_weights"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_can_be_pasted(name, capsys, monkeypatch):
    """A line that goes on ends with a backslash; one swallowed by Python leaves a gap."""
    monkeypatch.syspath_prepend(str(TOOLS))
    with pytest.raises(SystemExit):
        tool(name, "--help")
    examples = capsys.readouterr().out.partition("examples:")[2]
    for line in examples.splitlines():
        assert not re.match(r"  (tools/|make ).*\S {4,}\S", line), line
        assert not re.match(r"  [a-z]+\.[a-z_]+=", line), line


def test_the_demo_tells_a_typo_before_it_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "keypoint.data.synthetic.demo_set.write_demo_set", None
    )  # would fail at once
    assert tool("demo", "train.epoch=1") == 2
    assert "train.epoch: no such key; did you mean epochs?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
