"""Many processes: the same numbers as one, and no fault of one is survived or hidden by the others.

ROUNDS in the environment repeats every fault (`make fault-test`); otherwise some are tried once.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint.data.synthetic.demo_set import write_demo_set
from tests import forked
from tests.end_to_end.test_train import CONFIG, ENVIRONMENT, REPOSITORY, run, state, train

ROUNDS = int(os.environ.get("ROUNDS", "0"))
FAULTY = Path(__file__).with_name("faulty_train.py")
LONGEST = 60  # s from the fault to the end of the job
TIMEOUT = 15  # s of a process's patience where one hangs
LONG = ["train.epochs=1000", "train.evaluate_every=1000"]
SHORT = ["train.epochs=1"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    write_demo_set(folder / "data", train_images=21, val_images=5, seed=1)
    (folder / "tiny.yaml").write_text(CONFIG.replace("ROOT", str(folder / "data")))
    return folder


@pytest.fixture(scope="module")
def one(work):
    """One process that takes two batches a step."""
    train(work, work / "one", "train.accumulate=2", "train.epochs=2", "model.blocks=srl_lo")
    return work / "one"


@pytest.fixture(scope="module")
def two(work):
    train(work, work / "two", "train.epochs=2", "model.blocks=srl_lo", processes=2)
    return work / "two"


def test_two_processes_train_as_one_with_the_same_global_batch(one, two):
    """BatchNorm normalises by batch of a process in both; its running statistics are rank 0's."""
    a, b = state(one / "last.pt"), state(two / "last.pt")
    assert b["world_size"] == 2
    assert (a["step"], a["epoch"]) == (b["step"], b["epoch"])
    compared = 0
    for name, tensor in a["model"].items():
        if "running" in name or "num_batches" in name:
            continue
        torch.testing.assert_close(b["model"][name], tensor, atol=2e-4, rtol=1e-3, msg=name)
        compared += 1
    assert compared > 60
    # Adam does not see a gradient's scale, its averages do: the mean of the processes, not the sum.
    for number, state_of_one in a["optimizer"]["state"].items():
        ours, theirs = state_of_one["exp_avg"], b["optimizer"]["state"][number]["exp_avg"]
        assert (ours - theirs).norm() <= 0.1 * ours.norm(), number


def test_all_ranks_evaluate_the_network_that_is_saved(work, two):
    """Each has BatchNorm statistics of its own batches while it trains."""
    run("test.py", "--checkpoint", two / "last.pt", f"output={work / 'two_tested'}")
    in_training, tested = (
        json.loads((folder / "results.json").read_text()) for folder in (two, work / "two_tested")
    )
    for a, b in zip(in_training, tested, strict=True):
        assert a["image_id"] == b["image_id"]
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=1e-3)


def test_another_number_of_processes_is_refused_unless_allowed(work, two):
    arguments = ["train.epochs=2", "model.blocks=srl_lo", "--resume"]
    refused = train(work, two, *arguments, status=4)
    assert "was trained with 2 process(es), now there are 1" in refused.stderr
    assert "--allow-changed" in refused.stderr
    allowed = train(work, two, *arguments, "--allow-changed")
    assert "allowed by --allow-changed: from here on it is a different run" in allowed.stderr


@pytest.mark.parametrize("processes", [2, 3] if ROUNDS else [2])
def test_evaluation_gives_the_same_numbers_on_any_number(work, one, processes):
    """Five images, so that no number but one divides them."""
    folders = {number: work / f"by{number}" for number in (1, processes)}
    for number, folder in folders.items():
        run("test.py", "--checkpoint", one / "best.pt", f"output={folder}", processes=number)
    metrics = [
        json.loads((folder / "metrics.json").read_text())["metrics"] for folder in folders.values()
    ]
    results = [json.loads((folder / "results.json").read_text()) for folder in folders.values()]
    for name, value in metrics[0].items():
        assert metrics[1][name] == pytest.approx(value, abs=1e-12)
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results, strict=True):
        assert a["image_id"] == b["image_id"]
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=1e-3)


def training(work, output):
    """The words of a faulty training."""
    return [str(FAULTY), "--cfg", str(work / "tiny.yaml"), f"output={output}"]


def torchrun(work, output, *arguments):
    """The words that start it on two processes."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        *arguments, *training(work, output),
    ]  # fmt: skip


def faulty(work, name, fault, *arguments, rank1="", step=2):
    """Run with a fault on rank 1: status, terminal, seconds from the fault's earliest time on.

    By torchrun, which has an end to make of the others, where that is in question.
    """
    arguments = ["--process-timeout", str(TIMEOUT), *arguments]
    environment = ENVIRONMENT | {"FAULT": fault, "FAULT_STEP": str(step), "RANK1_ARGUMENTS": rank1}
    begin = time.monotonic()
    if not ROUNDS and fault not in BY_TORCHRUN:
        command = [sys.executable, *training(work, work / name), *arguments]
        ranks = forked.ranks(2, environment)
        done = forked.run_ranks(command, ranks, timeout=200, cwd=REPOSITORY)
        return done.returncode, done.stderr, time.monotonic() - begin
    command = [*torchrun(work, work / name), *arguments]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        start_new_session=True,
    )  # fmt: skip
    started = None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if started is None and "recipe" in line:  # data are read, training begins
            started = time.monotonic()
    status = process.wait(timeout=200)
    seconds = time.monotonic() - (started or begin)
    assert not orphans(process.pid), "processes of the job live on"
    return status, "".join(lines), seconds


def orphans(group):
    """Processes of a group that are still there ten seconds later."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True).stdout
        if not found.strip():
            return ""
        time.sleep(0.2)
    return found


FAULTS = {
    "nan": "rank 1: the loss is nan at step 2",
    "raise": "planted on rank 1",
    "kill": "Signal 9 (SIGKILL)",
    "exit": "another process has ended or does not answer",
    "hang": "another process has ended or does not answer",
    "drift": "rank 1 differs from rank 0 in the network's parameters at step",
}
QUICK = ("nan", "exit")
BY_TORCHRUN = ("exit",)  # with ROUNDS, all are


@pytest.mark.parametrize("round_", range(ROUNDS or 1))
@pytest.mark.parametrize("fault", FAULTS if ROUNDS else QUICK)
def test_a_fault_on_one_rank_ends_the_job(work, fault, round_):
    arguments = SHORT if fault == "drift" else LONG
    status, text, seconds = faulty(work, f"{fault}{round_}", fault, *arguments)
    sys.stdout.write(f"{fault}: status {status} after {seconds:.0f} s\n")
    assert status != 0
    assert FAULTS[fault] in text, text
    assert seconds < LONGEST + (TIMEOUT + 10) * (fault == "hang")
    assert not (work / f"{fault}{round_}" / "last.pt").exists()


DISAGREEMENTS = {
    "train.lr=0.5": "rank 1 differs from rank 0 in train.lr: 0.5 instead of 0.001",
    "data.root=OTHER": "rank 1 differs from rank 0 in the test persons",
    "parameters": "rank 1 differs from rank 0 in the network's parameters at step 0",
}


@pytest.mark.parametrize("what", DISAGREEMENTS if ROUNDS else ["data.root=OTHER"])
def test_ranks_that_disagree_are_reported_before_training(work, what):
    if "OTHER" in what and not (work / "other").exists():
        write_demo_set(work / "other", train_images=20, val_images=5, seed=2)
    rank1 = what.replace("OTHER", str(work / "other")) if "=" in what else ""
    status, text, _ = faulty(work, f"disagree_{what[:5]}", what, *SHORT, rank1=rank1)
    assert status != 0
    assert DISAGREEMENTS[what] in text, text
    assert not (work / f"disagree_{what[:5]}" / "last.pt").exists()


def test_a_killed_job_restarts_itself_and_ends_as_if_nothing_had_happened(work, two):
    """torchrun --max-restarts with --resume, one rank killed in the first life."""
    if not ROUNDS:
        pytest.skip("make fault-test runs it")
    output = work / "elastic"
    once = work / "killed_once"
    command = torchrun(work, output, "--max-restarts", "2")
    command += ["--resume", "train.epochs=2", "model.blocks=srl_lo", "train.save_every=1"]
    environment = ENVIRONMENT | {"FAULT": "kill", "FAULT_STEP": "2", "FAULT_ONCE": str(once)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert once.exists()
    assert "resuming at epoch 1" in done.stderr
    ours, whole = state(output / "last.pt"), state(two / "last.pt")
    for name, tensor in whole["model"].items():
        assert torch.equal(ours["model"][name], tensor), name


def test_sigterm_to_torchrun_saves_on_all_ranks_and_loses_no_step(work):
    if not ROUNDS:
        pytest.skip("make fault-test runs it")
    output, counter = work / "terminated", work / "terminated_steps"
    counter.write_text("0")
    process = subprocess.Popen(
        [*torchrun(work, output), *LONG], env=ENVIRONMENT | {"COUNT": str(counter)}, stderr=subprocess.PIPE, text=True,
        cwd=REPOSITORY, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while int(counter.read_text() or 0) < 5 and time.monotonic() < end:
        time.sleep(0.05)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=60)[1]
    assert time.monotonic() - begin < 30
    assert process.returncode != 0
    assert "stopped by SIGTERM after saving" in text, text
    assert state(output / "last.pt")["step"] >= int(counter.read_text()) >= 5
    assert not orphans(process.pid)
