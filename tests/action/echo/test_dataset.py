"""The generated set on disk, read back as any set of videos."""

import json

import numpy as np
import pytest

from keypoint.action.data.videos import load_videos
from keypoint.action.echo.clips import CLASSES
from keypoint.action.echo.dataset import is_echo_set, make_clip, write_echo_set
from keypoint.data.video import VideoReader
from keypoint.errors import DataError

FEW = {"train_clips": 8, "val_clips": 5}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo") / "data"
    counted = []
    write_echo_set(folder, **FEW, progress=counted.append)
    assert sum(counted) == 13
    return folder


@pytest.mark.parametrize(("part", "split", "number"), [("train", 0, 8), ("val", 1, 5)])
def test_every_bit_comes_back(written, part, split, number):
    videos = load_videos(written / part, written, part=part)
    assert videos.classes == CLASSES
    assert videos.generated
    assert len(videos) == number
    indices = []
    for row in range(len(videos)):
        index = int(videos.path(row).stem)
        frames, label = make_clip(0, split, index)
        assert videos.labels[row] == label
        with VideoReader(videos.path(row)) as reader:
            np.testing.assert_array_equal(np.stack(list(reader)), frames)
            assert reader.shortfall() is None
        indices.append(index)
    assert sorted(indices) == list(range(number))


def test_a_whole_set_is_known(written):
    assert is_echo_set(written, **FEW)
    assert not is_echo_set(written, train_clips=9, val_clips=5)
    assert not is_echo_set(written, **FEW, seed=1)
    assert not is_echo_set(written / "train", **FEW)


def test_an_interrupted_set_is_not_whole_and_is_replaced(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_echo_set(tmp_path, train_clips=6, val_clips=4, progress=interrupt)
    assert not is_echo_set(tmp_path, train_clips=6, val_clips=4)
    write_echo_set(tmp_path, train_clips=4, val_clips=4)
    assert is_echo_set(tmp_path, train_clips=4, val_clips=4)
    assert len(list(tmp_path.rglob("*.mkv"))) == 8
    assert json.loads((tmp_path / "echo_set.json").read_text())["complete"]


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("text")
    with pytest.raises(DataError, match="not an earlier set and was not changed; choose a new"):
        write_echo_set(tmp_path, **FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="is a file; give a folder"):
        write_echo_set(tmp_path / "mine.txt", **FEW)


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match=r"val_clips=3.*at least 4 clips per split"):
        write_echo_set("unused", train_clips=4, val_clips=3)
