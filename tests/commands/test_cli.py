"""Settings of the process, numbers on the command line, and errors as a message and a status."""

import argparse
import os
import platform
import subprocess
import sys

import pytest

from keypoint import distributed
from keypoint.commands import cli
from keypoint.errors import ConfigError, DataError
from tests.calling import command

FAULTS_OF_TWENTY_TENSORS = """
import resource, sys
import torch
{keep}
for _ in range(10):
    torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
KEEP = "from keypoint.processes import keep_freed_memory; print(keep_freed_memory())"
NETWORK = (
    "from keypoint.models import create_model; model = create_model('tiny', input_size=(64, 64))"
)
STEP = f"""{NETWORK}
from keypoint.training.step import TrainingStep
TrainingStep(model, optimizer=torch.optim.SGD(model.parameters()), loss=None)
"""
PREDICTOR = f"""{NETWORK}
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.predictor import Predictor
Predictor(model, load_skeleton("coco17"))
"""


def faults(keep, **environment):
    """What `keep` prints, and pages that the system had to fill: 40 MiB are 10,240 of 4 KiB."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS_OF_TWENTY_TENSORS.format(keep=keep)]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True
    )
    *said, pages = done.stdout.split()
    return said, int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_used_again():
    said, pages = faults(KEEP)
    assert said == ["True"]
    assert pages < 1000
    assert faults("")[1] > 20 * pages


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
@pytest.mark.parametrize("user", [STEP, PREDICTOR])
def test_training_and_prediction_need_no_call_for_it(user):
    assert faults(user)[1] < 1000


def test_the_users_own_setting_is_left_alone():
    assert faults(KEEP, MALLOC_ARENA_MAX="2")[0] == ["False"]


@pytest.mark.parametrize("text", ["0", "7", "999999999", "007"])
def test_whole_numbers_are_read(text):
    assert cli.whole_number(0)(text) == int(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "0", "1.0", "1_0", " 1", "²", "\u0663", "9" * 5000, "a\nb"]
)
def test_what_is_no_whole_number_is_refused_in_one_line(text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        cli.whole_number(1)(text)
    assert str(caught.value).endswith("; give a whole number from 1 to 999999999")
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


# Every number that a command takes in addition to the keys of a config, and the one just below its range.
NUMBERS = [
    ("test", ["--checkpoint", "absent.pt", "--pictures", "-1"]),
    ("test", ["--checkpoint", "absent.pt", "--worst", "-1"]),
    ("check_data", ["--cfg", "demo.yaml", "--pictures", "-1"]),
    ("browse_data", ["--cfg", "demo.yaml", "--pictures", "0"]),
    ("make_sign_data", ["--output", "absent", "--train", "0"]),
    ("make_sign_data", ["--output", "absent", "--val", "0"]),
    ("make_sign_data", ["--output", "absent", "--seed", "-1"]),
    ("make_person_data", ["--output", "absent", "--train", "0"]),
    ("make_person_data", ["--output", "absent", "--val", "0"]),
    ("make_person_data", ["--output", "absent", "--seed", "-1"]),
    ("make_clip_data", ["--output", "absent", "--train", "3"]),
    ("make_clip_data", ["--output", "absent", "--val", "3"]),
    ("detect_boxes", ["--images", "absent", "--output", "x.json", "--batch-size", "0"]),
]


@pytest.mark.parametrize(("tool", "arguments"), NUMBERS, ids=lambda value: str(value[-2:]))
def test_numbers_out_of_range_end_a_command_before_any_work(tool, arguments, capsys):
    module = command(tool)
    with pytest.raises(SystemExit) as ended:
        cli.run(module.main, arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {arguments[-2]}: given '{arguments[-1]}'; give a whole number" in error


SIGTERM_IN_A_DESTRUCTOR = """
import os, signal, sys, time
from keypoint.commands import cli, process

class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def main(argv):
    if argv:
        Held()  # gone at once; Python prints what is raised there, and continues
    else:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)

process.AGAIN_S = 0.2
sys.exit(cli.run(main))
"""


@pytest.mark.parametrize("arguments", [[], ["in a destructor"]])
def test_sigterm_ends_any_command_with_143(arguments):
    done = subprocess.run(
        [sys.executable, "-c", SIGTERM_IN_A_DESTRUCTOR, *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 143, done.stderr
    assert done.stderr.startswith("stopped by SIGTERM\n")
    assert "Traceback" not in done.stderr or arguments


@pytest.mark.parametrize(("rank", "prefix"), [("3", "[rank 3] "), (None, "")])
def test_of_many_processes_each_names_its_rank(capsys, monkeypatch, rank, prefix):
    def main(argv):
        raise DataError("x.json: broken")

    monkeypatch.delenv("RANK", raising=False)
    if rank:
        monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert cli.run(main, []) == 3
    assert capsys.readouterr().err == f"{prefix}error: x.json: broken\n"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:9", True),
        ("Timed out waiting 15000ms for recv operation to complete", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_lost_process_is_reported_as_such(capsys, monkeypatch, text, lost):
    def main(argv):
        raise RuntimeError(text)

    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.run(main, []) == 1
    assert ("another process has ended or does not answer" in capsys.readouterr().err) is lost


def test_a_lost_worker_is_reported_wherever_torch_raises_it(capsys):
    def main(argv):
        raise RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. ")

    assert cli.run(main, []) == 3
    assert "run out of memory or of /dev/shm: lower data.workers" in capsys.readouterr().err


def test_processes_that_would_each_train_alone_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ConfigError, match="start them with torchrun"):
        distributed.initialise("cpu")
