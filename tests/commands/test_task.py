"""A command line goes to the task that its config or checkpoint, or --task, names."""

import os
import subprocess
import sys

import pytest
import torch

from keypoint.commands.task import task_in, task_of_files
from keypoint.errors import ConfigError
from tests.action import tiny_checkpoint
from tests.calling import REPOSITORY, tool


def test_the_word_task_is_taken_out():
    assert task_in(["--cfg", "x", "--task", "action", "a=1"]) == ("action", ["--cfg", "x", "a=1"])
    assert task_in(["--task=keypoints", "b"]) == ("keypoints", ["b"])
    assert task_in(["a", "--", "--task", "action"]) == (None, ["a", "--", "--task", "action"])
    assert task_in([]) == (None, [])
    with pytest.raises(ConfigError, match="--task poses: give one of keypoints and action"):
        task_in(["--task", "poses"])
    with pytest.raises(ConfigError, match="--task : give one of"):
        task_in(["--task"])


def test_a_config_says_its_task(tmp_path):
    (tmp_path / "a.yaml").write_text("task: action\n")
    (tmp_path / "k.yaml").write_text("seed: 1\n")
    (tmp_path / "broken.yaml").write_text("task: [\n")
    for words, task in (
        (["--cfg", f"{tmp_path}/a.yaml"], "action"),
        ([f"--cfg={tmp_path}/a.yaml", "seed=2"], "action"),
        (["--cfg", f"{tmp_path}/k.yaml"], "keypoints"),
        (["--cfg", f"{tmp_path}/broken.yaml"], "keypoints"),
        (["--cfg", f"{tmp_path}/none.yaml"], "keypoints"),
        (["--cfg"], "keypoints"),
        ([], "keypoints"),
    ):
        assert task_of_files(words) == task, words


IMPORTED = """
import os, sys
from keypoint.commands import task
original = task.import_module
def noted(name):
    if ".options" not in name:
        print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))
        raise SystemExit
    return original(name)
task.import_module = noted
task.command_of(sys.argv[1], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("words", "given", "value"),
    [
        (("train", "--cfg", "echo.yaml"), {}, "2000"),
        (("train", "--cfg", "echo.yaml"), {"GOMP_SPINCOUNT": "7"}, "7"),
        (("train", "--cfg", "echo.yaml"), {"OMP_WAIT_POLICY": "active"}, "None"),
        (("train", "--cfg", "demo.yaml"), {}, "None"),
        (("complexity", "--cfg", "echo.yaml"), {}, "None"),
    ],
)
def test_threads_of_a_training_on_videos_spin_briefly(words, given, value):
    """OpenMP reads the variable when torch is imported."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP", "OMP"))}
    called = [sys.executable, "-c", IMPORTED, *words]
    done = subprocess.run(
        called, env=plain | given, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"False {value}\n"


def test_a_checkpoint_that_is_none_is_left_to_the_command(tmp_path, capsys):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    assert task_of_files(["--checkpoint", f"{tmp_path}/a.pt"]) == "keypoints"
    assert tool("info", "--checkpoint", tmp_path / "none.pt") == 4


def test_a_command_of_keypoints_alone_refuses_the_other_task(capsys):
    assert tool("detect-boxes", "--task", "action") == 2
    assert "keypoint detect-boxes is for keypoints only" in capsys.readouterr().err
    assert tool("make-clip-data", "--task", "keypoints") == 2
    assert "keypoint make-clip-data is for action recognition only" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["compare", "sweep", "make-clip-data"])
def test_a_command_for_videos_without_options_of_its_own_takes_the_task(name, capsys):
    assert help_of(capsys, name, "--task", "action").startswith(f"usage: keypoint {name}")


@pytest.mark.parametrize("name", ["train", "test", "predict", "check-data", "demo"])
def test_help_begins_with_the_other_task(name, capsys):
    other = f"for action recognition: keypoint {name} --task action --help"
    assert help_of(capsys, name).partition("\n\n")[2].startswith(f"{other}\n\n")
    assert other not in help_of(capsys, name, "--task", "action")


def help_of(capsys, *words):
    """What a command prints with --help."""
    with pytest.raises(SystemExit, match="^0$"):
        tool(*words, "--help")
    return capsys.readouterr().out


def test_a_config_or_checkpoint_of_the_other_task_is_one_mistake(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("task: action\nclips: {frames: 8}\nmodel: {places: five}\n")
    assert tool("browse-data", "--cfg", tmp_path / "a.yaml") == 2
    said = capsys.readouterr().err
    assert "a.yaml, line 1: task: given 'action'; allowed: keypoints" in said
    assert "mistakes" not in said
    tiny_checkpoint.checkpoint(tmp_path / "a.pt")
    assert tool("import-weights", tmp_path / "a.pt", "--output", tmp_path / "b.pt") == 4
    assert "its network is for action; give a checkpoint for keypoints" in capsys.readouterr().err
