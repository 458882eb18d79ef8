"""keypoint predict on videos: what it prints and writes, and what becomes of files it cannot use."""

import json
import os
import re

import cv2
import numpy as np
import pytest

from keypoint.action.evaluation.scores import load_scores
from keypoint.action.prediction.predictor import ActionPredictor
from keypoint.commands import cli
from keypoint.commands.action import predict
from tests.action.data.made_up_videos import write_video
from tests.action.prediction.tiny_classifier import CLASSES, predictor
from tests.calling import tool
from tests.data.test_video import cut


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Two videos, a text file named as a video, and an image; in a folder."""
    folder = tmp_path / "clips"
    for name in ("a.avi", "b/a.avi"):
        write_video(folder / name, 40, first=len(name))
    (folder / "broken.mp4").write_text("no video")
    cv2.imwrite(str(folder / "image.png"), np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setattr(ActionPredictor, "from_checkpoint", lambda *_, **__: predictor())
    return folder


def run(*words):
    return cli.run(predict.main, ["--checkpoint", "best.pt", *map(str, words)])


@pytest.mark.parametrize("clip_at", ["end", "middle"])
def test_a_video_that_is_cut_off_is_named(clips, tmp_path, capsys, monkeypatch, clip_at):
    """Whether or not a clip has one of the missing frames."""
    if clip_at == "middle":
        monkeypatch.setattr(ActionPredictor, "from_checkpoint", lambda *_, **__: predictor(clips=1))
    path = cut(write_video(tmp_path / "cut.avi", 40), 0.7)
    assert run("--output", tmp_path / "out", path, clips / "a.avi") == 0
    note = rf"{path}: states 40 frames, but \d+ could be read; cut off, "
    assert re.search(f"warning: {note}", said := capsys.readouterr().err)
    assert said.count("could be read") == 1
    assert re.search(f"warning: {note}", (tmp_path / "out/log.txt").read_text())
    report = json.loads((tmp_path / "out/data_report.json").read_text())["predict"]
    assert re.match(note, *report["notes"])
    assert report["skipped"] == {}
    last = json.loads((tmp_path / "out/records.jsonl").read_text().splitlines()[0])["frames"][1]
    assert last > 25 if clip_at == "end" else last < 25  # of about 28 frames


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--cfg", "echo.yaml", "output=out", "data.root=nowhere"),
        ("test", "--task", "action", "--checkpoint", "none.pt"),
        ("predict", "--task", "action", "--checkpoint", "none.pt", "--output", "out", "none.avi"),
    ],
    ids=lambda words: words[0],
)
def test_the_decoder_which_names_no_file_is_silenced(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tool(*words) in (3, 4)  # before any video is read
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "-8"


def test_files_and_words(clips, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--output", out, "--pictures", clips) == 3
    said = capsys.readouterr()
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [record["file"] for record in records] == [
        str(clips / "a.avi"), str(clips / "b" / "a.avi"),
    ]  # fmt: skip
    for record in records:
        expected = predictor()(record["file"])
        best = [(entry["class"], entry["score"]) for entry in record["best"]]
        assert best == [(name, round(score, 6)) for name, score in expected.top()]
        assert record["clips"] == 3
        assert f"  {best[0][1]:.3f}  {best[0][0]}" in said.out
        assert cv2.imread(str(out / record["picture"])).shape[0] > 200
    scores = load_scores(out)
    assert scores.names == tuple(record["file"] for record in records)
    assert scores.classes == CLASSES
    assert (scores.labels == -1).all()
    assert np.array_equal(scores.scores[1], predictor()(clips / "b" / "a.avi").scores)
    assert "4 files = 2 used + 2 skipped (1 not a video, 1 unreadable video)" in said.out
    assert "1 of 4 files could not be used" in said.err
    assert "broken.mp4: not a video" in said.err
    report = json.loads((out / "data_report.json").read_text())["predict"]
    assert (report["total"], report["used"]) == (4, 2)
    assert report["listed"][0]["file"] == str(clips / "broken.mp4")


def test_results_are_replaced_on_request_only(clips, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--output", out, "--pictures", clips / "a.avi", clips / "b") == 0
    assert len(list((out / "pictures").iterdir())) == 2
    assert run("--output", out, clips / "a.avi") == 2
    assert "already contains records.jsonl and scores.npz" in capsys.readouterr().err
    assert run("--output", out, "--overwrite", clips / "a.avi") == 0
    assert not list((out / "pictures").iterdir())
    assert len((out / "records.jsonl").read_text().splitlines()) == 1


def test_a_given_file_that_is_no_video_is_named_and_those_in_folders_are_counted(
    clips, tmp_path, capsys
):
    (clips / "README.md").write_text("about the clips")
    (clips / "broken.mp4").unlink()
    given = [clips / "README.md", clips / "image.png", clips / "a.avi"]
    out = tmp_path / "out"
    assert run("--output", out, *given, clips / "b") == 3
    said = capsys.readouterr()
    assert "4 files = 2 used + 2 skipped (2 not a video)" in said.out
    for path in given[:2]:
        assert (
            said.err.count(f"{path}: not a video by its suffix; give videos") == 2
        )  # and at the end
    report = json.loads((out / "data_report.json").read_text())["predict"]
    assert [entry["file"] for entry in report["listed"]] == [str(path) for path in given[:2]]
    assert run("--output", tmp_path / "all", clips) == 0
    counts = "4 files = 2 used + 2 skipped (1 not an image or video, 1 not a video)"
    assert counts in capsys.readouterr().out


def test_nothing_but_broken_files(clips, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--output", out, clips / "broken.mp4") == 3
    assert "there are no results" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"data_report.json", "log.txt"}


def test_inputs_that_are_no_video(clips, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--output", out, clips / "image.png") == 3
    assert "no video among them; give videos" in capsys.readouterr().err
    assert run("--output", out, "camera") == 2
    assert "a camera cannot be classified" in capsys.readouterr().err
    assert not out.exists()
