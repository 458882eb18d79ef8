"""keypoint predict by several processes, as --shard and torchrun start them: one output, like one's.

Most of it in this process, one share after the other.
"""

import copy
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.checkpoint.file import load_model
from keypoint.prediction.inputs import Input
from keypoint.prediction.shares.merge import PredictOutput as MergedOutput
from keypoint.prediction.shares.output import ShareOutput
from keypoint.prediction.shares.split import MOST, Share, parse_share, split_inputs
from tests import tiny_coco, tiny_network
from tests.calling import REPOSITORY, tool
from tests.data.test_containers import write as write_video

# A network's last bits depend on the number of persons in a batch: one by one they are equal.
EXACT = ("--whole-image", "--batch-size", 1)
DRAWN = ("--pictures", "--crops", "--track")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("network") / "best.pt")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Images, two videos between them, one image that is broken; names that are not ASCII."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.jpg", "c ü.png", "e.jpg", "h.png", "人.jpg")):
        noise = np.random.default_rng(seed).integers(0, 255, (9, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(noise, (64 + 8 * seed, 72)))
    write_video(folder / "b ö", 3)
    write_video(folder / "d", 2)
    (folder / "f.jpg").write_bytes(b"broken")
    (folder / "g.txt").write_text("no image")
    return folder


@pytest.fixture
def predict(checkpoint, inputs, tmp_path, monkeypatch):
    """Runs the command, into the folder `out`."""
    once = functools.cache(load_model)
    monkeypatch.setattr(
        "keypoint.prediction.predictor.load_model", lambda path: copy.deepcopy(once(path))
    )
    monkeypatch.chdir(tmp_path)

    def run(*arguments, output="out", given=(inputs,), weights=checkpoint):
        common = ["--checkpoint", weights, "--output", output, "--device", "cpu", "--threads", 1]
        return tool("predict", *common, *EXACT, *arguments, *given)

    return run


def content(folder):
    """All files of an output but its log: by name, as bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "log.txt"
    }


@pytest.fixture(scope="module")
def one(checkpoint, inputs, tmp_path_factory):
    """The output of one process."""
    output = tmp_path_factory.mktemp("one") / "out"
    common = ["--checkpoint", checkpoint, "--output", output, "--device", "cpu", "--threads", 1]
    assert tool("predict", *common, *EXACT, *DRAWN, inputs) == 3
    return content(output)


def test_shares_are_merged_to_the_output_of_one_run(predict, one, tmp_path, capsys):
    said = {}
    for number in (2, 3, 1):  # in any order
        assert predict(*DRAWN, "--shard", f"{number}/3") == (3 if number == 1 else 0)
        said[number] = capsys.readouterr()
    assert said[2].out == said[3].out == ""
    assert "8 files = 7 used + 1 skipped" not in said[1].out  # g.txt is a file, too
    assert said[1].out.splitlines() == [
        "whole images: 10 persons = 10 used + 0 skipped (none)",
        "9 files = 7 used + 2 skipped (1 no image or video by its name, 1 that cannot be read)",
        "5 frames = 5 used + 0 skipped (none)",
    ]
    assert "not begun: 1, 3" in said[2].err
    assert "1 of 9 files could not be used" in said[1].err
    merged = content(tmp_path / "out")
    assert list(merged) == list(one)
    assert len([name for name in merged if name.startswith("crops/")]) == 10
    for name in merged:
        assert merged[name] == one[name], name
    log = (tmp_path / "out/log.txt").read_text()
    assert [f"share {number} of 3 is done" in log for number in (1, 2, 3)] == [True] * 3
    assert log.count("WARNING") == 1  # the broken image is named once


def test_more_shares_than_inputs_and_full_batches(predict, inputs, tmp_path):
    given = [inputs / "a.jpg", inputs / "d.mp4", inputs / "h.png"]
    assert predict("--batch-size", 8, output="one", given=given) == 0
    for number in range(1, 6):
        assert predict("--batch-size", 8, "--shard", f"{number}/5", given=given) == 0
    both = [
        [json.loads(line) for line in (tmp_path / name / "records.jsonl").read_text().splitlines()]
        for name in ("one", "out")
    ]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a.pop("keypoints"), b.pop("keypoints"), atol=2e-3)
        np.testing.assert_allclose(a.pop("scores"), b.pop("scores"), atol=1e-5)
        assert a == b
    assert [record["image_id"] for record in both[0]] == [1, 2, 3, 4]


def test_ids_boxes_and_counts_of_annotations_are_those_of_one_run(checkpoint, tmp_path):
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    (images / "000000000101.png").write_bytes(b"")
    cv2.imwrite(str(images / "other.png"), np.zeros((9, 9), np.uint8))
    common = ["--checkpoint", checkpoint, "--device", "cpu", "--batch-size", 1, "--annotations"]
    common += [file, images, "--output"]
    assert tool("predict", *common, tmp_path / "one") == 3
    assert tool("predict", *common, tmp_path / "out", "--shard", "2/2") == 0
    assert tool("predict", *common, tmp_path / "out", "--shard", "1/2") == 3
    assert content(tmp_path / "out") == content(tmp_path / "one")


@pytest.fixture
def stopping(monkeypatch):
    """Has a share stop at its n-th event, with half a line of the next one."""

    def at(number, how):
        take, count = ShareOutput.take, 0

        def counted(self, event):
            nonlocal count
            count += 1
            if count == number:
                self._file.write('{"file": "cut')
                self._file.flush()
                how()
            take(self, event)

        monkeypatch.setattr(ShareOutput, "take", counted)

    return at


def interrupt():
    raise KeyboardInterrupt


def test_a_stopped_share_continues_with_the_next_input(
    predict, one, inputs, tmp_path, capsys, stopping, monkeypatch
):
    """Share 1 of 2 has a.jpg, the longer video b, e.jpg and h.png."""
    assert predict(*DRAWN, "--shard", "2/2") == 0
    with monkeypatch.context():
        stopping(4, interrupt)  # in the video
        assert predict(*DRAWN, "--shard", "1/2") == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert not (tmp_path / "out/results.json").exists()
    capsys.readouterr()
    assert predict(*DRAWN, "--shard", "2/2") == 3  # nothing to do but to say so
    said = capsys.readouterr().err
    assert "share 2 of 2 was done before" in said
    assert "1 of 2 shares are missing and not being done (stopped: 1); run" in said
    read = []
    for name in ("_read_image", "_read_video"):
        function = getattr(sys.modules["keypoint.prediction.frames"], name)

        def seen(one, *arguments, function=function):
            read.append(Path(getattr(one, "path", one)).name)
            return function(one, *arguments)

        monkeypatch.setattr(f"keypoint.prediction.frames.{name}", seen)
    assert predict(*DRAWN, "--shard", "1/2") == 3
    said = capsys.readouterr().err
    assert "share 1 of 2 continues after 1 of 4 inputs" in said
    assert sorted(read) == ["b ö.mp4", "e.jpg", "人.jpg"]
    assert content(tmp_path / "out") == one


def test_a_signal_ends_a_share_after_an_image(predict, tmp_path, capsys, stopping, monkeypatch):
    take = ShareOutput.take

    def signalled(self, event):
        take(self, event)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ShareOutput, "take", signalled)
    assert predict("--shard", "1/2") == 143
    said = capsys.readouterr().err
    assert "stopped by SIGTERM; share 1 of 2 is not done; the same command continues it" in said
    lines = (tmp_path / "out/shards/1-of-2/events.jsonl").read_text().splitlines()
    assert len(lines) == 1


def test_a_stopped_merge_is_done_again(predict, one, inputs, tmp_path, monkeypatch):
    """At each step: while results are made, while they are moved, and before the shares go."""
    assert predict(*DRAWN, "--shard", "1/2") == 0
    calls = []

    def failing(name, function):
        def call(*arguments, **keywords):
            if name not in calls:
                calls.append(name)
                raise OSError(28, "No space left on device")
            return function(*arguments, **keywords)

        return call

    for name in ("os.link", "PredictOutput.finish", "remove_results", "write_reports"):
        place = "keypoint.prediction.shares.merge." + name
        function = functools.reduce(getattr, name.split("."), sys.modules[place.split(name)[0][:-1]])
        monkeypatch.setattr(place, failing(name, function))
    monkeypatch.setattr(
        "keypoint.prediction.shares.merge.shutil.copy2", failing("copy", None)
    )
    for _ in range(8):
        status = predict(*DRAWN, "--shard", "2/2")
        if status == 3:
            break
        assert not (tmp_path / "out/data_report.json").exists()
    assert status == 3
    assert len(calls) == 5
    assert content(tmp_path / "out") == one
