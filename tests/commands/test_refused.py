"""A command that is refused leaves nothing behind; one that fails at its work, or by a bug, its log."""

import pytest

from keypoint.commands import cli
from keypoint.errors import DataError
from tests import tiny_network
from tests.calling import command, tool

CFG = ["--cfg", "demo.yaml", "data.root=/absent", "data.workers=0"]
REFUSED = {
    "train": ([*CFG, "model.weights=none", "output=OUT"], 3),
    "browse-data": ([*CFG, "output=OUT"], 3),
    "check-data": ([*CFG, "data.skeleton=absent.yaml", "output=OUT"], 2),
    "test": (["--checkpoint", "CHECKPOINT", "data.root=/absent", "output=OUT"], 3),
    "predict": (["--checkpoint", "absent.pt", "--whole-image", "--output", "OUT", "CHECKPOINT"], 4),
    "export": (["--checkpoint", "absent.pt", "--output", "OUT/model.onnx"], 4),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("refused") / "a.png")


@pytest.fixture(autouse=True)
def close_log():
    yield
    cli.log_to()


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_command_leaves_everything_as_it_was(tmp_path, checkpoint, name, there):
    arguments, status = REFUSED[name]
    output = tmp_path / "above" / "out"
    if there:
        output.mkdir(parents=True)
        (output / "log.txt").write_text("of another run\n")
        (output / "notes.txt").write_text("mine")
    before = contents(output) if there else None
    words = [
        a.replace("OUT", str(output)).replace("CHECKPOINT", str(checkpoint)) for a in arguments
    ]
    assert tool(name, *words) == status
    if there:
        assert contents(output) == before
    else:
        assert not (tmp_path / "above").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_bug_before_the_work_leaves_its_traceback(tmp_path, monkeypatch, capsys, there):
    train, output = command("train"), tmp_path / "out"
    if there:
        output.mkdir()
    monkeypatch.setattr(train, "load_data", lambda *arguments: 1 / 0)
    assert tool("train", *CFG, "model.weights=none", f"output={output}") == 1
    assert f"report it with the traceback in {output / 'log.txt'}" in capsys.readouterr().err
    assert "Traceback" in (output / "log.txt").read_text()
    assert [path.name for path in output.iterdir()] == ["log.txt"]


def test_what_was_said_before_the_work_is_in_the_log(tmp_path):
    def main(argv):
        cli.log_to(tmp_path / "out")
        cli.logger.info("first")
        assert not (tmp_path / "out" / "log.txt").exists()
        cli.keep_log()
        cli.logger.info("second")
        raise DataError("x.png: truncated, after hours")

    assert cli.run(main, []) == 3
    lines = (tmp_path / "out" / "log.txt").read_text().splitlines()
    assert [line.partition(": ")[2] for line in lines[:3]] == [
        "first", "second", "x.png: truncated, after hours",
    ]  # fmt: skip
