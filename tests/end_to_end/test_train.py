"""The commands as a user runs them, on a tiny generated data set: train, stop, kill, resume, many processes, test."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from keypoint.checkpoint.card import read_card
from keypoint.data.synthetic.demo_set import write_demo_set
from tests import forked

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CONFIG = """
data: {root: ROOT, workers: 0}
model: {encoder: resnet18, input_size: [64, 64], blocks: srl_fft, weights: none}
train: {epochs: 2, batch_size: 4, evaluate_every: 1, save_every: none, log_every: 1}
test: {batch_size: 16}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("end_to_end")
    write_demo_set(folder / "data", train_images=20, val_images=6, seed=1)
    (folder / "tiny.yaml").write_text(CONFIG.replace("ROOT", str(folder / "data")))
    return folder


def command(tool, *arguments):
    return [sys.executable, REPOSITORY / "tools" / tool, *arguments]


def run(tool, *arguments, processes=1, status=0):
    ranks = [ENVIRONMENT] if processes == 1 else forked.ranks(processes, ENVIRONMENT)
    done = forked.run_ranks(command(tool, *arguments), ranks, timeout=200, cwd=REPOSITORY)
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def train(work, output, *arguments, **options):
    return run("train.py", "--cfg", work / "tiny.yaml", f"output={output}", *arguments, **options)


def state(path):
    return torch.load(path, weights_only=True)


def equal(a, b):
    """Bit for bit, whatever is nested."""
    if torch.is_tensor(a):
        return torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


NUMBERS = ("model", "ema", "optimizer", "scaler", "epoch", "batch", "step", "loss_sum", "best", "history", "card")  # fmt: skip


@pytest.fixture(scope="module")
def whole_run(work):
    """Two epochs without interruption."""
    output = work / "whole"
    done = train(work, output)
    return output, done


def test_two_epochs_from_the_command_line_to_ap(whole_run, work):
    output, done = whole_run
    names = "last.pt best.pt config.yaml log.txt data_report.json history.json curves.png"
    assert all((output / name).stat().st_size for name in names.split())
    assert list(output.glob("events.out.tfevents.*"))
    history = json.loads((output / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2]
    assert all(0 <= record["metrics"]["AP"] <= 1 for record in history)
    assert history[1]["loss"] < history[0]["loss"]
    for report in json.loads((output / "data_report.json").read_text()).values():
        assert report["total"] == report["used"] + sum(report["skipped"].values())
    assert re.search(r"train .*persons = \d+ used \+ \d+ skipped", done.stderr)

    tested = run(
        "test.py", "--checkpoint", output / "best.pt", f"output={work / 'tested'}", "--pictures", 2
    )
    metrics = json.loads((work / "tested" / "metrics.json").read_text())
    best = state(output / "best.pt")["best"]
    selected = (
        "NOTE     chosen as the best of at least 2 evaluations on these same images"
        in tested.stdout
    )
    assert selected == (best["epoch"] == 2)  # after the first, no other is known
    assert metrics["metrics"] == best["metrics"]  # the same numbers from the file as in training
    assert metrics["conditions"]["boxes"] == "ground truth"
    assert metrics["conditions"]["flip"] is True
    saved = state(output / "best.pt")  # and says what they hold for, as the test does
    conditions = saved["history"][-1]["conditions"] | {"boxes_file": "", "annotations": ""}
    tested_under = metrics["conditions"] | {"boxes_file": "", "annotations": "", "amp": None}
    tested_under["persons"] = {
        key: tested_under["persons"][key] for key in ("total", "used", "skipped")
    }
    assert conditions.items() <= tested_under.items()
    report = json.loads((output / "data_report.json").read_text())["train"]
    said = saved["card"]["data"]["train"]
    assert (said["entries"], said["used"]) == (report["total"], report["used"])
    assert read_card(output / "best.pt")["measured"]["metrics"] == {
        name: None if value == -1 else value for name, value in best["metrics"].items()
    }
    assert "AP_M" in tested.stdout
    assert "ground truth" in tested.stdout
    results = json.loads((work / "tested" / "results.json").read_text())
    assert len(results) == metrics["conditions"]["results"]["kept"]
    assert (work / "tested" / "predictions.jpg").stat().st_size > 0


def test_a_checkpoint_is_tested_at_another_resolution(whole_run, work):
    checkpoint, output = whole_run[0] / "best.pt", work / "tested_larger"
    run("test.py", "--checkpoint", checkpoint, f"output={output}", "model.input_size=[96,64]")
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["conditions"]["input_size"] == [96, 64]
    assert 0 <= metrics["metrics"]["AP"] <= 1
    refused = run("test.py", "--checkpoint", checkpoint, "model.blocks=nl", status=2)
    assert "model.blocks='nl' has no effect: the checkpoint contains a network" in refused.stderr


def test_checkpoint_holds_tensors_and_plain_types_only(whole_run):
    content = state(whole_run[0] / "last.pt")  # weights_only=True opens it

    def plain(value):
        if isinstance(value, dict):
            return all(map(plain, value)) and all(map(plain, value.values()))
        if isinstance(value, (list, tuple)):
            return all(map(plain, value))
        return value is None or type(value) in (int, float, str, bool, torch.Tensor)

    assert plain(content)
    assert content["color_order"] == "rgb"
    assert content["skeleton"]["name"] == "coco17"
    assert content["config"]["model"]["blocks"] == "srl_fft"


def start_and_wait_for_steps(work, output, steps, *arguments):
    """A training process that has saved at least so many steps."""
    output.mkdir()
    with (output / "stderr.txt").open("w") as stderr:
        process = forked.start(
            command("train.py", "--cfg", work / "tiny.yaml", f"output={output}", *arguments),
            env=ENVIRONMENT, stderr=stderr, cwd=REPOSITORY,
        )  # fmt: skip
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if (output / "last.pt").exists() and state(output / "last.pt")["step"] >= steps:
            return process
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint: {(output / 'stderr.txt').read_text()}")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_exits(work, whole_run, number, status):
    output = work / f"signal{status}"
    process = start_and_wait_for_steps(work, output, 1, "data.workers=1", "train.evaluate_every=2")
    os.killpg(process.pid, number)  # as Ctrl-C does: the worker processes get it too
    assert process.wait(timeout=30) == status
    text = (output / "stderr.txt").read_text()
    assert "--resume continues from last.pt" in text
    assert "Traceback" not in text


def test_another_runs_folder_is_never_overwritten_silently(work, whole_run):
    names = ("last.pt", "config.yaml", "data_report.json")
    before = [(whole_run[0] / name).read_bytes() for name in names]
    refused = train(work, whole_run[0], status=2)
    assert "contains another run; --resume continues it" in refused.stderr
    others = ["data.train_annotations=annotations/person_keypoints_val2017.json"]
    others += ["data.train_images=val2017", "train.lr=0.01"]
    changed = train(work, whole_run[0], "--resume", *others, status=4)
    assert "train.lr=0.01 (was 0.001)" in changed.stderr
    assert [(whole_run[0] / name).read_bytes() for name in names] == before


def test_one_run_at_a_time_and_a_new_one_in_its_place(work):
    output = work / "in_its_place"
    process = start_and_wait_for_steps(
        work, output, 2, "train.epochs=50", "train.lr=0.002", "train.save_every=1"
    )
    second = train(work, output, "--resume", status=2)
    assert f"is being written to by another run (process {process.pid} on " in second.stderr
    process.terminate()
    assert process.wait(timeout=30) == 143
    left = list(output.glob("events.out.tfevents.*"))
    train(work, output, "--overwrite", "train.epochs=1")
    content = state(output / "last.pt")
    assert content["epoch"] == len(content["history"]) == 1
    assert content["config"]["train"]["lr"] == 0.001
    assert not any(file.exists() for file in left)


def test_loss_that_is_not_finite_stops_and_names_step_and_images(work):
    output = work / "nan"
    diverging = ["train.lr=1000", "train.optimizer=sgd"]
    diverging += ["train.epochs=30", "train.evaluate_every=30"]
    refused = train(work, output, *diverging, status=5)
    assert re.search(r"error: the loss is (nan|inf) at step \d+.*image ids \[\d+", refused.stderr)
    assert "Traceback" not in refused.stderr
    assert "Traceback" in (output / "log.txt").read_text()
    saved = state(output / "last.pt") if (output / "last.pt").exists() else {"model": {}}
    assert all(torch.isfinite(tensor).all() for tensor in saved["model"].values())


def test_options_of_the_trainer_run(work):
    output = work / "options"
    train(
        work, output, "train.epochs=1", "train.amp=bf16", "train.ema=0.9", "train.accumulate=2", "train.warmup_steps=3", "train.batch_size=2",
        "train.optimizer=adamw", "train.weight_decay=0.01", "model.blocks=srl_lo", "test.flip=false",
        "augment.transforms=[{name: ColorJitter, p: 0.5}]", "train.recipe=hrnet", "train.ohkm=8", "train.keypoint_weights={left_ankle: 1.5}",
    )  # fmt: skip
    log = (output / "log.txt").read_text()
    assert "recipe hrnet, except train.optimizer=adamw (adam)" in log
    assert "4 crops a step (train.batch_size 2 x 1 device x train.accumulate 2), in" in log
    content = state(output / "last.pt")
    assert content["config"]["augment"]["half_body_probability"] == 0.3
    assert content["ema"].keys() == content["model"].keys()
    assert not equal(content["ema"], content["model"])
    matrices = [tensor for name, tensor in content["model"].items() if name.endswith((".P", ".Q"))]
    assert len(matrices) == 6
    for matrix in matrices:
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5, rtol=0)
    run("test.py", "--checkpoint", output / "best.pt", f"output={work / 'options_tested'}")


def test_errors_have_no_traceback_unless_asked_for(work):
    missing = run("test.py", "--checkpoint", work / "absent.pt", status=4)
    assert missing.stderr.strip() == f"error: {work / 'absent.pt'}: no such file; check the path"
    debug = run("test.py", "--checkpoint", work / "absent.pt", "--debug", status=1)
    assert "Traceback" in debug.stderr
    wrong = train(work, work / "x", "train.epoch=3", "data.workers=-1", status=2)
    assert "train.epoch: no such key; did you mean epochs?" in wrong.stderr
    assert "data.workers" in wrong.stderr
    unfound = train(work, work / "x", "data.root=/nowhere", status=3)
    assert "/nowhere" in unfound.stderr
