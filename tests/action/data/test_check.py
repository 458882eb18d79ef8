"""Every video read once: faults named, what is probably wrong counted, and the file of the broken."""

import json
import shutil

import cv2
import numpy as np
import pytest

from keypoint.action.data.check import check_videos, group_of, overlap_notes, short_notes
from keypoint.action.data.looks import look_at_video, look_at_videos
from keypoint.action.data.videos import load_videos
from keypoint.commands.action.check_data import rounded_up
from tests.action.data.made_up_videos import (
    touch,
    write_frames,
    write_video,
    write_without_frames,
)
from tests.calling import tool
from tests.data.test_video import CLIPS, cut
from tests.data.test_video_frames import SHOWN, VIDEOS


@pytest.mark.parametrize("name", SHOWN)
def test_a_whole_video_is_read_whole_without_a_word(name):
    look = look_at_video(VIDEOS / name)
    assert (look.frames, look.claimed, look.image_size) == (len(SHOWN[name]),) * 2 + ((48, 64),)
    assert look.rate == pytest.approx(25)
    assert (look.fault, look.shortfall, look.notes, look.complaint) == (None, None, (), None)


def test_a_video_that_is_cut_off_is_used_as_far_as_it_goes(tmp_path):
    path = cut(write_video(tmp_path / "a.avi", 40), 0.6)
    look = look_at_video(path)
    assert 0 < look.frames < 40
    assert look.fault is None
    assert look.shortfall.startswith(
        f"states 40 frames, but {look.frames} could be read; cut off, "
    )


def test_faults_are_returned(tmp_path):
    touch(tmp_path, "a.mp4")
    assert "a.mp4: not a video (0 bytes" in look_at_video(tmp_path / "a.mp4").fault
    assert "b.mp4: cannot be read (No such file" in look_at_video(tmp_path / "b.mp4").fault
    path = write_video(tmp_path / "c.avi", 9)
    path.write_bytes(path.read_bytes()[:400])
    assert "c.avi" in look_at_video(path).fault
    path = write_without_frames(tmp_path / "d")
    assert "d.mp4: has no frame that can be read (it states 10" in look_at_video(path).fault
    folder = write_frames(tmp_path / "e", 3)
    (folder / "img_00002.png").write_bytes(b"nothing")
    assert "img_00002.png: not a JPEG" in look_at_video(folder).fault


@pytest.mark.skipif(not CLIPS.exists(), reason="the clips are not in the repository")
def test_real_clips():
    names = ("corrupted.mp4", "demo.mp4", "part_0.mp4", "video_90.mov")
    looks = dict(zip(names, look_at_videos([CLIPS / name for name in names], 0), strict=True))
    assert [look.frames for look in looks.values()] == [28, 280, 32, 3]
    assert looks["corrupted.mp4"].shortfall.startswith("states 50 frames, but 28 could be read")
    assert "Invalid NAL" in looks["corrupted.mp4"].complaint
    assert looks["demo.mp4"].shortfall is None
    assert looks["video_90.mov"].image_size == (568, 320)  # turned by a flag


def test_everything_wrong_with_a_split_is_counted(tmp_path):
    write_video(tmp_path / "run/v_run_g01_c01.avi", 40)
    shutil.copy(tmp_path / "run/v_run_g01_c01.avi", tmp_path / "run/copy.avi")
    write_video(tmp_path / "run/short.avi", 6, first=3)
    write_frames(tmp_path / "frames", 5)
    (tmp_path / "frames/img_00003.png").unlink()
    touch(tmp_path, "run/broken.avi")
    lines = ["run/v_run_g01_c01.avi 40 0", "run/copy.avi 40 0", "run/short.avi 6 0"]
    lines += ["frames 5 1", "run/broken.avi 9 0", "run/missing.avi 9 0", "run/short.avi 6 7"]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    counted = []
    for workers in (0, 2):
        check = check_videos(
            tmp_path / "train.txt",
            tmp_path,
            part="train",
            classes=["run", "sit", "fly"],
            workers=workers,
        )
        assert [fault.reason for fault in check.faults] == [
            "missing video",
            "label",
            "unreadable video",
        ]
        assert check.broken == [tmp_path / "run/broken.avi"]
        assert check.total == 7
        counted.append(check.to_dict())
    assert counted[0] == counted[1]
    report = counted[0]
    assert (report["total"], report["used"]) == (7, 4)
    assert report["frames"] == {"min": 4, "median": 23, "max": 40, "total": 90}
    assert report["sizes"] == {"64 x 48": 4}
    assert report["rates"] == {"25": 3}
    assert report["classes"] == {"run": 4, "sit": 1, "fly": 0}
    texts = [str(note) for note in check.warnings + short_notes(check, 8, 4, "loop")]
    for words in (
        "1 of 5 (20.00%) folders of frames has gaps .*frames: 1",
        "1 of 5 .* another number of frames than listed.*frames: 5 in the list, 4 in the video",
        "2 of 5 .* copies of another, byte for byte .*v_run_g01_c01.avi, run/copy.avi",
        "1 of 3 .* classes has no video .*fly",
        "2 of 5 .* shorter than a clip of 29 frames (clips.frames=8, clips.stride=4), which starts "
        "over: give clips.sampling=segments or a smaller stride .*short.avi: 6, frames: 4",
    ):
        assert any(_matches(words, text) for text in texts), (words, texts)
    assert len(texts) == 5
    assert len(check.stopping_faults("error", 0.001)) == 3
    assert len(check.stopping_faults("skip", 0.1)) == 3  # too many
    assert [f.reason for f in check.stopping_faults("skip", 0.5)] == ["unreadable video"]


def _matches(words, text):
    parts = words.split(".*")
    return all(part.strip() in text for part in parts)


def test_groups_that_a_split_divides_are_found(tmp_path):
    assert group_of("YoYo/v_YoYo_g08_c01.avi") == "v_YoYo_g08"
    assert group_of("YoYo/v_YoYo_g08_c01") == "v_YoYo_g08"
    assert group_of("hand_g1.avi") is None
    for at, name in enumerate(("g01_c01", "g01_c02", "g02_c01", "g03_c01")):
        write_video(tmp_path / f"YoYo/v_YoYo_{name}.avi", 4, first=9 * at)
    shutil.copy(tmp_path / "YoYo/v_YoYo_g03_c01.avi", tmp_path / "YoYo/other.avi")
    checks = []
    for part, names in (
        ("train", ("v_YoYo_g01_c01", "v_YoYo_g03_c01")),
        ("val", ("v_YoYo_g01_c02", "v_YoYo_g02_c01", "other")),
    ):
        (tmp_path / f"{part}.txt").write_text("".join(f"YoYo/{name}.avi YoYo\n" for name in names))
        checks.append(check_videos(tmp_path / f"{part}.txt", tmp_path, part=part))
    same, divided = overlap_notes(*checks)
    assert (same.count, same.examples) == (1, ("YoYo/other.avi",))
    assert (divided.count, divided.examples) == (1, ("YoYo/v_YoYo_g01_c02.avi",))
    assert "group (gXX)" in str(divided)


def test_a_share_is_rounded_up():
    shares = {1 / 3: 0.34, 0.2: 0.2, 0.07: 0.07, 3 / 1000: 0.003, 1 / 450: 0.0023, 1: 1}
    assert {share: rounded_up(share) for share in shares} == shares


def test_a_list_that_cannot_be_read_is_a_fault(tmp_path):
    check = check_videos(tmp_path / "train.txt", tmp_path, part="train")
    assert "no such list or folder" in check.faults[0].text
    assert check.stopping_faults("skip", 1.0) == check.faults
    assert check.to_dict()["source"].endswith("train.txt")


@pytest.fixture
def config(tmp_path):
    for at, name in enumerate(("train/to_left/a", "train/jump/b", "val/to_left/c", "val/jump/d")):
        write_video(tmp_path / f"{name}.avi", 20 + at)
    text = "task: action\n"
    text += f"data: {{root: {tmp_path}, train_list: train, val_list: val, workers: 0}}\n"
    text += f"output: {tmp_path / 'out'}\n"
    (tmp_path / "c.yaml").write_text(text)
    return tmp_path / "c.yaml"


@pytest.fixture
def check_data(config, capsys):
    """The status and standard output of the command."""

    def run(*words):
        status = tool("check-data", "--cfg", config, *words)
        return status, capsys.readouterr().out

    return run


def test_the_command_on_healthy_videos(check_data, tmp_path):
    status, out = check_data("clips.stride=2", "augment.flip_probability=0.5")
    assert status == 0
    assert "train: 2 videos = 2 used + 0 skipped (none)" in out
    assert "classes  2; videos: 1 each" in out
    assert "frames   20 to 21, median 20, 41 in all" in out
    assert "1 of 2 (50.00%) classes has left or right in their name" in out
    assert "no fault stops training" in out
    picture = cv2.imread(str(tmp_path / "out/check_data.jpg"))
    assert picture.shape[0] > 200
    assert np.unique(picture).size > 20
    report = json.loads((tmp_path / "out/data_report.json").read_text())["check"]
    assert report["val"]["classes"] == {"jump": 1, "to_left": 1}
    assert not (tmp_path / "out/bad_videos.txt").exists()
    _, out = check_data("clips.stride=2", "--pictures", "0")
    assert "warning" not in out


def test_broken_videos_are_left_out_once_their_file_is_in_the_root(check_data, tmp_path):
    path = tmp_path / "val/jump/e.avi"
    path.write_bytes(b"RIFF")
    status, out = check_data()
    assert status == 3
    assert "FAULT    jump/e.avi: damaged or cut off video, cannot be opened (4 bytes" in out
    skip = ("data.on_bad=skip", "data.max_bad=0.34")  # 1 of 3
    assert f"cp {tmp_path}/out/bad_videos.txt {tmp_path}/ and use {' '.join(skip)}\n" in out
    assert (tmp_path / "out/bad_videos.txt").read_text() == "val/jump/e.avi\n"
    assert ": 3 videos = 2 used + 1 skipped (1 unreadable video)" in out
    assert check_data(*skip)[0] == 3
    (tmp_path / "bad_videos.txt").write_text("jump/e.avi\n")
    status, out = check_data(*skip)
    assert status == 3
    assert f"line of bad_videos.txt is not a file: names are relative to {tmp_path}" in out
    shutil.copy(tmp_path / "out/bad_videos.txt", tmp_path)
    assert check_data("data.on_bad=skip")[0] == 3
    status, out = check_data(*skip)
    assert status == 0
    assert "FAULT" not in out
    assert f"  skipped  val jump/e.avi: {path} is listed in bad_videos.txt\n" in out
    assert "3 videos = 2 used + 1 skipped (1 broken video)" in out
    val = load_videos("val", tmp_path, part="val", on_bad="skip", max_bad=0.5)
    assert val.names == ("jump/d.avi", "to_left/c.avi")
