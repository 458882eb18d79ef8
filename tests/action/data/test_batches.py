"""Clips by key and clips of whole videos: the right frames, once, equal for any number of workers."""

import cv2
import numpy as np
import pytest
import torch

from keypoint.action.data import frames as frames_module
from keypoint.action.data.augment import ClipAugmentation, TestCrops
from keypoint.action.data.batches import TestClips, TrainClips
from keypoint.action.data.frames import FrameFolder, open_frames, read_drawn
from keypoint.action.data.sampling import ClipSampling
from keypoint.action.data.videos import load_videos
from keypoint.data.batches import TrainSampler, evaluation_loader, train_loader
from keypoint.data.video import VideoReader
from keypoint.errors import DataError
from tests.action.data.made_up_videos import (
    numbers_of,
    write_frames,
    write_video,
    write_without_frames,
)

SIZE = 32, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six videos and two folders of frames, with the numbers of their frames in them."""
    root = tmp_path_factory.mktemp("videos")
    for at in range(6):
        write_video(root / f"{'ab'[at % 2]}/{at}.avi", 40 + at)
    write_frames(root / "a/frames", 30)
    write_frames(root / "b/frames", 9, begin=0)
    return root


@pytest.fixture(scope="module")
def videos(folder):
    return load_videos(folder, folder, part="train")


def augmentation(**options):
    return ClipAugmentation(SIZE, **options)


def epochs(videos, workers, number=2):
    sampler = TrainSampler(len(videos), 4, seed=0)
    data = TrainClips(videos, ClipSampling(4, stride=3), augmentation(), seed=5)
    loader = train_loader(data, sampler, workers)
    found = []
    for epoch in range(number):
        sampler.set_position(epoch)
        found.append(list(loader))
    return found


def test_clips_are_distinct_and_equal_for_any_number_of_workers(videos):
    alone = epochs(videos, 0)
    clips = [clip.numpy().tobytes() for epoch in alone for batch in epoch for clip in batch.clips]
    assert len(set(clips)) == len(clips) == 16
    for workers in (1, 3):
        for epoch, same in zip(alone, epochs(videos, workers), strict=True):
            for batch, other in zip(epoch, same, strict=True):
                assert torch.equal(batch.clips, other.clips)
                assert torch.equal(batch.labels, other.labels)
                assert (batch.names, len(batch)) == (other.names, 4)


def test_a_training_clip_has_the_frames_of_its_key(videos):
    data = TrainClips(videos, ClipSampling(4, stride=3), augmentation(), seed=5)
    seen = []
    for epoch in range(40):
        batch = data.__getitems__([(epoch, 1), (epoch, 6)])
        assert batch.clips.shape == (2, 4, *SIZE, 3)
        assert batch.clips.dtype == torch.uint8
        assert batch.names == [videos.names[1], videos.names[6]]
        assert batch.labels.tolist() == videos.labels[[1, 6]].tolist()
        numbers = numbers_of(batch.clips.numpy())
        assert (np.diff(numbers, axis=1) == 3).all()
        seen.append(numbers[:, 0])
    starts = np.array(seen)
    counts = [open_frames(videos.path(row)).claimed for row in (1, 6)]
    assert starts.min() == 0
    assert len(set(starts[:, 0])) > 15
    assert (starts.max(axis=0) <= np.array(counts) - 10).all()
    again = data.__getitems__([(7, 6)])
    assert torch.equal(again.clips[0], data.__getitems__([(7, 1), (7, 6)]).clips[1])
    assert again.origin() == f"videos {videos.names[6]}"


def test_all_frames_of_a_clip_have_one_crop(folder, monkeypatch):
    """A picture that does not change, so any other crop of a frame would show."""
    still = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    class Still:
        claimed = 40

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def frames_at(self, numbers):
            return ((number, still) for number in sorted(set(numbers)))

    monkeypatch.setattr(frames_module, "open_frames", lambda path: Still())
    videos = load_videos(folder, folder, part="train")
    data = TrainClips(videos, ClipSampling(4), augmentation(), seed=0)
    clips = data.__getitems__([(epoch, 0) for epoch in range(30)]).clips
    assert (clips == clips[:, :1]).all()
    assert len({clip.numpy().tobytes() for clip in clips}) > 15


def collected(videos, workers=0, placed="uniform", crops=1, fps=None, **options):
    data = TestClips(
        videos,
        ClipSampling(4, stride=3, fps=fps),
        TestCrops((32, 32), 48, crops),
        clips=3,
        sampling=placed,
        batch_size=5,
        **options,
    )
    return list(evaluation_loader(data, workers))


def by_video(batches):
    found = {}
    for batch in batches:
        assert len(batch) <= 5
        for clip, label, row, name in zip(
            batch.clips, batch.labels.tolist(), batch.index.tolist(), batch.names, strict=True
        ):
            found.setdefault(row, []).append((clip.numpy(), label, name))
    return found


@pytest.mark.parametrize("placed", ["uniform", "random"])
def test_every_video_has_all_its_clips_once(videos, placed):
    found = by_video(collected(videos, placed=placed))
    assert sorted(found) == list(range(8))
    for row, clips in found.items():
        count = open_frames(videos.path(row)).claimed
        draw = ClipSampling(4, stride=3).test(videos.names[row], 3, placed)
        assert [numbers_of(clip).tolist() for clip, _, _ in clips] == draw(count, None).tolist()
        assert {(label, name) for _, label, name in clips} == {
            (int(videos.labels[row]), videos.names[row])
        }


def test_processes_and_workers_share_the_videos(videos):
    alone = by_video(collected(videos, placed="random"))
    shared = {}
    for rank in range(3):
        part = by_video(collected(videos, workers=2, placed="random", rank=rank, world_size=3))
        assert not set(part) & set(shared)
        shared |= part
    assert sorted(shared) == sorted(alone)
    for row, clips in alone.items():
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(clips, shared[row], strict=True))


def test_crops_of_a_clip_follow_each_other(videos):
    found = by_video(collected(videos, crops=3))
    for row, clips in found.items():
        numbers = [numbers_of(clip).tolist() for clip, _, _ in clips]
        assert len(clips) == 9
        if videos.names[row] != "b/frames":  # too short for two clips
            assert numbers[0] == numbers[1] == numbers[2] != numbers[3]
        left, middle, right = (clip[..., 1].mean() for clip, _, _ in clips[:3])
        assert left < middle < right  # the ramp of green


def test_a_video_is_opened_once_for_all_its_clips(videos, monkeypatch):
    opened = []

    def counted(path):
        opened.append(path)
        return open_frames(path)

    monkeypatch.setattr(frames_module, "open_frames", counted)
    assert len(by_video(collected(videos, placed="random"))) == 8
    assert len(opened) == len(set(opened)) == 8


def read(path, sampling, span=(0, -1)):
    draw = sampling.test("a", 4, "uniform")
    return read_drawn(path, span, draw, lambda frame: frame)


def test_a_video_that_says_too_much_is_used_as_far_as_it_goes(tmp_path, monkeypatch):
    """Its clips are those of a video that says what it has, wherever the first draw was."""
    path = write_video(tmp_path / "a.avi", 30)
    expected, _ = read(path, ClipSampling(4))

    class Boastful(VideoReader):
        def __init__(self, path, **options):
            super().__init__(path, **options)
            self.claimed = said

    monkeypatch.setattr(frames_module, "VideoReader", Boastful)
    for said in (50, 0, 30):  # noqa: B007
        numbers, frames = read(path, ClipSampling(4))
        assert np.array_equal(numbers, expected)
        assert {at: int(numbers_of(frame)) for at, frame in frames.items()} == {
            at: at for at in numbers.ravel()
        }


def test_spans_are_parts_of_a_video(tmp_path):
    path = write_video(tmp_path / "a.avi", 40)
    numbers, frames = read(path, ClipSampling(4, stride=2), (10, 25))
    assert (numbers.min(), numbers.max()) == (0, 14)
    assert {at: int(numbers_of(frame)) - 10 for at, frame in frames.items()} == {
        at: at for at in numbers.ravel()
    }
    by_time, _ = read(path, ClipSampling(4, stride=2, fps=12.5), (10, 26))
    assert by_time.max() == 14
    assert np.diff(by_time, axis=1).tolist() == [[4, 4, 4]] * 4
    with pytest.raises(DataError, match="a.avi: frames 40 to 50 are requested, but it has 40"):
        read(path, ClipSampling(4), (40, 50))


def test_a_broken_video_is_named_though_a_worker_reads_it(tmp_path):
    for name in "abcd":
        write_video(tmp_path / f"x/{name}.avi", 12)
    path = tmp_path / "x/c.avi"
    path.write_bytes(path.read_bytes()[:300])
    videos = load_videos(tmp_path, tmp_path, part="train")
    for load in (
        lambda: epochs(videos, 0),
        lambda: collected(videos),
        lambda: collected(videos, 2),
    ):
        with pytest.raises(DataError, match=rf"^{path}: (damaged|has no frame)") as error:
            load()
        assert "Traceback" not in str(error.value)
        assert str(error.value).endswith(
            "; keypoint check-data finds all such videos; to leave them out, copy its "
            "bad_videos.txt to data.root and give data.on_bad=skip"
        )
    write_frames(tmp_path / "x/c.avi.frames", 9)
    path.unlink()
    videos = load_videos(tmp_path, tmp_path, part="train")
    for workers in (0, 2):  # the config is wrong: nothing is to be left out
        with pytest.raises(DataError, match="a folder of frames has no frame rate") as error:
            collected(videos, workers, fps=5.0)
        assert "Traceback" not in str(error.value)
        assert "check-data" not in str(error.value)


def test_a_video_without_a_frame_is_named(tmp_path):
    path = write_without_frames(tmp_path / "a")
    with pytest.raises(DataError, match=f"^{path}: has no frame that can be read") as error:
        read(path, ClipSampling(4))
    assert type(error.value) is DataError  # the loader looks for this name in a worker's traceback


def test_folders_of_frames_are_counted_and_sorted_by_number(tmp_path):
    folder = write_frames(tmp_path / "a", 12, begin=0)
    for at in range(12):
        (folder / f"img_{at:05d}.png").rename(folder / f"img_{at}.png")
    (folder / "notes.txt").touch()
    with FrameFolder(folder) as frames:
        found = {at: int(numbers_of(frame)) for at, frame in frames.frames_at([11, 2, 10, 2])}
        assert (found, list(found)) == ({2: 2, 10: 10, 11: 11}, [2, 10, 11])
        assert (frames.claimed, frames.read, frames.gaps()) == (12, 12, 0)
        with pytest.raises(DataError, match="frame 12 was requested, but the video has 12 frames"):
            list(frames.frames_at([12]))
        with pytest.raises(
            DataError, match="a folder of frames has no frame rate; leave out clips.fps"
        ):
            frames.times(3)
    (folder / "img_4.png").unlink()
    assert FrameFolder(folder).gaps() == 1
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b: no image in this folder of frames"):
        FrameFolder(tmp_path / "b")


def test_frames_of_a_folder_that_differ_in_size_are_named(tmp_path):
    folder = write_frames(tmp_path / "a", 3)
    (folder / "img_00002.png").write_bytes(
        (write_frames(tmp_path / "b", 1) / "img_00001.png").read_bytes()
    )
    cv2.imwrite(str(folder / "img_00003.png"), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match="img_00003.png: frame 2 is 30 x 20, unlike earlier frames"):
        list(FrameFolder(folder).frames_at(range(3)))
