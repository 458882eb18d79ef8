"""keypoint sweep: the grid, what is refused, what is started, resumed and reported, the table."""

import csv
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from keypoint.commands import process, runs
from keypoint.commands.sweep import seconds_to_go
from keypoint.config.load import CONFIG_FOLDER
from keypoint.config.sweep import read_sweep
from tests import forked, tiny_coco
from tests.action import tiny_action
from tests.calling import REPOSITORY, tool, words
from tests.commands.test_seeds import Ended
from tests.readme.documents import blocks

SWEEP = """
cfg: base.yaml
output: OUT
set: {train.epochs: 1}
seeds: [0, 1]
grid:
  network:
    none: {}
    wide: {model.options: {width: 9}, model.heatmap_sigma: 3}
  train.lr: [1e-3, 0.002]
"""
ONE = "cfg: base.yaml\nseeds: [0]\n"  # and a grid


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with base.yaml of a tiny network and sweep.yaml; `start` is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text("model: {network: 'a:b', input_size: [32, 32]}\n")
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("OUT", "out"))
    monkeypatch.setattr(runs, "start", None)
    return tmp_path


def points_of(path, *typed):
    return {point.name: list(point.overrides) for point in read_sweep(path, typed).points}


def test_a_grid_has_the_points_of_all_axes_and_the_base_first(folder):
    assert points_of(folder / "sweep.yaml") == {
        "none,lr=1e-3": ["train.epochs=1", "train.lr=1e-3"],
        "none,lr=0.002": ["train.epochs=1", "train.lr=0.002"],
        "wide,lr=1e-3": ["train.epochs=1", 'model.options={"width": 9}', "model.heatmap_sigma=3", "train.lr=1e-3"],
        "wide,lr=0.002": ["train.epochs=1", 'model.options={"width": 9}', "model.heatmap_sigma=3", "train.lr=0.002"],
    }  # fmt: skip
    # What is typed takes the place of what the file gives to all.
    assert points_of(folder / "sweep.yaml", "train.epochs=3", "output=x", "seeds=[4]") == {
        name: [*keys[1:-1], "train.epochs=3", keys[-1]] if len(keys) < 3 else ["train.epochs=3", *keys[1:]]
        for name, keys in points_of(folder / "sweep.yaml").items()
    }  # fmt: skip
    typed = read_sweep(folder / "sweep.yaml", ["output=x", "seeds=[4]"])
    assert (str(typed.output), typed.seeds) == ("x", (4,))


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ("train.batch_size: [4, 8], test.batch_size: [4]", ["train.batch_size=4,test.batch_size=4", "train.batch_size=8,test.batch_size=4"]),
        ("model.input_size: [[64, 64], [64, 32]]", ["input_size=64x64", "input_size=64x32"]),
        ("model.blocks: [none, srl_fft]", ["blocks=none", "blocks=srl_fft"]),
        ("a: {yes: {}, 'true': {train.ohkm: 2}}", ["yes", "true"]),
    ],
)  # fmt: skip
def test_names_of_points(folder, grid, names):
    (folder / "s.yaml").write_text(f"{ONE}grid: {{{grid}}}\n")
    assert list(points_of(folder / "s.yaml")) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty file"),
        ("train: {lr: 1e-3}\n", "has neither cfg nor grid, so it is not a sweep; keypoint train --cfg"),
        (f"{ONE}grid: {{}}\n", "line 3: grid: given {}; grid must be a mapping with at least one axis"),
        ("cfg: base.yaml\ngrid: {a: {b: {}}}\n", "s.yaml: seeds: given none; allowed: [integers], all different"),
        ("cfg: base.yaml\nseeds: [0, 0]\ngrid: {a: {b: {}}}\n", "line 2: seeds: given [0, 0]; 0 is given twice"),
        ("cfg: base.yaml\nseeds: [0, -1]\ngrid: {a: {b: {}}}\n", "-1 is not an integer in 0..2147483647"),
        (f"{ONE}grids: {{}}\ngrid: {{a: {{b: {{}}}}}}\n", "line 3: grids: no such key; did you mean grid?"),
        ("cfg: bsae.yaml\nseeds: [0]\ngrid: {a: {b: {}}}\n", "line 1: cfg: bsae.yaml: no such file, and no config"),
        ("cfg: s.yaml\nseeds: [0]\ngrid: {a: {b: {}}}\n", "s.yaml: is a sweep, not a single config"),
        (f"{ONE}grid:\n  a:\n    b: {{}}\n    b: {{seed: 1}}\n", "line 6: grid.a.b: given twice, first in line 5"),
        (f"{ONE}grid:\n  a:\n    ../b: {{}}\n", "line 5: grid.a.../b: '../b' is not the name of a point; a name has"),
        (f"{ONE}grid:\n  a: 3\n", "line 4: grid.a: given 3; give {point: {key: value}}, or [values]"),
        (f"{ONE}grid:\n  a: {{b: 3}}\n", "line 4: grid.a.b: given 3; give keys of the config, or {} for none"),
        (f"{ONE}grid:\n  train.lr: [1e-3, 1e-3]\n", "line 4: grid.train.lr: 0.001 is given twice"),
        (f"{ONE}grid:\n  model.options: [{{a: 1}}]\n", "cannot be part of a folder name; give {name: {model.options: value}}"),
        (f"{ONE}grid:\n  a: {{b: {{train.lr: 1}}}}\n  train.lr: [2]\n", "line 5: grid.train.lr: train.lr is in the axis a as well"),
        (f"{ONE}set: {{train.lr: 1}}\ngrid:\n  train.lr: [2]\n", "line 3: set.train.lr: is in grid too"),
        (f"{ONE}set: {{seed: 1}}\ngrid:\n  train.lr: [2]\n", "line 3: set.seed: give `seeds`"),
        (f"{ONE}set: {{train: {{lr: 1}}}}\ngrid:\n  a: {{b: {{}}}}\n", "line 3: train is a section; give its keys one by one, such as train."),
        (f"{ONE}grid:\n  train.lr: [1, -2]\n", "line 4: train.lr: given -2; allowed: 0 < number <= 1000 (in the point lr=-2)"),
        (f"{ONE}grid:\n  a:\n    b: {{train.epoch: 3}}\n", "line 5: train.epoch: no such key; did you mean epochs"),
        (f"{ONE}grid:\n  train.lr: [1e-3, 0.001]\n", "the points lr=1e-3 and lr=0.001 train the same network"),
        (f"{ONE}grid:\n  data.workers: [1, 2]\n", "the points workers=1 and workers=2 train the same network"),
        (f"{ONE}test: [--analyze]\ngrid: {{a: {{b: {{}}}}}}\n", "s.yaml: test: unrecognized arguments: --analyze"),
        (f"{ONE}test: [--help]\ngrid: {{a: {{b: {{}}}}}}\n", "s.yaml: test: --help runs nothing"),
        (f"{ONE}test: [output=x]\ngrid: {{a: {{b: {{}}}}}}\n", "s.yaml: test: output is set by keypoint sweep"),
        (f"{ONE}test: [test.flop=true]\ngrid: {{a: {{b: {{}}}}}}\n", "test.flop: no such key; did you mean flip"),
        (f"{ONE}test: [--boxes, truth, --boxes, x.json]\ngrid: {{a: {{b: {{}}}}}}\n", "--boxes is given twice"),
        (f"{ONE}test: --analyse\ngrid: {{a: {{b: {{}}}}}}\n", "line 3: test: given '--analyse'; test must be a list of texts"),
        (f"{ONE}grid: {{train.lr: [{', '.join(map(str, range(1, 1002)))}]}}\n", "these are 1001 runs; at most 1000 are allowed"),
    ],
)  # fmt: skip
def test_a_file_is_refused_before_anything_starts(folder, text, said, capsys):
    (folder / "s.yaml").write_text(text)
    assert tool("sweep", folder / "s.yaml") == 2
    assert said in capsys.readouterr().err
    assert not (folder / "output").exists()


def test_every_mistake_is_reported(folder, capsys):
    (folder / "s.yaml").write_text(
        f"{ONE}set: {{train.epoch: 1}}\ngrid:\n  a:\n    b: {{train.lr: -1}}\n    c: {{seeds: 2}}\n"
    )
    with pytest.raises(ValueError, match="s.yaml: 3 mistakes"):
        tool("sweep", folder / "s.yaml", "--debug")
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in said] == [
        [f"  {folder}/s.yaml, line 3", "train.epoch"],
        [f"  {folder}/s.yaml, line 6", "train.lr"],
        [f"  {folder}/s.yaml, line 7", "seeds"],
    ]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["seed=1"], "command line, 'seed=1': seed: give `seeds`"),
        (["train.lr=1"], "train.lr: it is in the sweep's grid; change it there"),
        (["model.options.width=1"], "model.options.width: it is in the sweep's grid"),
        (["train.epoch=1"], "command line, 'train.epoch=1': train.epoch: no such key"),
        (["seeds=[1, 1]"], "command line, 'seeds=[1, 1]': seeds: given [1, 1]; 1 is given twice"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--dry-run", "--jobs", 2], "--jobs has no effect with --dry-run"),
    ],
)
def test_a_command_line_is_refused(folder, typed, said, capsys):
    assert tool("sweep", "sweep.yaml", *typed) == 2
    assert said in capsys.readouterr().err


def test_not_under_torchrun(folder, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert tool("sweep", "sweep.yaml") == 2
    assert "keypoint sweep starts its own processes" in capsys.readouterr().err


def test_a_sweep_is_not_trained_as_one_config(folder, capsys):
    assert tool("train", "--cfg", "sweep.yaml") == 2
    assert (
        "sweep.yaml: is a sweep, not a single config; run it with keypoint sweep"
        in capsys.readouterr().err
    )


def test_a_dry_run_prints_a_line_for_each_run(folder, capsys):
    options = ["--dry-run", "--device", "cpu", "output=a b"]
    assert tool("sweep", "sweep.yaml", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[5] == (
        "keypoint train --cfg base.yaml train.epochs=1 'model.options={\"width\": 9}' "
        "model.heatmap_sigma=3 train.lr=1e-3 seed=1 'output=a b/wide,lr=1e-3/seed1' --device cpu && "
        "keypoint test --checkpoint 'a b/wide,lr=1e-3/seed1/last.pt' --device cpu"
    )
    assert not (folder / "a b").exists()


@pytest.mark.parametrize("path", sorted((CONFIG_FOLDER / "sweeps").glob("*.yaml")), ids=str)
def test_the_sweeps_of_the_project_are_in_order(path, capsys):
    assert tool("sweep", path.stem, "--dry-run") == 0
    sweep = read_sweep(path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(sweep.points) * len(sweep.seeds) > 1
    assert path.read_text().startswith("# ")


def test_the_sweep_of_the_page_is_in_order(folder, capsys):
    page = (REPOSITORY / "docs" / "guides" / "comparing-runs.md").read_text()
    text = next(block.text for block in blocks(page) if block.text.startswith("# blocks.yaml"))
    (folder / "blocks.yaml").write_text(text)
    assert tool("sweep", folder / "blocks.yaml", "--dry-run") == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 18
    assert "output=output/blocks/nl,lr=2e-3/seed0 " in said


# ---------------------------------------------------------------- processes


class Process(Ended):
    """Ends at the third look, or when it is stopped."""

    def __init__(self, status, running):
        super().__init__(status)
        self.looks, self.running = 0, running
        running.append(self)

    def poll(self):
        self.looks += 1
        if self.looks < 3:
            return None
        if self in self.running:
            self.running.remove(self)
        return self.status


@pytest.fixture
def started(folder, monkeypatch):
    """What was started, as (words, log, threads); the names of runs that fail are in `.fail`."""

    class Started(list):
        fail, most = {}, 0

    made, running = Started(), []

    def start(words, log, threads):
        made.append((words, log, threads))
        status = next((s for name, s in made.fail.items() if name in " ".join(words)), 0)
        if log is not None and status:
            log.write_text("epoch 1\nerror: no room\n  for more\n")
        found = Process(status, running)
        made.most = max(made.most, len(running))
        return found

    monkeypatch.setattr(runs, "start", start)
    monkeypatch.setattr(runs, "POLL_S", 0.001)
    monkeypatch.setattr(runs, "cores", lambda: 5)
    monkeypatch.setattr("keypoint.commands.compare.tables", lambda *_, **__: ("the table", {}))
    return made


def test_runs_are_started_one_after_the_other(started, capsys):
    assert tool("sweep", "sweep.yaml", "seeds=[3]") == 0
    assert started.most == 1
    assert [words[0] for words, *_ in started] == ["train", "test"] * 4
    assert {(log, threads) for _, log, threads in started} == {(None, None)}
    assert capsys.readouterr().out.startswith("the table\n")


def test_two_jobs_share_the_cores_and_a_failure_is_reported_at_the_end(started, folder, capsys):
    started.fail = {"wide,lr=1e-3/seed0": 3, "wide,lr=0.002/seed1": 5}
    assert tool("sweep", "sweep.yaml", "--jobs", 2) == 3
    assert started.most == 2
    assert len(started) == 8 + 6  # the two have no test
    assert {threads for *_, threads in started} == {2}
    log = "out/wide,lr=1e-3/seed0/sweep.log"
    said = capsys.readouterr()
    assert f"wide,lr=1e-3/seed0: ended with status 3, {log}: error: no room\n" in said.err
    assert "none,lr=1e-3/seed0: done, out/none,lr=1e-3/seed0 (" in said.err
    assert "error: 2 of 8 runs failed, so there is no table: wide,lr=1e-3/seed0, wide" in said.err
    assert " of 8 runs, 00:00 to go)\n" in said.err
    assert "the table" not in said.out


def test_ctrl_c_counts_what_is_done(started, capsys):
    started.fail = {"wide,lr=1e-3/seed0": 3, "wide,lr=1e-3/seed1": 130}
    assert tool("sweep", "sweep.yaml") == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "stopped: 4 of 8 runs are done; --resume continues"  # and one has failed


@pytest.mark.parametrize(
    ("running", "waiting", "jobs", "seconds"),
    [
        ([10.0], 4, 2, 20.0),  # six runs, two at a time: the other of the first two ends now, too
        ([4.0], 0, 2, 6.0),
        ([10.0], 3, 2, 20.0),  # the last one is alone
        ([], 3, 1, 30.0),
        ([12.0], 0, 2, 0.0),  # longer than the mean
    ],
)
def test_the_time_to_go_is_that_of_runs_side_by_side(running, waiting, jobs, seconds):
    assert seconds_to_go([9.0, 11.0], running, waiting, jobs) == seconds


def test_the_processes_of_jobs_have_their_log_and_threads(folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runs, "START", ("-c", "import os, sys; print(os.environ['OMP_NUM_THREADS'], *sys.argv[1:]); exit(7)"))  # fmt: skip
    log = folder / "log"
    assert runs.start(("train", "x"), log, 3).wait() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "11")
    assert runs.start(("test", "y"), log, 3).wait() == 7
    assert log.read_text() == "3 train x\n11 test y\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_processes_and_waits_for_them(folder, monkeypatch, number, capsys):
    """Each takes longer to save than SIGTERM is raised again here."""
    monkeypatch.setattr(process, "AGAIN_S", 0.2)
    program = """
import signal, sys, time
from pathlib import Path
def end(*_):
    time.sleep(0.7)
    Path(sys.argv[1]).write_text("saved")
    raise SystemExit(143)
signal.signal(signal.SIGTERM, end)
Path(sys.argv[1]).write_text("begun")
time.sleep(60)
"""
    files = [folder / name for name in "ab"]

    def start(*_):
        if all(file.exists() for file in files):
            pytest.fail("a third one was started")
        file = files[len(made)]
        made.append(subprocess.Popen([sys.executable, "-c", program, str(file)]))
        return made[-1]

    def interrupt():
        while not all(file.exists() and file.read_text() for file in files):
            event.wait(0.02)
        os.kill(os.getpid(), number)

    made, event = [], threading.Event()
    monkeypatch.setattr(runs, "start", start)
    thread = threading.Thread(target=interrupt)
    thread.start()
    if number == signal.SIGINT:
        # A shell's background has it ignored.
        before = signal.signal(number, signal.default_int_handler)
        assert tool("sweep", "sweep.yaml", "--jobs", 2) == 130
        signal.signal(number, before)
    else:
        assert tool("sweep", "sweep.yaml", "--jobs", 2) == 143
    thread.join()
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "stopped: 0 of 8 runs are done; --resume continues"
    assert [file.read_text() for file in files] == ["saved", "saved"]
    assert [each.returncode for each in made] == [143, 143]


# ---------------------------------------------------------------- real runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of a few images, and a sweep of two points and two seeds of it."""
    root = tmp_path_factory.mktemp("sweep")
    for split in ("train2017", "val2017"):
        tiny_coco.write(root, tiny_coco.content(2, 2, seed=len(split)), split)
    (root / "base.yaml").write_text(
        f"data: {{root: {root}, workers: 0}}\n"
        "model: {network: 'tests.commands.tiny_nets:build', input_size: [32, 32]}\n"
        "train: {epochs: 3, batch_size: 2, evaluate_every: 1, save_every: none, optimizer: sgd, momentum: 0}\n"
        "test: {flip: false}\n"
    )
    (root / "sweep.yaml").write_text(
        f"cfg: base.yaml\noutput: {root}/out\nseeds: [0, 1]\n"
        "grid:\n  width:\n    none: {}\n    wide: {model.options: {width: 9}}\n"
        "test: [--analyse]\n"
    )
    return root


@pytest.fixture(scope="module")
def done(data):
    """The sweep, with two at a time, of which one was killed and then resumed."""
    with pytest.MonkeyPatch.context() as patch:
        killed = []

        def start(command, log, threads):
            with log.open("ab") as file:
                begun = forked.start(words(*command), stdout=file, stderr=file)
            folder = data / "out" / "wide" / "seed0"
            if not killed and f"output={folder}" in command:
                killed.append(begun)
                while not (folder / "last.pt").exists() and begun.poll() is None:
                    time.sleep(0.005)
                begun.send_signal(signal.SIGKILL)
            return begun

        patch.setattr(runs, "start", start)
        options = ["--jobs", 2, "--device", "cpu"]
        assert tool("sweep", data / "sweep.yaml", *options) == 128 + signal.SIGKILL
        assert not (data / "out" / "compare.md").exists()
        assert tool("sweep", data / "sweep.yaml", *options) == 2  # --resume was not given
        first = changed(data / "out")
        assert tool("sweep", data / "sweep.yaml", *options, "--resume") == 0
        return {
            path.parent for path, time in changed(data / "out").items() if first.get(path) != time
        }


def changed(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*.pt"))}


def test_only_what_was_not_done_is_done_again(done, data):
    assert done == {data / "out" / "wide" / "seed0"}
    said = (data / "out" / "wide" / "seed0" / "sweep.log").read_text()
    assert "last.pt: resuming at epoch 1" in said
    names = {path.parent.relative_to(data / "out").as_posix() for path in changed(data / "out")}
    assert names == {f"{point}/seed{seed}" for point, seed in itertools.product(("none", "wide"), (0, 1))}  # fmt: skip
    assert all((path.parent / "sweep.log").stat().st_size for path in changed(data / "out"))


def test_the_table_has_a_group_a_point(done, data):
    text = (data / "out" / "compare.md").read_text()
    assert "Difference to none" in text
    assert "AP of each keypoint alone" in text  # of --analyse
    rows = list(csv.DictReader((data / "out" / "runs.csv").open()))
    assert {(row["group"], row["n"]) for row in rows} == {("none", "2"), ("wide", "2")}
    assert (data / "out" / "runs.png").is_file()


def test_nothing_is_left_to_do(done, data, capsys, monkeypatch):
    monkeypatch.setattr(runs, "start", None)
    assert tool("sweep", data / "sweep.yaml", "--dry-run") == 0
    assert capsys.readouterr().out == ""
    assert tool("sweep", data / "sweep.yaml", "--resume") == 0
    assert "Difference to none" in capsys.readouterr().out
    assert tool("sweep", data / "sweep.yaml", "--dry-run", "--overwrite") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_test_of_another_checkpoint_or_without_analysis_is_none(done, data, capsys, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(data / "out", output)
    card = output / "none" / "seed1" / "card.md"
    card.write_text(card.read_text().replace("sha256", "of best.pt", 1).translate({ord("a"): "b"}))
    metrics = output / "wide" / "seed0" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"analysis"', '"other"'))
    # The folder is part of the config of a run, so the copies are of other runs but for their tests.
    for path in output.rglob("config.yaml"):
        path.write_text(path.read_text().replace(str(data / "out"), str(output)))
    assert tool("sweep", data / "sweep.yaml", "--dry-run", f"output={output}") == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    tests = [str(output / name / "last.pt") for name in ("none/seed1", "wide/seed0")]
    assert lines == [["keypoint", "test", "--checkpoint", path, "--analyse"] for path in tests]


def test_another_config_is_refused(done, data, capsys, monkeypatch):
    monkeypatch.setattr(runs, "start", None)
    assert tool("sweep", data / "sweep.yaml", "--resume", "train.lr=0.5") == 4
    said = capsys.readouterr().err
    assert "was trained with another config: train.lr=0.5" in said
    remedy = "give another output=, or train all runs again with --overwrite instead of --resume"
    assert said.rstrip().endswith(f"; resume with the same, {remedy}")


def test_action_recognition(tmp_path, monkeypatch, capsys, one_thread):
    """In this process instead of others; one seed, so the interval is over the videos."""
    cfg = tiny_action.write_config(tmp_path)
    (tmp_path / "s.yaml").write_text(
        f"cfg: {cfg}\noutput: {tmp_path}/out\nseeds: [0]\ngrid: {{train.lr: [1e-2, 1e-3]}}\n"
        "set: {model.network: c2d_tiny, train.epochs: 1, train.lr_drops: []}\n"
        "test: [test.clips=1]\n"
    )
    monkeypatch.setattr(runs, "start", lambda words, *_: Ended(tool(*words)))
    assert tool("sweep", tmp_path / "s.yaml", "--device", "cpu") == 0
    said = capsys.readouterr().out
    assert "Difference to lr=1e-2\n" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"lr=1e-2", "lr=1e-3", "compare.md", "compare.csv", "runs.csv", "runs.png"}
    assert tool("sweep", tmp_path / "s.yaml", "--dry-run") == 0
    assert capsys.readouterr().out == ""
