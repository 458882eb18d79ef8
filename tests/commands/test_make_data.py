"""keypoint make-person-data and make-clip-data; make-sign-data is in tests/end_to_end/test_signs.py."""

import json
from functools import partial

import pytest

from keypoint.commands import make_clip_data
from tests.calling import tool


def test_persons_are_written_as_coco_unpacks_and_left_once_complete(tmp_path, capsys):
    data = tmp_path / "persons"
    words = ["make-person-data", "--output", str(data), "--train", "3", "--val", "2"]
    assert tool(*words) == 0
    annotations = data / "annotations" / "person_keypoints_train2017.json"
    assert len(json.loads(annotations.read_text())["images"]) == 3
    assert len(list((data / "val2017").iterdir())) == 2
    written = annotations.stat().st_mtime_ns
    assert tool(*words) == 0
    assert annotations.stat().st_mtime_ns == written
    assert "already complete" in capsys.readouterr().err
    assert tool(*words, "--seed", "1") == 0  # another set takes its place
    assert annotations.stat().st_mtime_ns != written


def test_a_folder_with_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert tool("make-person-data", "--output", str(tmp_path), "--train", "1", "--val", "1") == 3
    assert "it is not a demo set and was left alone" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_clips_and_the_weights_of_single_frames_are_left_once_complete(tmp_path, monkeypatch):
    few = partial(make_clip_data.train_on_frames, pictures=18, steps=2)
    monkeypatch.setattr(make_clip_data, "train_on_frames", few)
    words = ["--output", str(tmp_path / "echo"), "--train", "8", "--val", "4"]
    make_clip_data.main(words)
    files = sorted(p for p in (tmp_path / "echo").rglob("*") if p.suffix in (".mkv", ".pth"))
    assert [path.suffix for path in files].count(".mkv") == 12
    times = [path.stat().st_mtime_ns for path in files]
    make_clip_data.main(words)
    assert [path.stat().st_mtime_ns for path in files] == times


@pytest.mark.parametrize("name", ["make-person-data", "make-clip-data"])
def test_help_names_a_config_that_uses_the_set(name, capsys):
    with pytest.raises(SystemExit):
        tool(name, "--help")
    assert "keypoint train --cfg " in capsys.readouterr().out
