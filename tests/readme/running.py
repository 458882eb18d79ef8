"""How a command line of the README is run: its own words, and behind them what makes it small.

A tool that is not in SMALL is run as it stands. What cannot be run at all has a stand-in, named with its reason where it is.
"""

import configparser
import contextlib
import importlib.util
import json
import os
import pydoc
import re
import shlex
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard import program
from torch.utils.tensorboard import SummaryWriter

from keypoint.commands import cli
from keypoint.commands.task import command_of
from keypoint.models.complexity.tables import srl_table_3
from tests import forked
from tests.app.browser import free_port
from tests.calling import command, tool
from tests.data.test_download import CONTENT, Server, archive_of, zipped
from tests.prediction import made_up_camera
from tests.readme.documents import REPOSITORY
from tests.readme.world import DETECTOR, SIZE

# Without Adam's moments, as to write them takes longer than the step.
TRAIN = ["model.encoder=resnet18", f"model.input_size={SIZE}", "train.epochs=1", "train.batch_size=4", "train.optimizer=sgd", "train.momentum=0", "data.workers=0"]  # fmt: skip
ACTION = ["model.weights=none", f"model.input_size={SIZE}", "clips.frames=4", "clips.stride=2", "test.clips=1", "test.short_side=32", "data.workers=0"]  # fmt: skip
SMALL = {
    "action_train": [*ACTION, "train.epochs=1", "train.batch_size=2", "train.momentum=0"],
    "train": TRAIN,
    "test": ["data.workers=0"],
    "browse_data": ["--pictures", "2"],
    "make_sign_data": ["--train", "4", "--val", "2"],
    "make_person_data": ["--train", "4", "--val", "2"],
    "make_clip_data": ["--train", "8", "--val", "4"],
    "detect_boxes": ["--detector", DETECTOR],
    "demo": TRAIN,
    "action_demo": ["train.epochs=1", "train.batch_size=4"],
    "explain": ["--random-inputs", "1"],
    "action_explain": ["--random-inputs", "1"],
}
BENCHMARK = {
    "data": "--generate 2 --crops 2 --rounds 1 --boxes 1 --input-size 64x32 --batch 2",
    "model": "--input-size 64x32 --blocks srl_fft --batch 2 --eval-rounds 1 --train-rounds 1",
    "blocks": "--input-size 64x32 --blocks srl_fft --rounds 1",
    "eval": "--images 5 --persons 8 --boxes 20 --rounds 1",
}


def small(name: str, words: list[str]) -> list[str]:
    """What is added to a tool's own words: no key that they give themselves."""
    own = {word.partition("=")[0] for word in words}
    added = [w for w in SMALL.get(name, []) if w.partition("=")[0] not in own or "=" not in w]
    if name == "train" and own & {"model.network", "mine.yaml"}:
        added.remove("model.encoder=resnet18")
    if name == "action_train" and own & {"echo.yaml", "small.yaml"}:
        added.remove("train.momentum=0")  # of SGD
    if name == "action_train" and "small.yaml" in own:
        added.remove("clips.stride=2")  # of dense clips
    on_the_hub = any("hrnet" in word or "timm/" in word for word in words)
    if name == "train" and on_the_hub and "model.weights" not in own:
        added.append("model.weights=none")
    if name == "run":
        added += BENCHMARK[words[0]].split()
    if name == "test" and "--cfg" in words:
        added += [w for w in TRAIN[:2] if w.partition("=")[0] not in own]
    if name == "predict" and not own & {"--whole-image", "--boxes", "--detector", "--annotations"}:
        added += ["--detector", DETECTOR]  # in place of the large default, by torchvision's API too
    return added


def small_echo(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo of action recognition with few clips, steps and blocks."""

    def call(name: str, *words: str) -> None:
        called, rest = command_of(name, words)
        assert cli.run(called.main, rest) == 0, f"{name} {shlex.join(words)}"

    for constant, value in (("TRAIN_CLIPS", 8), ("VAL_CLIPS", 4), ("REVERSED_CLIPS", 2)):
        monkeypatch.setattr(module, constant, value)
    monkeypatch.setattr(module, "BLOCKS", ("none", "srl_fft"))
    few_steps(monkeypatch)
    monkeypatch.setattr(module, "call", call)


def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the weights of single frames for a moment."""
    module = command("make_clip_data")
    monkeypatch.setattr(module, "train_on_frames", partial(module.train_on_frames, steps=2))


class Runner:
    """Runs commands in the working folder; `world` provides what they name."""

    def __init__(self, world, monkeypatch, folder: Path, collect):
        self.world, self.monkeypatch, self.folder = world, monkeypatch, folder
        self.collect = collect

    def run(self, words: list[str]) -> None:
        """Any command; an assertion says what went wrong."""
        kind = "tool" if words[0].startswith("tools/") else words[0]
        how = getattr(self, f"run_{kind}", None)
        assert how, f"{shlex.join(words)}: nothing runs it; add a way to tests/readme/running.py"
        how(words)

    def run_export(self, words: list[str]) -> None:
        """A variable of the shell."""
        name, _, value = words[1].partition("=")
        self.monkeypatch.setenv(name, value)

    def run_tool(self, words: list[str]) -> None:
        """In this process, as each process would import for four seconds."""
        if words[0] == "tools/evidence/write.py":  # of hours; tests/evidence runs a short form
            words = [words[0], "--help"]
        self.call(Path(words[0]).stem, self.load(words[0]), words[1:])

    def run_keypoint(self, words: list[str]) -> None:
        """A command of the console script, in this process."""
        self.call(words[1].replace("-", "_"), command(words[1]), words[2:])

    def called_by_the_demo(self, name: str, *words: str) -> None:
        """The demo ran once before its --resume, and so did what it calls."""
        self.call(name, command(name), list(words), begin=False)

    def call(self, name: str, module: Any, words: list[str], begin: bool = True) -> None:
        """A module's `main` with these words; with --resume it begins by a run to continue."""
        if "--help" in words:
            ours = module.__name__.startswith("keypoint.commands.")
            with pytest.raises(SystemExit) as ended:
                _ = tool(name, *words) if ours else module.main(words)
            assert ended.value.code == 0
            return
        words = [word.replace("=/data/coco", "=data/coco") for word in words]
        words = [word.replace("=/data/kinetics", "=data/kinetics") for word in words]
        self.monkeypatch.syspath_prepend(str(self.folder))  # PYTHONPATH, of a network of one's own
        if not name.startswith("make_"):  # its word names a folder to write
            self.world.provide(words)
        if "--resume" in words and begin:
            self.call(name, module, [word for word in words if word != "--resume"])
        if module.__name__.startswith("keypoint.commands."):  # what the words name is there now
            module, words = command_of(name.replace("_", "-"), words)
        is_action = module.__name__.startswith("keypoint.commands.action.")
        given = [re.sub(r"^train\.epochs=\d+$", "train.epochs=1", word) for word in words]
        whole = [*given, *small(f"action_{name}" if is_action else name, words)]
        server = None
        if name == "download_coco":
            server = small_coco(module, self.monkeypatch)
            whole += ["--base-url", server.url()]
        if name == "make_clip_data":
            few_steps(self.monkeypatch)
        if name == "demo" and is_action:
            small_echo(module, self.monkeypatch)
        elif name == "demo":
            self.monkeypatch.setattr(module, "TRAIN_IMAGES", 2)
            self.monkeypatch.setattr(module, "VAL_IMAGES", 1)
            self.monkeypatch.setattr(module, "call", self.called_by_the_demo)
        if "--paper-tables" in words:  # all of them, 10 s, are tests/models/test_complexity.py's
            self.monkeypatch.setattr(module, "paper_tables", lambda: [srl_table_3()])
        if name == "sweep":  # of nine trainings; those of tests/commands/test_sweep.py are real
            self.monkeypatch.setattr(module, "carry_out", lambda work, jobs: None)
            self.monkeypatch.setattr(module.compare, "tables", lambda runs, called: ("", {}))
        if name == "app":
            one_visitor(module, self.monkeypatch)
        if "camera" in words:
            images = list(np.random.default_rng(0).integers(0, 255, (3, 60, 80, 3), np.uint8))
            made_up_camera.install(self.monkeypatch, images, frames=3)
        try:
            assert cli.run(module.main, whole) == 0, f"{name} {shlex.join(whole)}"
        finally:
            if server:
                server.shutdown()
                server.server_close()
        if "--output" in words:
            assert Path(words[words.index("--output") + 1]).exists()

    def load(self, name: str):
        """A tool as a module; those beside it can be imported by it."""
        file = REPOSITORY / name
        assert file.is_file(), f"there is no {name}"
        self.monkeypatch.syspath_prepend(str(file.parent))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        self.monkeypatch.setitem(sys.modules, file.stem, module)  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    def run_torchrun(self, words: list[str]) -> None:
        """With one process instead of eight, on a CPU; tests/end_to_end/test_processes.py has two."""
        place = words.index("--nproc_per_node") + 1
        if "--no-python" in words:  # the console script, which stands next to this Python
            program = words.index("keypoint")
            script, name, own = [str(Path(sys.executable).with_name("keypoint")), words[program + 1]], words[program + 1], words[program + 2 :]  # fmt: skip
        else:
            program = next(i for i, word in enumerate(words) if word.startswith("tools/"))
            script, name, own = [str(REPOSITORY / words[program])], Path(words[program]).stem, words[program + 1 :]  # fmt: skip
        self.world.provide(own)
        options = [*words[1:place], "1", *words[place + 1 : program]]
        called = [sys.executable, "-m", "torch.distributed.run", *options, *script, *own]
        called += [*small(name, own), "--device", "cpu"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_PORT": "0"}
        done = forked.run(called, env=environment, timeout=250)
        assert done.returncode == 0, done.stderr

    def run_make(self, words: list[str]) -> None:
        """What make would call, with everything installed."""
        lines = make_lines(words[1:], self.folder)
        assert lines, f"{shlex.join(words)} does nothing"
        for variables, call in lines:
            if call[:2] == ["-m", "keypoint.commands.main"]:
                self.run_keypoint(call[1:])
            elif call[0] == "-m":
                self.run_module(call[1:], variables)
            else:
                self.run(call)

    def run_module(self, words: list[str], variables: dict[str, str]) -> None:
        """The tests are collected and not run, since they would run themselves; the linters are no part of them."""
        if words[0] in ("ruff", "mypy"):
            setup = configparser.ConfigParser()
            setup.read(REPOSITORY / "setup.cfg")
            assert re.search(rf"^{words[0]}==", setup["options.extras_require"]["dev"], re.M)
            return
        if words[0] == "mkdocs":  # of the extra `docs`; .ci/run builds the site
            assert words[1:] == ["build", "--strict"]
            return
        assert words[0] == "pytest"
        assert self.collect(words[1:], variables), f"{shlex.join(words)} finds no test"

    def run_pip(self, words: list[str]) -> None:
        """All but the download: pip reads the project and its extras and builds its metadata, in a copy.

        PyTorch's own index is not reached by the tests: of that line only the form is looked at.
        """
        if words[-2:] == ["--index-url", "https://download.pytorch.org/whl/cpu"]:
            assert words[:-2] == ["pip", "install", "torch", "torchvision"]
            return
        assert words[:3] == ["pip", "install", "-e"]
        assert len(words) == 4
        setup = configparser.ConfigParser()
        setup.read(REPOSITORY / "setup.cfg")
        for extra in re.findall(r"\[(\w+)\]", words[3]):  # pip only warns, and not with --no-deps
            assert extra in setup["options.extras_require"], f"there is no extra {extra}"
        clone = self.folder / "clone"
        clone.mkdir()
        for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "keypoint"):
            (clone / name).symlink_to(REPOSITORY / name)
        called = [sys.executable, "-m", *words, "--dry-run", "--no-deps", "--no-index", "--no-build-isolation"]  # fmt: skip
        done = subprocess.run(called, cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Would install keypoint-" in done.stdout

    def run_python(self, words: list[str]) -> None:
        """Shows a docstring, in this process; an ImportError says that the name does not exist."""
        assert words[1:3] == ["-m", "pydoc"]
        assert "Args:" in pydoc.render_doc(words[3])

    def run_tensorboard(self, words: list[str]) -> None:
        """Reads the folder as the page would, and ends (--inspect); what a training writes there others test."""
        with SummaryWriter(words[words.index("--logdir") + 1]) as writer:
            writer.add_scalar("AP", 0.5, 1)
        board = program.TensorBoard()
        board.configure(argv=["tensorboard", *words[1:], "--inspect"])
        assert board.main() == 0


def make_lines(words: list[str], folder: Path) -> list[tuple[dict[str, str], list[str]]]:
    """What make says (-n) that it would call with all installed: variables, and words after Python's name."""
    venv = folder / "venv"
    for stamp in (
        "bin/python",
        ".installed",
        ".installed-test",
        ".installed-dev",
        ".installed-docs",
    ):
        (venv / stamp).parent.mkdir(parents=True, exist_ok=True)
        (venv / stamp).touch()
    called = ["make", "-n", "--no-print-directory", *words, f"VENV={venv}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(called, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.strip().splitlines():
        before, python, call = line.partition(f"{venv}/bin/python ")
        assert python, f"{line}: make calls something else than its own Python"
        found.append((dict(pair.split("=") for pair in before.split()), shlex.split(call)))
    return found


class Collector:
    """How many tests each pytest of the make targets finds; all asked of one process, as each imports for seconds."""

    def __init__(self, commands: list[list[str]], folder: Path):
        self.asked: list[list[Any]] = []
        for words in commands:
            with contextlib.suppress(AssertionError):  # its own test says what is wrong with it
                for variables, call in make_lines(words[1:], folder):
                    asked = [variables, self.whole(call[2:])]
                    if call[:2] == ["-m", "pytest"] and asked not in self.asked:
                        self.asked.append(asked)
        self.counts: list[int] = []

    def whole(self, words: list[str]) -> list[str]:
        """All tests would take half a minute: one file stands in for them."""
        return words if any(w.startswith("tests/") for w in words) else [*words, "tests/test_install.py"]  # fmt: skip

    def __call__(self, words: list[str], variables: dict[str, str]) -> int:
        if not self.counts:
            environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
            called = [sys.executable, "-c", COLLECT, json.dumps(self.asked)]
            done = forked.run(called, cwd=REPOSITORY, env=environment, timeout=250)
            assert done.returncode == 0, done.stdout + done.stderr
            self.counts = json.loads(done.stdout.splitlines()[-1])
        return self.counts[self.asked.index([variables, self.whole(words)])]


COLLECT = """
import json, os, sys, pytest
class Count:
    found = 0
    def pytest_collection_finish(self, session):
        self.found = len(session.items)
counts = []
for variables, words in json.loads(sys.argv[1]):
    os.environ.update(variables)
    count = Count()
    status = pytest.main([*words, "--collect-only", "-q", "-p", "no:cacheprovider"], plugins=[count])
    counts.append(0 if status else count.found)
    for name in variables:
        del os.environ[name]
print(json.dumps(counts))
"""


def one_visitor(module, monkeypatch) -> None:
    """Serves the page at a free port, looks at it, and ends without waiting for Ctrl-C."""
    serve = module.serve
    # An opener of its own: urlopen keeps the one of its first call, closed proxies and all.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @contextmanager
    def visited(finder, host, port):
        with serve(finder, host, free_port()) as address:
            yield address
            with direct.open(address) as page:
                assert b"gradio" in page.read()

    monkeypatch.setattr(module, "serve", visited)
    no_wait = SimpleNamespace(wait=lambda: None)
    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=lambda: no_wait))


def small_coco(module, monkeypatch) -> Server:
    """A server with archives of a few bytes in COCO's place."""
    server = Server()
    annotations = zipped({f"annotations/person_keypoints_{s}2017.json": b"{}" for s in ("train", "val")})  # fmt: skip
    server.files |= {"zips/val2017.zip": CONTENT, "annotations/a.zip": annotations}
    labels = archive_of(annotations, 2, path="annotations/a.zip", pattern="annotations/*.json")
    made = {name: (labels, archive_of(CONTENT)) for name in module.SPLITS}
    monkeypatch.setattr(module, "SPLITS", made)
    return server
