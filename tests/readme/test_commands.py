"""Every command line of the README and of the pages it leads to is run, word by word, in a small world."""

import re
import shutil
import subprocess
import urllib.request

import pytest
import torch

from keypoint.action.data.videos import load_videos
from tests.action.data.made_up_videos import write_video
from tests.readme.documents import DOCS, NOT_RUN, PAGES, PROGRAMS, all_commands, blocks
from tests.readme.running import Collector, Runner
from tests.readme.world import World, published_weights, torch_home

COMMANDS = all_commands()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session_readme")
    torch_home(folder / "torch")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def collect(store):
    return Collector([c.words(store) for c in COMMANDS if c.text.startswith("make ")], store)


@pytest.fixture
def runner(store, collect, tmp_path, monkeypatch):
    """In a folder of the test's own; what would leave the machine finds a closed door."""
    world = World(store / "world")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(store / "torch"))
    published_weights(store / "keypoint", monkeypatch)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("WANDB_MODE", "offline")  # else it wants an account
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    # urlopen keeps the opener of its first call, and the proxies with it: not beyond this test.
    monkeypatch.setattr(urllib.request, "_opener", None)
    threads = torch.get_num_threads()
    yield Runner(world, monkeypatch, tmp_path, collect)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.page}: {c.text}")
def test_runs(command, runner, tmp_path):
    runner.run(command.words(tmp_path))


def test_the_split_of_a_folder_per_class(tmp_path):
    """The guide's lines of shell make folders that can be trained on."""
    text = (DOCS / "guides/action.md").read_text()
    (block,) = (b for b in blocks(text) if b.language == "bash")
    for name in ("a b", "c"):
        for number in range(5):
            write_video(tmp_path / "videos" / name / f"{number} x.avi", 9)
    subprocess.run(["bash", "-euc", block.text], cwd=tmp_path, check=True)
    found = {
        part: load_videos(part, tmp_path / "clips", part=part, classes=["a b", "c"])
        for part in ("train", "val")
    }
    assert {part: list(videos.counts().values()) for part, videos in found.items()} == {
        "train": [4, 4],
        "val": [1, 1],
    }
    assert not set(found["train"].names) & set(found["val"].names)


def test_there_are_commands():
    assert len(COMMANDS) > 30
    assert all((DOCS / name).exists() for name in NOT_RUN)
    assert len(PAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_another_block(page):
    """What looks like a command stands in a block marked sh, where it is run."""
    for block in blocks(page.read_text()):
        if block.language != "sh":
            assert not re.search(rf"^(\$ )?{PROGRAMS} ", block.text, re.M), block.text
