"""`run.py clips` and `clip-model` fill their tables, and the ways they compare make the same clips."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypoint.action.data.augment import Crop
from keypoint.action.data.sampling import ClipSampling
from keypoint.commands import cli

REPOSITORY = Path(__file__).parents[2]
WAYS = [
    "straightforward: seeks each frame",
    "straightforward: seeks each clip",
    "ours, all on this core",
    "ours, uint8 to the device",
    "decoding alone, by OpenCV's grab",
]


@pytest.fixture
def tools(monkeypatch):
    """The commands' folder on the path, short and small videos; threads as they were afterwards."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools/benchmarks"))
    monkeypatch.setattr("keypoint.commands.cli.log_to", lambda: None)
    import clip_model
    import clip_videos
    import clip_work

    monkeypatch.setattr(clip_model, "NETWORK", "c2d_resnet34")
    monkeypatch.setattr(clip_work, "SAMPLING", ClipSampling(frames=2, stride=20))
    monkeypatch.setattr(clip_videos, "FRAMES", 70)
    monkeypatch.setattr(clip_videos, "SIZE", (48, 100))
    monkeypatch.setattr(clip_videos, "CODECS", ("mp4v",))
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(cv2_threads)


@pytest.fixture
def run(tools, capsys):
    """The rows of a command's table."""

    def call(*arguments):
        import run as benchmark

        assert cli.run(benchmark.main, [str(argument) for argument in arguments]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]

    return call


def test_clips_fill_their_table_and_their_section(tmp_path, run):
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin clips cpu -->\nold\n<!-- end clips cpu -->\n")
    options = ["--generate", 1, "--input-size", "32x32", "--batch", 2, "--clips", 2]
    rows = run("clips", *options, "--rounds", 1, "--write", document)
    others = [row for row in rows if row[1] == "all"]
    timed = [row for row in rows if row[1] != "all"]
    paths = [
        "training, batches of 2",
        "test, 2 clips x 1 of a video",
        "test, 10 clips x 3 of a video",
    ]
    assert [row[:3] for row in timed if row[2] in WAYS] == [
        ["mp4v", path, way] for path in paths for way in WAYS
    ]
    assert all(float(number) > 0 for row in timed for number in row[3:])
    assert [row[5] for row in timed if row[2] == WAYS[0]] == ["1.00"] * 3
    lacking = {row[2].partition(":")[0]: row[3] for row in others}
    if importlib.util.find_spec("decord") is None:
        assert lacking["decord"] == lacking["mmaction2"] == "not installed"
    assert "\nold\n" not in document.read_text()


def test_clip_model_fills_its_table(run):
    options = ["--input-size", "32x32", "--blocks", "srl_fft", "nl", "--trained", "nl"]
    options += ["--batch", 1, 2, "--eval-rounds", 1, "--train-rounds", 1]
    rows = run("clip-model", *options)
    names = ["none", "srl_fft", "nl"]
    evaluated = [["eval", "float32", batch, name] for batch in "12" for name in names]
    trained = [["train", "float32", "2", name] for name in ("none", "nl")]
    assert [row[:4] for row in rows] == evaluated + trained
    assert [row[6] for row in rows if row[3] == "none"] == ["1.00"] * 3
    assert all(float(number) > 0 for row in rows for number in row[4:])


@pytest.fixture
def video(tools, tmp_path):
    import clip_videos

    clip_videos.write_mp4v(tmp_path / "video.mp4", seed=0)
    return tmp_path / "video.mp4"


@pytest.mark.parametrize("seek", ["frame", "clip"])
def test_straightforward_frames_have_their_painted_numbers(video, seek):
    import clip_videos
    import straightforward_clips

    wanted = [5, 13, 21, 60, 69, 2, 10]  # a short video starts over
    found = straightforward_clips.read(video, wanted, seek)
    assert [clip_videos.painted_number(frame) for frame in found] == wanted


def test_views_of_a_reader_have_their_frames_in_place(video):
    import clip_readers

    def reader(_, numbers):
        assert np.array_equal(numbers, [3, 4, 9])  # each once
        for number in numbers:  # the left half, and 1 more the right one
            left = np.full((6, 4, 3), 10 * number, np.uint8)
            yield np.concatenate([left, left + 1], axis=1)

    numbers, crops = np.array([[9, 3], [3, 4]]), [Crop(0, 0, 4, 4), Crop(4, 0, 4, 4)]
    found = clip_readers.views(reader, video, numbers, crops, (4, 4))
    assert found.shape == (4, 2, 4, 4, 3)
    assert found[:, :, 0, 0, 0].tolist() == [[90, 30], [91, 31], [30, 40], [31, 41]]


def test_a_way_that_makes_other_clips_is_refused(video, monkeypatch):
    import clip_work
    import clips

    from keypoint.action.data.videos import load_videos

    (video.parent / "a").mkdir()
    video.rename(video.parent / "a" / video.name)
    videos = load_videos(video.parent, video.parent, part="train")
    work = clip_work.test_work(videos, (32, 32), clips=3, crops=1)
    clips.check_clips(work, [])
    clips.check_numbers(videos.path(0), [])
    read = clips.straightforward_clips.read

    def one_late(path, numbers, seek):
        return read(path, [(number + 1) % 70 for number in numbers], seek)

    monkeypatch.setattr(clips.straightforward_clips, "read", one_late)
    with pytest.raises(AssertionError, match="seeks each frame': '0 of 3'"):
        clips.check_numbers(videos.path(0), [])
    with pytest.raises(AssertionError, match="seeking each frame differs from ours"):
        clips.check_clips(work, [])
