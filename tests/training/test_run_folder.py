"""The output folder: one run at a time, tried before anything depends on it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keypoint.errors import ConfigError
from keypoint.training.run_folder import RunFolder
from tests import forked

HOLD = """
import sys, time
from pathlib import Path
from keypoint.training.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
if sys.argv[2:] and __import__("os").fork() == 0:  # a worker process, which outlives a kill -9
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the folder."""
    processes = []

    def start(*arguments):
        reading, writing = os.pipe()
        words = [sys.executable, "-c", HOLD, tmp_path / "run", *arguments]
        with os.fdopen(writing, "w") as stdout:
            processes.append(forked.start(words, stdout=stdout))
        with os.fdopen(reading) as said:
            assert said.readline() == "held\n"
        return processes[-1]

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_second_run_is_refused_with_process_and_host_of_the_first(tmp_path, holder):
    process = holder()
    owner = re.escape(f"process {process.pid} on {socket.gethostname()}")
    with pytest.raises(ConfigError, match=rf"written to by another run \({owner}\); wait for it"):
        RunFolder(tmp_path / "run")


@pytest.mark.parametrize("workers", [(), ("with a worker",)])
def test_a_killed_run_holds_nothing(tmp_path, holder, workers):
    process = holder(*workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    RunFolder(tmp_path / "run").close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    for place in (tmp_path / "run", Path("/proc/keypoint")):  # in /proc not even root may
        with pytest.raises(ConfigError, match=f"{place} cannot be written to"):
            RunFolder(place)


@pytest.mark.parametrize("limit", [0, 4096])
def test_a_full_disk_is_met_before_the_work(tmp_path, limit):
    """/dev/full cannot be a folder; a limit of file size is the same to the writer.

    With 0 bytes not even the lock's owner can be written.
    """
    code = (
        "import resource, sys; from pathlib import Path; from keypoint.training.run_folder import RunFolder\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "RunFolder(Path(sys.argv[1]))"
    )
    done = subprocess.run(  # the limit holds for stderr, too, if it is a file
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert "ConfigError: output: " in last
    assert last.endswith(
        "cannot be written to (File too large); give another folder, or free some space"
    )
    assert not (tmp_path / "run").exists()


def test_what_dead_runs_left_is_removed_and_nothing_else(tmp_path):
    dead = [".last.pt.tmp", ".best.pt.12.tmp", ".metrics.json.12.tmp", ".probe.7.tmp"]
    others = [".mine.tmp", "last.pt", "notes.tmp"]
    for name in dead + others:
        (tmp_path / name).write_text("x")
    RunFolder(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, ".lock"])


def test_a_new_run_in_the_place_of_another_begins_without_its_files(tmp_path):
    for name in ("last.pt", "best.pt", "events.out.tfevents.1", "notes.txt", "log.txt"):
        (tmp_path / name).write_text("x")
    RunFolder(tmp_path).clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "log.txt", "notes.txt"]


@pytest.mark.parametrize("owner", [None, "process 7 on a\n"])
def test_a_refused_run_leaves_the_folder_as_it_was(tmp_path, owner):
    folder = tmp_path / "a" / "run"
    if owner:
        folder.mkdir(parents=True)
        (folder / ".lock").write_text(owner)
        (folder / "best.pt").write_text("x")
    run = RunFolder(folder)
    assert "process" in (folder / ".lock").read_text()
    run.withdraw()
    assert (tmp_path / "a").exists() == (owner is not None)
    if owner:
        assert (folder / ".lock").read_text() == owner
        assert len(list(folder.iterdir())) == 2
    RunFolder(folder).close()  # it is free again
