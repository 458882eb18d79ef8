"""What the README shows works as it stands there."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.config import find_config, load_config
from tests import tiny_network

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"(tools/\w+\.py)([^\n`#]*)", README)))


def small_checkpoint(path):
    path.parent.mkdir(parents=True)
    tiny_network.checkpoint(path)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_python_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("image.jpg", np.full((300, 200, 3), 90, np.uint8))
    small_checkpoint(tmp_path / "output" / "demo" / "best.pt")
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), {})  # noqa: S102


def test_there_is_python_to_run():
    assert len(SNIPPETS) == 5


@functools.cache
def help_of(tool):
    command = [sys.executable, str(REPOSITORY / tool), "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("tool", "arguments"), COMMANDS, ids=lambda value: value.strip())
def test_commands_exist_with_their_options_and_configs(tool, arguments):
    text = help_of(tool)
    for option in re.findall(r"--[a-z-]+", arguments):
        assert option in text, f"{tool} has no {option}"
    config = re.search(r"--cfg (\S+)", arguments)
    if config and "<" not in config[1]:
        overrides = [word for word in arguments.split() if "=" in word]
        load_config(find_config(config[1]), overrides)


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in set(re.findall(r"make ([\w-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
