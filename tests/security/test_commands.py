"""The commands ask nothing of the network, and write into their output folder alone.

All four run once, in one process: with the doors of Python's sockets shut (closed_network.py), and
where the machine allows, in a network name space of its own, where there is nothing but a closed
loopback. HOME and TMPDIR are empty folders, and the working folder is another one.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests import tiny_coco
from tests.test_readme import REPOSITORY

CONFIG = """
data: {{root: {root}, workers: 2}}
model: {{encoder: resnet18, input_size: [64, 64], weights: none, blocks: {{deconv1: srl_fft}}}}
train: {{epochs: 1, batch_size: 4}}
"""
COMMANDS = [
    ["train", "--cfg", "tiny.yaml", "--device", "cpu", "output=output/train"],
    ["test", "--checkpoint", "output/train/last.pt", "--pictures", "2", "--analyse", "output=output/test"],
    ["check_data", "--cfg", "tiny.yaml", "output=output/check"],
    ["browse_data", "--cfg", "tiny.yaml", "output=output/browse"],
]  # fmt: skip
NAMES = [command[0] for command in COMMANDS]
UNSHARE = ["unshare", "--map-root-user", "--net"]


def can_unshare():
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0
    )


def listing(folder):
    """Every file below, with the hash of its content, and every folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def environment(folder):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    return clean | places | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The process, the folders, and what was in them before."""
    folder = tmp_path_factory.mktemp("security")
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir()
    tiny_coco.write(folder / "data", tiny_coco.content(4, 2), "train2017")
    tiny_coco.write(folder / "data", tiny_coco.content(4, 2, seed=1), "val2017")
    (folder / "work" / "tiny.yaml").write_text(CONFIG.format(root=folder / "data"))
    before = listing(folder)
    attempts = tmp_path_factory.mktemp("attempts") / "attempts.txt"
    command = [sys.executable, "-m", "tests.security.closed_network", json.dumps(COMMANDS)]
    done = subprocess.run(
        [*(UNSHARE if can_unshare() else []), *command, str(attempts)],
        cwd=folder / "work",
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    return done, folder, before, attempts


def test_all_commands_succeed_with_the_doors_shut(ran):
    done, _, _, attempts = ran
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line for line in done.stdout.splitlines() if line.startswith("done ")] == [
        f"done {name}" for name in NAMES
    ]
    assert not attempts.exists(), attempts.read_text()


def test_they_succeed_without_any_network(ran):
    """Also for what does not go through Python's sockets."""
    if not can_unshare():
        pytest.skip("this machine gives no network name space (unshare --net); doors were shut")
    assert ran[0].returncode == 0, ran[0].stderr[-3000:]
    look = subprocess.run([*UNSHARE, "cat", "/proc/net/dev"], capture_output=True, text=True)
    interfaces = [line.split(":")[0].strip() for line in look.stdout.splitlines()[2:]]
    assert interfaces == ["lo"]


def test_they_write_into_the_output_folder_alone(ran):
    _, folder, before, _ = ran
    after = listing(folder)
    assert {name: after.get(name) for name in before} == before, "inputs were changed"
    new = after.keys() - before.keys()
    outside = [name for name in new if not name.startswith("work/output")]
    assert outside == []
    for name in ("train/last.pt", "test/metrics.json", "check/data_report.json", "browse"):
        assert f"work/output/{name}" in new


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import http.client; http.client.HTTPConnection('127.0.0.1', 9).request('GET', '/')",
    ],
)
def test_the_doors_are_shut_and_tell_of_attempts(tmp_path, program):
    shut = f"from tests.security.closed_network import close; close({str(tmp_path / 'told')!r})"
    command = [sys.executable, "-c", f"{shut}\n{program}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert "this test lets nothing out" in done.stderr
    assert (tmp_path / "told").exists()
