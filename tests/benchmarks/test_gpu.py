"""tools/benchmarks/gpu.sh gives run.py commands it knows, one for each GPU section of the document."""

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "tools" / "benchmarks" / "gpu.sh"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("run")


def call(*arguments, python="python"):
    environment = os.environ | {"PYTHON": str(python)}
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_run_knows_each_command_and_each_gpu_section_has_one(benchmark):
    lines = call("--dry-run").stdout.splitlines()
    sections, seconds = [], 0
    for line in lines:
        timeout, limit, python, script, *given = shlex.split(line)
        assert (timeout, python, script) == ("timeout", "python", "tools/benchmarks/run.py")
        args = benchmark.build_parser().parse_args(given)
        assert args.device == "cuda"
        assert args.write == benchmark.DOCUMENTS
        sections.append(benchmark.section_name(args, torch.device("cuda")))
        seconds += int(limit)
    text = "".join(page.read_text(encoding="utf-8") for page in benchmark.DOCUMENTS.glob("*.md"))
    assert sorted(sections) == sorted(re.findall(r"<!-- begin (.* cuda) -->", text))
    assert seconds <= 600
    for name in sections:
        page, before, after = benchmark.find_section(benchmark.DOCUMENTS, name)
        section = page.read_text(encoding="utf-8").removeprefix(before).removesuffix(after)
        assert "tools/benchmarks/gpu.sh" in section or "not measured" not in section.lower()
    assert all(
        "--write" not in line for line in call("--dry-run", "--output", "x").stdout.splitlines()
    )


@pytest.fixture
def stub(tmp_path):
    """An interpreter that has a GPU; its `model` fails."""
    file = tmp_path / "python"
    file.write_text('#!/bin/sh\ncase "$*" in *"run.py model"*) exit 3;; esac\necho "ran $*"\n')
    file.chmod(0o755)
    return file


def test_a_failed_step_is_named_and_the_others_run(stub, tmp_path):
    done = call("--output", tmp_path / "found", python=stub)
    assert done.returncode == 1
    assert done.stderr.endswith("failed or out of time: model\n")
    files = {file.stem: file.read_text() for file in (tmp_path / "found").iterdir()}
    names = {"model", "blocks", "blocks-compiled", "predict", "export", "clip-model"}
    assert set(files) == names
    assert "run.py clip-model --device cuda" in files["clip-model"]
    assert files["model"] == ""
    assert all("--write" not in text for text in files.values())


def test_without_a_gpu_it_says_so_and_runs_nothing(tmp_path):
    done = call("--output", tmp_path / "found", python="false")
    assert (done.returncode, done.stdout) == (2, "")
    assert "false finds no CUDA GPU; install a CUDA build of torch" in done.stderr
    assert not (tmp_path / "found").exists()
    assert "--outptu is not an option; give --output FOLDER" in call("--outptu").stderr


def test_tf32_is_set_for_its_rows_only_and_refused_on_a_cpu(benchmark, monkeypatch, capsys):
    timing = importlib.import_module("timing")
    cli = importlib.import_module("keypoint.commands.cli")
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    try:
        for dtype in ("float32", "tf32", "bf16"):
            timing.set_tf32(dtype)
            assert [place.allow_tf32 for place in places] == [dtype == "tf32"] * 2
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value
    assert timing.DTYPES["tf32"] is torch.float32
    monkeypatch.setattr(cli, "log_to", lambda: None)
    for command in ("model", "blocks", "clip-model"):
        assert cli.run(benchmark.main, [command, "--dtype", "float32", "tf32"]) == 2
        assert "--dtype tf32 has no effect on cpu; add --device cuda" in capsys.readouterr().err
