"""A network by its name: folders, and the Hub's own client before a server that imitates the Hub."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint import Predictor
from keypoint.checkpoint.hub import find_checkpoint
from keypoint.errors import CheckpointError, ConfigError
from tests import tiny_network
from tests.test_readme import REPOSITORY

COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)


class Code:
    """A pickle that would run code."""

    def __reduce__(self):
        return os.system, ("touch ran_code",)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("hub") / "whole.pt")


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("name", ["model.pt", "best.pt"])
def test_a_folder_gives_the_network_of_its_checkpoint(tmp_path, checkpoint, name, monkeypatch):
    (tmp_path / "mine").mkdir()
    os.link(checkpoint, tmp_path / "mine" / name)
    (tmp_path / "mine" / "last.pt").write_text("not looked at")
    monkeypatch.chdir(tmp_path)
    expected = Predictor.from_checkpoint(checkpoint, "cpu", flip=True)(IMAGE)
    for given in ("mine", "./mine", str(tmp_path / "mine"), Path("mine")):
        assert find_checkpoint(given).name == name
    found = Predictor.from_pretrained("mine", device="cpu", flip=True)(IMAGE)
    assert np.array_equal(found.keypoints, expected.keypoints)
    assert np.array_equal(found.scores, expected.scores)


def test_home_is_a_place_too(tmp_path, monkeypatch):
    (tmp_path / "model.pt").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_checkpoint("~") == tmp_path / "model.pt"


def test_a_folder_that_is_there_wins_over_a_name_of_the_hub(tmp_path, monkeypatch):
    (tmp_path / "user" / "name").mkdir(parents=True)
    (tmp_path / "user" / "name" / "model.pt").touch()
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("user/name") == Path("user/name/model.pt")


FAULTS = [
    ({"folder": "both", "files": ["model.pt", "best.pt"]}, "both", {}, CheckpointError, "both: has both model.pt and best.pt; remove one"),
    ({"folder": "run", "files": ["last.pt", "x.txt"]}, "run", {}, CheckpointError, "run: contains neither model.pt nor best.pt, only last.pt .for Predictor.from_checkpoint"),
    ({"folder": "empty", "files": []}, "empty", {}, CheckpointError, "empty: contains neither model.pt nor best.pt; give a folder"),
    ({"folder": "mine", "files": ["best.pt"]}, "mine", {"revision": "v1"}, ConfigError, "revision='v1': mine is a local folder without revisions"),
    ({"folder": "mine", "files": ["best.pt"]}, "mine/best.pt", {}, ConfigError, "mine/best.pt: is a file, for --checkpoint or Predictor.from_checkpoint"),
    ({"folder": "output/demo", "files": []}, "output/demos", {}, CheckpointError, "output/demos: no such folder; give a folder with model.pt"),
    ({}, "./mine", {}, CheckpointError, "./mine: no such folder"),
    ({}, "/no/where", {}, CheckpointError, "/no/where: no such folder"),
    ({}, "~/nowhere", {}, CheckpointError, "~/nowhere: no such folder"),
    ({}, "user/best.pt", {}, CheckpointError, "user/best.pt: no such folder"),
    ({}, "user/a.safetensors", {}, CheckpointError, "user/a.safetensors: no such folder"),
    ({}, Path("user/name"), {}, CheckpointError, "user/name: no such folder"),
    ({}, "name", {}, ConfigError, "'name': is not a folder, a name of weights or a Hub repository; .* or user/name"),
    ({}, "user/name/more", {}, ConfigError, "'user/name/more': is not a folder"),
    ({}, "https://huggingface.co/user/name", {}, ConfigError, "is not a folder, a name of weights"),
    ({}, "", {}, CheckpointError, r"\.: contains neither model\.pt nor"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "given", "options", "kind", "words"), FAULTS, ids=[str(row[1]) for row in FAULTS])  # fmt: skip
def test_what_is_no_folder_with_one_checkpoint_is_refused_without_the_network(
    tmp_path, monkeypatch, made, given, options, kind, words
):
    monkeypatch.chdir(tmp_path)
    if made:
        Path(made["folder"]).mkdir(parents=True)
        for name in made["files"]:
            (Path(made["folder"]) / name).touch()

    def asked(*_):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("keypoint.checkpoint.hub._from_hub", asked)
    with pytest.raises((CheckpointError, ConfigError), match=words) as caught:
        find_checkpoint(given, **options)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) <= 3


def test_without_the_client_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"user/name: no such folder, and .*\[hub\], or give a"):
        find_checkpoint("user/name")


# ---------------------------------------------------------------- the Hub


class Hub(BaseHTTPRequestHandler):
    """The requests of hf_hub_download: /USER/NAME/resolve/REVISION/model.pt."""

    def answer(self, body):
        if "/resolve/" not in self.path:  # the client reports its versions
            self.send_error(404)
            return
        self.server.asked.append(f"{self.command} {self.path}")
        _, _, name, _, revision, _ = self.path.split("/")
        faults = {"absent": (404, "RepoNotFound"), "empty": (404, "EntryNotFound"), "gated": (403, "GatedRepo"), "ill": (500, "")}  # fmt: skip
        status, code = faults.get(name, (200, ""))
        if (revision, name) == ("v2", "good"):
            status, code = 404, "RevisionNotFound"
        data = self.server.files[name] if status == 200 else b""
        begin = re.search(r"bytes=(\d+)-", self.headers.get("Range", ""))
        sent = data[: len(data) // 2] if name == "cut" else data
        if begin:
            status, data = 206, data[int(begin[1]) :]
            sent = sent[int(begin[1]) :]  # cut at the same place whenever it tries again
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header(
            "ETag", f'"{hashlib.sha256(self.server.files.get(name, b"")).hexdigest()}"'
        )
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if body:
            self.wfile.write(sent)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    bad = tmp_path_factory.mktemp("bad") / "bad.pt"
    torch.save({"a": Code()}, bad)
    data = checkpoint.read_bytes()
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.files = {"good": data, "cut": data[:100_000], "bad": bad.read_bytes()}
    made.asked = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


ASK = """
import json, sys, time
from keypoint.errors import KeypointError
from keypoint.checkpoint.hub import find_checkpoint
time.sleep = lambda _: None  # between the client's own tries again, half a minute in all
for name, revision in json.loads(sys.argv[1]):
    try:
        answer = ["found", str(find_checkpoint(name, revision))]
    except KeypointError as error:
        answer = [type(error).__name__, str(error)]
    print("answer", json.dumps(answer))
"""


def ask(folder, endpoint, *wanted, **more):
    """The outcome of each (name, revision), in a process of its own: the client reads its settings once."""
    names = os.environ.keys() - {n for n in os.environ if n.lower().endswith("_proxy") or n.startswith("HF_")}  # fmt: skip
    environment = {name: os.environ[name] for name in names}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ASK, json.dumps(wanted)]
    # Not forked: the server's client has read its settings.
    done = subprocess.run(
        command, env=environment | more, cwd=folder, timeout=200, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("answer ")]
    return [tuple(json.loads(line.removeprefix("answer "))) for line in lines]


def test_a_repository_is_fetched_once_and_read_as_any_checkpoint(server, checkpoint, tmp_path):
    endpoint = f"http://127.0.0.1:{server.server_port}"
    server.asked.clear()
    (kind, path), again = ask(tmp_path, endpoint, ("user/good", None), ("user/good", COMMIT))
    assert kind == "found"
    assert Path(path).read_bytes() == checkpoint.read_bytes()
    assert again == ("found", path)
    assert Path(path).is_relative_to(tmp_path)
    fetched = [line for line in server.asked if line.startswith("GET")]
    assert fetched == ["GET /user/good/resolve/main/model.pt"]
    expected = Predictor.from_checkpoint(checkpoint, "cpu")(IMAGE)
    found = Predictor.from_pretrained(str(Path(path).parent), "cpu")(IMAGE)
    assert np.array_equal(found.keypoints, expected.keypoints)

    offline = ask(tmp_path, endpoint, ("user/good", None), ("user/other", None), HF_HUB_OFFLINE="1")
    assert offline[0] == ("found", path)
    assert offline[1][0] == "CheckpointError"
    assert "user/other: the Hub does not answer, and model.pt was not fetched before" in offline[1][1]  # fmt: skip


ANSWERS = {
    ("user/absent", None): r"user/absent: no such repository, or a private one",
    ("user/empty", None): r"user/empty: its repository contains no model\.pt; networks of",
    ("user/gated", None): r"user/gated: is a gated repository; ask its owner for",
    ("user/good", "v2"): r"user/good: has no revision 'v2'; give one of its branches",
    (
        "user/ill",
        None,
    ): r"user/ill: (model\.pt cannot be fetched \(.*500|the Hub does not answer.*500)",
    ("user/cut", None): r"user/cut: model\.pt cannot be fetched \(.*; try again, or give a folder",
    (
        "user--x/name",
        None,
    ): r"user--x/name: is not a repository name of the Hub \(.*; give a folder with",
}


def test_faults_of_the_hub_have_our_words(server, tmp_path):
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for (kind, text), (wanted, words) in zip(ask(tmp_path, endpoint, *ANSWERS), ANSWERS.items(), strict=True):  # fmt: skip
        assert kind == "CheckpointError", (wanted, text)
        assert re.match(words, text), text
        assert len(text) < 450
        assert len(text.splitlines()) <= 3
    whole = [path for path in tmp_path.rglob("model.pt") if path.parents[1].name == "snapshots"]
    assert not whole, "a part of a file passes for the whole"


def test_no_server_is_reported(tmp_path):
    [(kind, text)] = ask(tmp_path, "http://127.0.0.1:9", ("user/good", None))
    assert kind == "CheckpointError"
    assert "user/good: the Hub does not answer" in text


def test_code_in_a_fetched_file_is_not_run(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    [(kind, path)] = ask(tmp_path, endpoint, ("user/bad", None))
    assert kind == "found"
    with pytest.raises(CheckpointError, match=r"model\.pt: unsafe, it was made to run code"):
        Predictor.from_pretrained(Path(path).parent, "cpu")
    assert not Path("ran_code").exists()
