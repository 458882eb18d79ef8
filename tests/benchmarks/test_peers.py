"""`run.py peers` compares both sides on the same work, each in a process of its own."""

import contextlib
import importlib
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint.commands import cli
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.models import SimpleBaseline
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.predictor import Predictor

TOOLS = Path(__file__).parents[2] / "tools" / "benchmarks"
WORKS = [
    "training data, 64x32",
    *(f"evaluation data, {number} an image" for number in (1, 3, 20)),
    "training step, 64x32",
    "persons from files (Predictor)",
    "persons from files (OnnxPredictor)",
    "after the network",
    "reading annotations",
    "start: help",
]
SMALL = ["--input-size", "64x32", "--batch", "2", "--crops", "3", "--step-batch", "2"]
SMALL += ["--photos", "1", "--boxes", "70", "--persons", "30", "--threads", "1", "--rounds", "1"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / "data"
    write_demo_set(folder, train_images=2, val_images=0, image_size=(96, 128), seed=2)
    return folder / "annotations" / "person_keypoints_train2017.json", folder / "train2017"


@pytest.fixture
def peers(monkeypatch):
    """The command's module; threads as they were afterwards."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr("keypoint.commands.cli.log_to", lambda: None)
    threads = torch.get_num_threads()
    yield importlib.import_module("peers")
    torch.set_num_threads(threads)


@pytest.fixture
def run(peers, capsys):
    def call(*arguments, status=0):
        benchmark = importlib.import_module("run")
        assert cli.run(benchmark.main, ["peers", *map(str, arguments)]) == status
        return capsys.readouterr()

    return call


@pytest.fixture
def in_this_process(peers, monkeypatch):
    """Both sides here, with a small network for prediction: starts and exports take seconds."""
    side, ours = importlib.import_module("peer_side"), importlib.import_module("peer_ours")

    class Here:
        def __init__(self, module, setting):
            self.works = importlib.import_module(module).works(setting)
            self.names = list(self.works)

        def way(self, work):
            way = self.works[work]()

            def quiet(number):
                with contextlib.redirect_stdout(io.StringIO()):
                    return way(number)

            return quiet

        def drop(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def small(*_):
        return Predictor(network((64, 32)).eval(), load_skeleton("coco17"))

    def network(size):
        return SimpleBaseline("resnet18", input_size=size)

    monkeypatch.setattr(peers, "Side", Here)
    monkeypatch.setattr(importlib.import_module("start"), "write_files", lambda *_: None)
    for module in (ours, importlib.import_module("peer_straightforward")):
        monkeypatch.setattr(module, "network", network)
        monkeypatch.setattr(module, "Process", lambda *_: lambda _: 1.0)
    monkeypatch.setattr(ours, "by_torch", small)
    monkeypatch.setattr(ours, "by_onnx", small)
    return side


def rows_of(text):
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_every_work_has_a_row_next_to_straightforward_code(demo, tmp_path, run, in_this_process):
    annotations, images = demo
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin peers cpu -->\nold\n<!-- end peers cpu -->\n")
    given = ["--images", images, "--annotations", annotations, *SMALL, "--write", document]
    done = run(*given)
    rows = rows_of(done.out)
    assert [row[0] for row in rows] == WORKS
    assert {row[1] for row in rows} == {"straightforward"}
    assert all(float(number) > 0 for row in rows for number in row[3:])
    assert "\nold\n" not in document.read_text()
    assert done.out.strip() in document.read_text()


def test_a_ratio_above_1_is_ours_and_its_range_is_over_rounds(peers):
    row = peers.row("training data, 64x32", "X", np.array([0.2, 0.4, 0.9]), np.array([0.1] * 3))
    assert row[:3] == ["training data, 64x32", "X", "ms a crop"]
    assert row[3:] == ["400", "100", "4.00", "2.00", "9.00"]
    assert peers.row("start: help", "X", np.array([2.0]), np.array([4.0]))[2:6] == [
        "s", "2", "4", "0.50",
    ]  # fmt: skip


def test_a_side_is_a_process_of_its_own_and_its_error_is_reported(
    peers, tmp_path, monkeypatch, capfd
):
    side = importlib.import_module("peer_side")
    (tmp_path / "tiny_side.py").write_text(
        "import os\n"
        "def works(setting):\n"
        "    return {'pid': build, 'built': lambda: lambda _: float(count), 'bad': lambda: 1 / 0}\n"
        "count = 0\n"
        "def build():\n"
        "    global count\n"
        "    count += 1\n"
        "    print('not shown')\n"
        "    return lambda number: float(os.getpid()) + number\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with side.Side("tiny_side", None) as tiny:
        assert tiny.names == ["pid", "built", "bad"]
        pid = tiny.way("pid")
        assert pid(1) == pid(0) + 1 != os.getpid() + 1
        assert tiny.way("built")(0) == 1
        tiny.drop()
        pid(0)
        tiny.drop()
        assert tiny.way("built")(0) == 2
        with pytest.raises(ZeroDivisionError):
            tiny.way("bad")(0)
    assert "not shown" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "."], "--images and --annotations belong together"),
        (["--hrnet", "."], "--hrnet .: is not a clone of github.com/leoxiaobin/"),
        (
            ["--mmpose"],
            "['mmpose', 'mmcv', 'mmengine'] not installed; see docs/benchmarks/others.md",
        ),
    ],
)
def test_what_is_not_there_is_named_before_any_work(run, peers, monkeypatch, arguments, message):
    monkeypatch.setattr(peers, "importable", lambda name: False)
    assert message in run(*arguments, status=2).err


def test_hrnets_code_runs_on_the_same_work(demo, run):
    folder = os.environ.get("KEYPOINT_HRNET")
    if not folder:
        pytest.skip("set KEYPOINT_HRNET to a clone of leoxiaobin/deep-high-resolution-net.pytorch")
    pytest.importorskip("yacs")
    pytest.importorskip("json_tricks")
    annotations, images = demo
    given = ["--images", images, "--annotations", annotations, "--hrnet", folder, *SMALL]
    done = run(*given, "--only", "data", "step", "after", "read")  # `after` compares AP itself
    assert [row[0] for row in rows_of(done.out)] == [
        work for work in WORKS if not re.match("persons|start", work)
    ]
