"""Every command line of the README and of the pages it leads to is run, word by word, in a small world."""

import re
import shutil
import urllib.request

import pytest
import torch

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
