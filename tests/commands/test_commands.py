"""Help, devices and typos: all that comes before a command begins to work."""

import os
import re
import subprocess
import sys

import pytest

from keypoint.commands.main import COMMANDS, main
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from tests.calling import COMMANDS as FOLDER
from tests.calling import REPOSITORY, tool

OPTIONS = FOLDER / "options"
WITH_EXAMPLES = sorted(p.stem for p in OPTIONS.glob("*.py") if "\nexamples:\n" in p.read_text().replace('"""', "\n"))  # fmt: skip


@pytest.mark.parametrize("name", ["cpu:3", "mps:0", "meta", "gpu", "cuda:x", "xpu", " "])
def test_only_devices_that_this_toolkit_runs_on(name):
    with pytest.raises(
        ConfigError, match=r"device='.*' is unknown; give cpu, cuda, cuda:NUMBER or mps$"
    ):
        choose_device(name)
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "tools").rglob("*.py")), ids=lambda path: path.name
)
def test_scripts_can_be_called_and_nothing_else_looks_like_one(path):
    """By name, as the README does: a `#!` line and the right to execute."""
    is_script = '__name__ == "__main__"' in path.read_text()
    assert path.read_text().startswith("#!/usr/bin/env python\n") == is_script
    assert os.access(path, os.X_OK) == is_script


def test_every_command_has_a_file_and_every_file_a_command():
    files = {p.stem.replace("_", "-") for p in FOLDER.glob("*.py")} - {
        "--init--",
        "cli",
        "log",
        "main",
        "predict-by-torch",
        "process",
        "published",
        "runs",
        "seeds",
        "shares",
        "task",
        "tested",
        "training",
    }
    assert files == set(COMMANDS)


@pytest.mark.parametrize("folder", ["", "action"])
def test_every_command_has_options_of_its_own(folder):
    words = {path.name for path in (OPTIONS / folder).glob("*.py")} - {"training.py"}
    assert words == {path.name for path in (FOLDER / folder).glob("*.py")} & (
        {f"{name.replace('-', '_')}.py" for name in COMMANDS} | {"__init__.py"}
    )


def test_help_lists_all_commands(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert f"  {name} " in said
        assert line in said


@pytest.mark.parametrize("typed", [["--help"], ["trian"], ["--version"], []])
def test_an_unknown_command_is_answered_without_torch(typed):
    program = f"""
import sys
from keypoint.commands.main import main
status = main({typed})
assert not {{"torch", "numpy", "cv2", "pydantic"}} & set(sys.modules)
raise SystemExit(status)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == (0 if typed and typed[0].startswith("--") else 2), done.stderr
    if typed == ["trian"]:
        assert done.stderr.startswith("error: 'trian' is not a command; did you mean train?")


def test_a_command_is_called_with_its_own_words(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["make-sign-data", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: keypoint make-sign-data")


# Options that mean another thing in one command: a switch of predict, a folder, boxes of several files.
OTHERS = {("predict", "--pictures"), ("predict", "--output"), ("make-sign-data", "--output"), ("make-person-data", "--output"), ("make-clip-data", "--output"), ("convert", "--output"), ("compare", "--output"), ("explain", "--output"), ("test", "--boxes")}  # fmt: skip


def parser_of(name, monkeypatch):
    """The parser that a command makes."""
    made = []

    def keep(self, *_):
        made.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr("argparse.ArgumentParser.parse_args", keep)
    monkeypatch.setattr("argparse.ArgumentParser.parse_intermixed_args", keep)
    assert tool(name) == 130
    return made[0]


def test_an_option_is_the_same_in_all_commands(monkeypatch):
    forms = {}
    for name in COMMANDS:
        for action in parser_of(name, monkeypatch)._actions:
            assert action.option_strings or action.dest != "checkpoint", name
            for option in action.option_strings:
                if (name, option) not in OTHERS:
                    form = type(action).__name__, action.metavar, action.nargs
                    forms.setdefault(option, {}).setdefault(form, []).append(name)
    assert len(forms["--checkpoint"]) == 1
    assert {option: form for option, form in forms.items() if len(form) > 1} == {}


def test_there_are_examples():
    assert {"train", "test", "check_data", "import_weights"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_can_be_pasted(name, capsys):
    """A line that continues ends with a backslash; one swallowed by Python leaves a gap."""
    with pytest.raises(SystemExit):
        tool(name, "--help")
    examples = capsys.readouterr().out.partition("examples:")[2]
    for line in examples.splitlines():
        assert not re.match(r"  (tools/|keypoint |make ).*\S {4,}\S", line), line
        assert not re.match(r"  [a-z]+\.[a-z_]+=", line), line


def test_the_demo_reports_a_typo_before_it_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keypoint.commands.demo.write_demo_set", None)  # would fail at once
    assert tool("demo", "train.epoch=1") == 2
    assert "train.epoch: no such key; did you mean epochs?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("complete", [True, False])
def test_an_interrupted_demo_is_resumed(tmp_path, monkeypatch, complete):
    """Complete images are kept, others are made again; training decides itself where it resumes."""
    called = []

    def call(command, *arguments):
        called.append([command, *arguments])
        if len(called) == 1:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keypoint.commands.demo.TRAIN_IMAGES", 2)
    monkeypatch.setattr("keypoint.commands.demo.VAL_IMAGES", 1)
    monkeypatch.setattr("keypoint.commands.demo.call", call)
    assert tool("demo") == 130
    image = tmp_path / f"output/demo/data/train2017/{2:012d}.jpg"
    if not complete:  # interrupted before the annotations were written
        (tmp_path / "output/demo/data/annotations/person_keypoints_val2017.json").unlink()
    image.write_bytes(b"mine")
    assert tool("demo", "--resume", "output=other") == 0
    assert (image.read_bytes() == b"mine") == complete
    assert called == [
        ["train", "--cfg", "demo.yaml", "--overwrite"],
        ["train", "--cfg", "demo.yaml", "--resume", "output=other"],
        ["test", "--checkpoint", "other/best.pt", "--pictures", "12"],
    ]
