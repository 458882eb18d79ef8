"""keypoint predict by several processes, as --shard and torchrun start them: one output, like one's.

Most of it in this process, one share after the other.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypoint.prediction.inputs.find import Input
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.shares.folder import Shards
from keypoint.prediction.shares.output import ShareOutput
from keypoint.prediction.shares.split import MOST, Share, parse_share, split_inputs
from tests import tiny_coco, tiny_network
from tests.calling import REPOSITORY, tool
from tests.data.test_containers import write as write_video

# A network's last bits depend on the number of persons in a batch: one by one they are equal.
EXACT = ("--whole-image", "--batch-size", 1)
DRAWN = ("--pictures", "--crops", "--track")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As torchrun gives each process, and a network's last bits depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("network") / "best.pt")


@pytest.fixture(scope="module")
def predictor(checkpoint):
    """Made once: nothing of it changes."""
    return Predictor.from_checkpoint(checkpoint, "cpu")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Images, two videos between them, one image that is broken; names that are not ASCII."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.jpg", "c ü.png", "e.jpg", "人.jpg")):
        noise = np.random.default_rng(seed).integers(0, 255, (9, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(noise, (64 + 8 * seed, 72)))
    write_video(folder / "b ö", 2)
    write_video(folder / "a", 1)
    (folder / "f.jpg").write_bytes(b"broken")
    (folder / "g.txt").write_text("no image")
    (folder / "z.jpg").symlink_to("nowhere")
    return folder


@pytest.fixture
def predict(checkpoint, predictor, inputs, tmp_path, monkeypatch):
    """Runs the command, into the folder `out`."""
    monkeypatch.setattr("keypoint.commands.predict.make_predictor", lambda _: predictor)
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
    assert said[1].out.splitlines() == [
        "whole images: 7 persons = 7 used + 0 skipped (none)",
        "9 files = 6 used + 3 skipped "
        "(1 not an image or video, 1 not a file, 1 that cannot be read)",
        "3 frames = 3 used + 0 skipped (none)",
        "warning: no keypoint has a score above 0.2, so none is drawn; train longer, or use another network",
    ]
    assert "not started: 1, 3" in said[2].err
    assert "2 of 9 files could not be used" in said[1].err
    merged = content(tmp_path / "out")
    assert list(merged) == list(one)
    assert len([name for name in merged if name.startswith("crops/")]) == 7
    for name in merged:
        assert merged[name] == one[name], name
    log = (tmp_path / "out/log.txt").read_text()
    assert [f"share {number} of 3 is done" in log for number in (1, 2, 3)] == [True] * 3
    assert log.count("WARNING") == 2  # each file is named once


def test_shares_name_the_images_without_persons_as_one_run(
    checkpoint, predictor, inputs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("keypoint.commands.predict.make_predictor", lambda _: predictor)
    given = [inputs / name for name in ("a.jpg", "c ü.png", "e.jpg", "人.jpg")]

    def run(output, *arguments):
        common = ["--checkpoint", checkpoint, "--output", tmp_path / output, "--device", "cpu"]
        assert tool("predict", *common, "--detector", "hog", *arguments, *given) == 0
        return capsys.readouterr().out

    alone = run("one")
    assert "no person found on 4 of 4 images" in alone
    assert run("out", "--shard", "1/2") == ""
    assert run("out", "--shard", "2/2") == alone
    assert alone.splitlines()[-1] in (tmp_path / "out/log.txt").read_text()
    reports = [(tmp_path / name / "data_report.json").read_bytes() for name in ("one", "out")]
    assert reports[0] == reports[1]


def test_more_shares_than_inputs_and_full_batches(predict, inputs, tmp_path):
    given = [inputs / "a.jpg", inputs / "a.mp4", inputs / "e.jpg"]
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
    assert [record["image_id"] for record in both[0]] == [1, 2, 3]


def test_ids_boxes_and_counts_of_annotations_are_those_of_one_run(
    checkpoint, predictor, tmp_path, monkeypatch
):
    monkeypatch.setattr("keypoint.commands.predict.make_predictor", lambda _: predictor)
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    (images / "000000000101.png").write_bytes(b"")
    cv2.imwrite(str(images / "other.png"), np.zeros((9, 9), np.uint8))
    inside, outside = [5, 5, 40, 60], [900, 5, 40, 60]
    boxes = [
        {"image_id": key, "category_id": 1, "bbox": bbox, "score": 0.9}
        for key, bbox in ((100, inside), (101, inside), (102, outside), (103, inside))
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    common = ["--checkpoint", checkpoint, "--device", "cpu", "--batch-size", 1, "--annotations"]
    common += [file, "--boxes", tmp_path / "boxes.json", images, "--output"]
    assert tool("predict", *common, tmp_path / "one") == 3
    assert tool("predict", *common, tmp_path / "out", "--shard", "2/2") == 0
    assert tool("predict", *common, tmp_path / "out", "--shard", "1/2") == 3
    assert content(tmp_path / "out") == content(tmp_path / "one")
    log = (tmp_path / "out/log.txt").read_text()
    assert (
        log.count("are completely outside the image") + log.count("is completely outside the image")
        == 3
    )


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
    """Share 1 of 2 has a.jpg, the shorter video a, e.jpg and 人.jpg."""
    assert predict(*DRAWN, "--shard", "2/2") == 0
    with monkeypatch.context():
        stopping(3, interrupt)  # in the video
        assert predict(*DRAWN, "--shard", "1/2") == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert not (tmp_path / "out/results.json").exists()
    capsys.readouterr()
    assert predict(*DRAWN, "--shard", "2/2") == 3  # nothing to do but to say so
    said = capsys.readouterr().err
    assert "share 2 of 2 is already done" in said
    assert "1 of 2 shares are missing and not running (stopped: 1); run" in said
    read = []
    for name in ("_read_image", "_read_video"):
        function = getattr(sys.modules["keypoint.prediction.inputs.frames"], name)

        def seen(one, *arguments, function=function):
            read.append(Path(getattr(one, "path", one)).name)
            return function(one, *arguments)

        monkeypatch.setattr(f"keypoint.prediction.inputs.frames.{name}", seen)
    assert predict(*DRAWN, "--shard", "1/2") == 3
    said = capsys.readouterr().err
    assert "share 1 of 2 continues after 1 of 4 inputs" in said
    assert sorted(read) == ["a.mp4", "e.jpg", "人.jpg"]
    assert content(tmp_path / "out") == one


def test_a_signal_ends_a_share_after_an_image(predict, tmp_path, capsys, stopping, monkeypatch):
    take = ShareOutput.take

    def signalled(self, event):
        take(self, event)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ShareOutput, "take", signalled)
    assert predict("--shard", "1/2") == 143
    said = capsys.readouterr().err
    assert (
        "stopped by SIGTERM; share 1 of 2 is not finished; run the same command to continue it"
        in said
    )
    lines = (tmp_path / "out/shards/1-of-2/events.jsonl").read_text().splitlines()
    assert 1 <= len(lines) < 5  # the events of its 4 inputs


def test_a_stopped_merge_is_done_again(predict, one, tmp_path, monkeypatch):
    """While results are made, before and after they are moved; where files cannot be linked."""

    def failing(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.link", failing)
    assert predict(*DRAWN, "--shard", "1/2") == 0
    for step in ("PredictOutput.write", "remove_results", "write_reports"):
        with monkeypatch.context() as patched:
            patched.setattr(f"keypoint.prediction.shares.merge.{step}", failing)
            assert predict(*DRAWN, "--shard", "2/2") in (1, 2)
        assert (tmp_path / "out/results.json").exists() == (step == "write_reports")
    assert predict(*DRAWN, "--shard", "1/2") == 3
    assert content(tmp_path / "out") == one


def test_shares_of_another_run_are_refused_by_what_differs(
    predict, checkpoint, inputs, tmp_path, capsys
):
    def refused(*arguments, words, **given):
        before = content(tmp_path)
        assert predict(*arguments, **given) == 2
        said = capsys.readouterr().err
        assert words in said, said
        assert content(tmp_path) == before
        assert not list((tmp_path / "out").rglob("2-of-*"))  # a refused command leaves nothing

    other = tmp_path / "other.pt"
    tiny_network.checkpoint(other, lambda model: model.final_layer.bias.data.add_(1))
    few = [inputs / "a.jpg", inputs / "e.jpg"]
    assert predict("--shard", "1/3", given=few) == 0
    refused("--shard", "2/4", given=few, words="a share of another run, of 3 shares and not 4")
    refused("--shard", "2/3", "--pictures", given=few, words="pictures: False there, True here")
    refused("--shard", "2/3", given=few, weights=other, words="differs in checkpoint: content")
    refused("--shard", "2/3", given=few[:1], words="inputs: 2 files of")
    refused(given=few, words="contains shards, the shares of an unfinished run")
    refused("--shard", "2/3", given=[tmp_path / "out/shards"], words="the folder for pictures of")
    with (tmp_path / "out/shards/1-of-3/.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("process 7 on node3\n")
        held.flush()
        words = "another process is working on share 1 of 3 (process "
        refused("--shard", "1/3", given=few, words=words)
        assert predict("--shard", "2/3", given=few) == 0
        assert "running: 1" in capsys.readouterr().err
        assert predict("--shard", "3/3", given=few) == 0  # it does not merge meanwhile
    assert predict("--shard", "1/3", "--batch-size", 2, given=few) == 0
    assert "2 files = 2 used" in capsys.readouterr().out
    assert predict("--shard", "1/3", given=few) == 2
    assert "already contains results.json and records.jsonl" in capsys.readouterr().err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "records.jsonl", "results.json", "data_report.json", "log.txt",
    }  # fmt: skip


def test_overwrite_does_a_share_again_and_replaces_results(predict, inputs, tmp_path, capsys):
    few = [inputs / "a.jpg", inputs / "e.jpg"]
    assert predict("--pictures", given=few[:1]) == 0
    old = tmp_path / "out/pictures/000001_a.jpg"
    old.write_bytes(b"old")
    again = ["--overwrite", "--shard"]
    assert predict(*again, "2/2", given=few) == 0
    assert predict(*again, "2/2", given=few) == 0
    assert "is done (1 of 2 inputs)" in capsys.readouterr().err.splitlines()[-2]
    assert old.exists()
    assert predict(*again, "1/2", given=few) == 0
    assert not old.exists()
    assert len((tmp_path / "out/records.jsonl").read_text().splitlines()) == 2


def test_a_damaged_share_is_named_and_can_be_done_again(predict, inputs, tmp_path, capsys):
    few = [inputs / "a.jpg", inputs / "e.jpg"]
    assert predict("--shard", "1/2", given=few) == 0
    folder = tmp_path / "out/shards/1-of-2"
    for content_ in (b"", (folder / "events.jsonl").read_bytes() * 2, b'{"file": "x"}\n'):
        (folder / "events.jsonl").write_bytes(content_)
        assert predict("--shard", "2/2", given=few) == 3
        said = capsys.readouterr().err
        assert "out/shards/1-of-2: this share is damaged" in said
        assert "remove this folder and run the command of the share again" in said
    shutil.rmtree(folder)
    assert predict("--shard", "1/2", given=few) == 0


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "1/0", "-1/4", "1/2/3", f"1/{MOST + 1}", "a/b"]
)
def test_a_share_is_from_1_to_all(predict, capsys, text):
    with pytest.raises(SystemExit, match="2"):
        predict(f"--shard={text}")
    assert "give NUMBER/OF, from 1/OF to OF/OF" in capsys.readouterr().err


def test_a_camera_and_torchruns_processes_have_no_shard(predict, capsys, monkeypatch):
    assert predict("--shard", "1/2", given=["camera"]) == 2
    assert "share 1 of 2: frames of a camera cannot be divided" in capsys.readouterr().err
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert predict("--shard", "1/2") == 2
    assert "--shard 1/2: torchrun already gives a share to each of its 2" in capsys.readouterr().err
    monkeypatch.delenv("LOCAL_RANK")
    assert predict() == 2
    assert "each process would work alone" in capsys.readouterr().err


def test_who_waits_for_a_merge_locks_what_comes_after_it(tmp_path):
    shards, entered = Shards(tmp_path, 2), threading.Event()

    def wait():
        with shards.locked():
            (shards.folder / "mine").touch()  # in a folder that is there
            entered.set()

    waiting = threading.Thread(target=wait)
    with shards.locked():
        waiting.start()
        assert not entered.wait(0.2)
        shutil.rmtree(shards.folder)
    waiting.join(60)
    assert entered.is_set()
    assert {file.name for file in shards.folder.iterdir()} == {".lock", "mine"}


def test_every_input_is_in_one_share_and_the_work_is_even():
    generator = np.random.default_rng(0)
    for _ in range(100):
        videos = generator.random(generator.integers(0, 40)) < 0.3
        inputs = [Input(Path(f"{i}"), f"{i}", bool(video)) for i, video in enumerate(videos)]
        sizes = generator.integers(0, 1000, len(inputs)).tolist()
        of = int(generator.integers(1, 9))
        numbers = split_inputs(inputs, sizes, of)
        assert len(numbers) == len(inputs)
        assert set(numbers) <= set(range(1, of + 1))
        assert numbers == split_inputs(inputs, sizes, of)
        images = np.bincount(
            [n for n, v in zip(numbers, videos, strict=True) if not v], minlength=of + 1
        )
        assert np.ptp(images[1:]) <= 1
        of_video = np.where(videos, sizes, 0)
        load = np.bincount(numbers, of_video, minlength=of + 1)[1:] if len(numbers) else np.zeros(1)
        assert np.ptp(load) <= max([*of_video, 1]) + len(numbers)
    one_video = [Input(Path("a.jpg"), "a", False), Input(Path("v.mp4"), "v", True)]
    assert split_inputs(one_video, [1, 1], 3) == [1, 3]
    videos = [Input(Path(name), name, True) for name in ("a.mp4", "b.mp4", "c.mp4")]
    assert split_inputs(videos, [1, 1, 2], 2) == [1, 1, 2]
    assert parse_share("3/8") == Share(3, 8)


def test_a_killed_process_is_named_and_its_share_alone_is_continued(
    checkpoint, inputs, one, tmp_path
):
    """Two processes of torchrun; --pictures draws a video again from its first frame."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    given = ["--checkpoint", checkpoint, "--device", "cpu", *EXACT, *DRAWN, inputs]
    faulty = Path(__file__).with_name("faulty_predict.py")

    def torchrun(*arguments):
        return subprocess.run(
            [*run, *map(str, arguments)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            cwd=tmp_path,
        )

    done = torchrun(faulty, "out", *given)
    assert done.returncode == 1
    assert re.search(r"rank +: 1 ", done.stderr), done.stderr
    assert "SIGKILL" in done.stderr
    assert "share 1 of 2 is done (4 of 7 inputs)" in done.stderr
    assert done.stdout == ""
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"shards"}

    done = torchrun("-m", "keypoint", "predict", "--output", "out", *given)
    assert "[rank 1] error: 2 of 9 files could not be used" in done.stderr, done.stderr
    assert done.stdout.count("files = ") == 1
    log = (tmp_path / "out/log.txt").read_text()
    assert "share 1 of 2 is already done" in log
    assert log.count("share 1 of 2 is done") == 1
    assert "share 2 of 2 continues after 2 of 3 inputs" in log
    assert content(tmp_path / "out") == one
