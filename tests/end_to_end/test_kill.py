"""A training killed or stopped anywhere resumes as if nothing had happened. `make kill-test` does so 100 and 50 times.

KILLS in the environment is how many times it is killed; each run is killed wherever it is, from its
first save on: in a step, in a save, in the evaluation, while pictures are drawn. Then it is
resumed. STOPS is how many times it is sent SIGTERM, from its start on.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keypoint.data.synthetic.demo_set import write_demo_set
from tests import forked
from tests.end_to_end.test_train import CONFIG, ENVIRONMENT, NUMBERS, REPOSITORY, equal, state

KILLS = int(os.environ.get("KILLS", "2"))
STOPS = int(os.environ.get("STOPS", "2"))
FAULTY = Path(__file__).with_name("faulty_train.py")
LONGEST = 1.0  # s between a run's first save and the kill; its four epochs take two to four


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    write_demo_set(folder / "data", train_images=12, val_images=4, seed=1)
    text = CONFIG.replace("ROOT", str(folder / "data")).replace("epochs: 2", "epochs: 4, ema: 0.9")
    text = text.replace("save_every: none", "save_every: 2")
    (folder / "tiny.yaml").write_text(text)
    return folder


def start(work, output, workers):
    output.mkdir(exist_ok=True)
    with (output / "stderr.txt").open("w") as stderr:
        return forked.start(
            [sys.executable, REPOSITORY / "tools" / "train.py", "--cfg", work / "tiny.yaml",
             f"output={output}", f"data.workers={workers}", "--resume"],
            env=ENVIRONMENT, stderr=stderr, cwd=REPOSITORY,
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


@pytest.mark.timeout(3600)
def test_stopped_anywhere_ends_in_time_with_143_and_no_step_is_lost(work):
    """Nothing is saved within an epoch but for the signal; data are read by two workers."""
    rng = random.Random(0)
    output = work / "stopped"
    output.mkdir()
    last, counter = output / "last.pt", work / "steps"
    stops, seconds, steps, slower = 0, [], set(), 1
    while stops < STOPS:
        command = [sys.executable, FAULTY, "--cfg", work / "tiny.yaml", f"output={output}"]
        command += ["data.workers=2", "train.save_every=none", "train.epochs=1000", "--resume"]
        options = {"env": ENVIRONMENT | {"COUNT": str(counter)}, "cwd": REPOSITORY}
        with (output / "stderr.txt").open("w") as stderr:
            if stops % 5:
                process = forked.start(command, stderr=stderr, **options)
            else:
                process = subprocess.Popen(
                    command, stderr=stderr, start_new_session=True, **options
                )
        before = state(last)["step"] if last.exists() else 0
        counter.write_text("0")
        if stops % 5:  # else wherever it is in its start
            while counter.read_text() in ("", "0"):
                assert process.poll() is None, (output / "stderr.txt").read_text()
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 2))
        else:
            time.sleep(rng.uniform(3, 9) * slower)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=60)
        seconds.append(time.monotonic() - begin)
        text = (output / "stderr.txt").read_text()
        if status == -signal.SIGTERM and "keypoint" not in text and counter.read_text() == "0":
            slower *= 2  # a busy machine
            continue  # Python itself was still starting: no program of ours yet
        assert status == 143, text
        assert "Traceback" not in text
        done = int(counter.read_text() or 0)
        saved = state(last)["step"] if last.exists() else 0
        assert saved >= max(before, done), "a step that was done is lost"
        assert seconds[-1] < 10
        stops += 1
        steps.add(saved)
        left = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True)
        assert not left.stdout.strip(), "worker processes live on"
    sys.stdout.write(
        f"{stops} SIGTERMs at {len(steps)} steps, status 143 each, after {sorted(seconds)[-1]:.1f} s "
        f"at most, {sorted(seconds)[len(seconds) * 95 // 100 - 1]:.1f} s in 95 %\n"
    )


def test_ctrl_c_twice_ends_at_once_and_the_checkpoint_is_whole(work, whole):
    output = work / "twice"
    process = start(work, output, 0)
    assert is_running_after_save(process, output / "last.pt", None)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    text = (output / "stderr.txt").read_text()
    assert "Traceback" not in text
    process = start(work, output, 0)
    assert process.wait(timeout=200) == 0
    saved = state(output / "last.pt")
    for key in NUMBERS:
        assert equal(whole[key], saved[key]), key
