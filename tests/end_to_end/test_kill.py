"""A training killed again and again ends as if nothing had happened. `make kill-test` kills it 100 times.

KILLS in the environment is how many times; each run is killed wherever it is, from its first save
on: in a step, in a save, in the evaluation, while pictures are drawn. Then it is resumed.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from keypoint.data.synthetic import write_demo_set
from tests.end_to_end.test_train import CONFIG, ENVIRONMENT, NUMBERS, REPOSITORY, equal, state

KILLS = int(os.environ.get("KILLS", "2"))
LONGEST = 1.0  # s between a run's first save and the kill; its four epochs take two to four


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    write_demo_set(folder / "data", train_images=12, val_images=4, seed=1)
    text = CONFIG.replace("ROOT", str(folder / "data")).replace("epochs: 2", "epochs: 4, ema: 0.9")
    (folder / "tiny.yaml").write_text(text)
    return folder


def start(work, output, workers):
    output.mkdir(exist_ok=True)
    with (output / "stderr.txt").open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "tools" / "train.py"), "--cfg", str(work / "tiny.yaml"),
             f"output={output}", f"data.workers={workers}", "--resume"],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=stderr, cwd=REPOSITORY, start_new_session=True,
        )  # fmt: skip


def is_running_after_save(process, file, before):
    """Wait until the run has saved once; false if it came to its end."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        if file.exists() and file.stat().st_mtime_ns != before:
            return True
        time.sleep(0.005)
    raise AssertionError("no save within 120 s")


@pytest.fixture(scope="module")
def whole(work):
    process = start(work, work / "whole", 0)
    assert process.wait(timeout=200) == 0
    return state(work / "whole" / "last.pt")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_anywhere_and_resumed_is_bit_for_bit_the_same(work, whole, workers):
    rng = random.Random(workers)
    kills = finished = 0
    places = set()
    while kills < KILLS // 2 or not finished:
        output = work / f"workers{workers}_{finished}"
        last = output / "last.pt"
        before = last.stat().st_mtime_ns if last.exists() else None
        process = start(work, output, workers)
        alive = is_running_after_save(process, last, before)
        if alive and kills < KILLS // 2:
            time.sleep(rng.uniform(0, LONGEST))
            alive = process.poll() is None
            if alive:
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait(timeout=200)
        saved = state(last)  # readable, whenever the run died
        if status == -signal.SIGKILL:
            kills += 1
            places.add((saved["epoch"], saved["batch"]))
            continue
        assert status == 0, (output / "stderr.txt").read_text()
        finished += 1
        for key in NUMBERS:
            assert equal(whole[key], saved[key]), key
        assert not list(output.glob(".*.tmp")), "left by a dead run"
    sys.stdout.write(f"{kills} kills at {len(places)} places, {finished} whole runs\n")
    assert kills == KILLS // 2
