"""Lists as they are published, small, and what is said of faulty ones."""

import json

import numpy as np
import pytest

from keypoint.action.data.lists.classes import read_classes
from keypoint.action.data.videos import load_videos
from keypoint.errors import DataError
from tests.action.data.made_up_videos import touch, write_frames


def load(root, source, part="train", **options):
    return load_videos(root / source, root, part=part, **options)


def content(videos):
    """Name and class of each video."""
    return {
        name: videos.classes[label] if label >= 0 else None
        for name, label in zip(videos.names, videos.labels.tolist(), strict=True)
    }


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_a_list_of_paths_and_numbers_needs_names(tmp_path, separator):
    touch(tmp_path, "a.mp4", "sub/b.mp4")
    write(tmp_path / "train.txt", f"a.mp4{separator}1", "", f"sub/b.mp4{separator}0")
    with pytest.raises(DataError, match=r"train.txt: labels are numbers, such as 0, .*\n.*classes"):
        load(tmp_path, "train.txt")
    videos = load(tmp_path, "train.txt", classes=["jump", "run"])
    assert content(videos) == {"a.mp4": "run", "sub/b.mp4": "jump"}
    assert videos.path(1) == tmp_path / "sub/b.mp4"
    assert videos.spans.tolist() == [[0, -1]] * 2
    assert str(videos.report).endswith("train.txt: 2 videos = 2 used + 0 skipped (none)")
    write(tmp_path / "classes.txt", "walk", "fall")
    assert content(load(tmp_path, "train.txt")) == {"a.mp4": "fall", "sub/b.mp4": "walk"}
    assert load(tmp_path, "train.txt", classes=["x", "y"]).classes == ("x", "y")


def test_a_path_may_have_spaces_and_labels_may_be_names(tmp_path):
    touch(tmp_path, "arm wrestling/take 2.mp4", "b.mp4")
    write(tmp_path / "train.txt", "arm wrestling/take 2.mp4 wrestle", "b.mp4 box")
    videos = load(tmp_path, "train.txt")
    assert videos.classes == ("box", "wrestle")
    assert content(videos) == {"arm wrestling/take 2.mp4": "wrestle", "b.mp4": "box"}
    assert videos.counts() == {"box": 1, "wrestle": 1}
    given = load(tmp_path, "train.txt", classes=["wrestle", "box", "none"])
    assert given.labels.tolist() == [0, 1]
    assert given.fingerprint() != videos.fingerprint()


def test_folders_of_frames_in_a_list(tmp_path):
    for name in ("one 1", "two"):
        write_frames(tmp_path / name, 3)
    write(tmp_path / "train.txt", "one 1 4 0", "two 3 1")
    videos = load(tmp_path, "train.txt", classes=["a", "b"])
    assert (videos.names, videos.stated_frames.tolist()) == (("one 1", "two"), [4, 3])
    assert videos.labels.tolist() == [0, 1]
    write(tmp_path / "train.txt", "two 1 2 0", "two 0 3 1")
    videos = load(tmp_path, "train.txt", classes=["a", "b"])
    assert (videos.names, videos.spans.tolist()) == (("two", "two"), [[1, 3], [0, 3]])


KINETICS = (
    "label,youtube_id,time_start,time_end,split",
    "arm wrestling,-abc_d,5,15,train",
    '"playing, loudly",xyz,120,130,train',
    "arm wrestling,val0,0,10,validate",
)


@pytest.mark.parametrize(
    ("folder", "second"),
    [
        ("arm wrestling/", "playing, loudly/"),
        ("arm_wrestling/", "playing, loudly/"),
        ("", ""),
        ("train/", "train/"),
        ("train/arm wrestling/", "train/playing,_loudly/"),
    ],
)
def test_kinetics(tmp_path, folder, second):
    of_val = folder.replace("train/", "val/")
    touch(tmp_path, f"{folder}-abc_d_000005_000015.mp4", f"{of_val}val0_000000_000010.webm")
    touch(tmp_path, f"{second}xyz_000120_000130.mp4")
    write(tmp_path / "k.csv", *KINETICS)
    videos = load(tmp_path, "k.csv")
    assert content(videos) == {
        f"{folder}-abc_d_000005_000015.mp4": "arm wrestling",
        f"{second}xyz_000120_000130.mp4": "playing, loudly",
    }
    assert str(videos.report).endswith("3 videos = 2 used + 1 skipped (1 of another split)")
    val = load(tmp_path, "k.csv", part="val", classes=videos.classes)
    assert content(val) == {f"{of_val}val0_000000_000010.webm": "arm wrestling"}


def test_the_places_searched_for_videos_of_kinetics_are_named(tmp_path):
    touch(tmp_path, "training/run/deeper/x_000000_000010.mp4", "valid/run/x_000000_000010.mp4")
    write(tmp_path / "k.csv", KINETICS[0], "run,x,0,10,train")
    text = (
        r"x_000000_000010.mp4 \(searched: NAME\.\*, FOLDER/NAME\.\*, train/CLASS/NAME\.\*\); check"
    )
    with pytest.raises(DataError, match=text):
        load(tmp_path, "k.csv")
    touch(tmp_path, "train/run/x_000000_000010.mp4")
    # A list of one split is searched in the folders of that split, whatever it is used for.
    assert load(tmp_path, "k.csv", part="val", classes=["run"]).names == (
        "train/run/x_000000_000010.mp4",
    )


def test_kinetics_with_the_same_video_in_two_classes_and_without_labels(tmp_path):
    touch(tmp_path, "a/x_000000_000010.webm", "b/x_000000_000010.mkv")
    write(tmp_path / "k.csv", KINETICS[0], "a,x,0,10,train", "b,x,0,10,train")
    assert list(content(load(tmp_path, "k.csv")).values()) == ["a", "b"]
    write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split", "x,0,10,test")
    touch(tmp_path, "test/x_000000_000010.mp4")
    (tmp_path / "a/x_000000_000010.webm").unlink()
    (tmp_path / "b/x_000000_000010.mkv").unlink()
    videos = load(tmp_path, "test.csv", part="val", classes=["a"])
    assert videos.labels.tolist() == [-1]
    with pytest.raises(DataError, match="has no label; training needs one"):
        load(tmp_path, "test.csv", classes=["a"])


UCF = {
    "classInd.txt": ("1 Archery", "2 YoYo"),
    "trainlist01.txt": ("YoYo/v_YoYo_g08_c01.avi 2", "Archery/v_Archery_g08_c01.avi 1"),
    "testlist01.txt": ("Archery/v_Archery_g01_c01.avi",),
    "trainlist02.txt": ("Archery/v_Archery_g01_c01.avi 1",),
}


def ucf(root, **changed):
    for name, lines in (UCF | changed).items():
        write(root / "splits" / name, *lines)
        touch(root, *(line.split()[0] for line in lines if "/" in line))
    return root


def test_ucf101(tmp_path):
    ucf(tmp_path)
    train = load(tmp_path, "splits/trainlist01.txt")
    assert train.classes == ("Archery", "YoYo")
    assert train.labels.tolist() == [1, 0]  # from 1 in the file
    test = load(tmp_path, "splits/testlist01.txt", part="val")
    assert content(test) == {"Archery/v_Archery_g01_c01.avi": "Archery"}
    with pytest.raises(
        DataError, match=r"splits: a folder of split files; name .*/trainlist01.txt"
    ):
        load(tmp_path, "splits")


def test_a_ucf101_list_of_other_classes_is_noticed(tmp_path):
    ucf(tmp_path, **{"classInd.txt": ("1 YoYo", "2 Archery")})
    text = r"trainlist01.txt: 2 faults; .*\n.*line 1: YoYo/.* number 2, but YoYo is 1 in classInd"
    with pytest.raises(DataError, match=text):
        load(tmp_path, "splits/trainlist01.txt")


def test_hmdb51(tmp_path):
    write(tmp_path / "s/wave_test_split1.txt", "a.avi 1 ", "b.avi 2 ", "c.avi 0 ")
    write(tmp_path / "s/brush_hair_test_split1.txt", "a.avi 2 ", "d.avi 1 ")
    touch(tmp_path, *(f"wave/{name}.avi" for name in "abc"), "brush_hair/a.avi", "brush_hair/d.avi")
    train = load(tmp_path, "s/*_test_split1.txt")
    assert content(train) == {"wave/a.avi": "wave", "brush_hair/d.avi": "brush_hair"}
    assert train.classes == ("brush_hair", "wave")
    assert train.report.skipped == {"of the other part": 2, "in neither part of this split": 1}
    val = load(tmp_path, "s/*_test_split1.txt", part="val")
    assert content(val) == {"wave/b.avi": "wave", "brush_hair/a.avi": "brush_hair"}
    with pytest.raises(DataError, match=r"\*_test_split2.txt: no file matches"):
        load(tmp_path, "s/*_test_split2.txt")
    with pytest.raises(
        DataError, match=r"a folder of split files; .*'s/\*_test_split1.txt' for both"
    ):
        load(tmp_path, "s")


def test_something_something(tmp_path):
    entries = [
        {"id": "78687", "label": "holding potato", "template": "Holding [something] up"},
        {"id": "42326", "label": "x", "template": "Pushing [something] from left to right"},
    ]
    write(tmp_path / "train.json", json.dumps(entries))
    names = {"Pushing something from left to right": "0", "Holding something up": "1"}
    write(tmp_path / "labels.json", json.dumps(names))
    touch(tmp_path, "v/78687.webm", "v/42326.webm")
    videos = load(tmp_path, "train.json")
    assert content(videos) == {
        "v/78687.webm": "Holding something up",
        "v/42326.webm": "Pushing something from left to right",
    }
    assert videos.classes == tuple(names)
    write(tmp_path / "test.json", json.dumps([{"id": "78687"}]))
    assert load(tmp_path, "test.json", part="val").labels.tolist() == [-1]
    write(tmp_path / "coco.json", json.dumps({"images": []}))
    with pytest.raises(
        DataError, match="coco.json: not a JSON list of videos with id and template"
    ):
        load(tmp_path, "coco.json")


def test_a_folder_for_each_class(tmp_path):
    touch(
        tmp_path, "train/run/b.mp4", "train/run/a.AVI", "train/jump/x.webm", "train/run/notes.txt"
    )
    touch(tmp_path, "train/.cache/c.mp4", "train/empty/readme.md")
    write_frames(tmp_path / "train/jump/frames", 2)
    videos = load(tmp_path, "train")
    assert videos.classes == ("jump", "run")
    assert videos.names == ("jump/frames", "jump/x.webm", "run/a.AVI", "run/b.mp4")
    assert videos.root == tmp_path / "train"
    assert videos.report.skipped == {"not a video": 2, "folder without a video": 1}
    assert videos.report.notes == (
        "1 of 3 (33.33%) class folders has no video: left out of the classes (for example empty)",
    )
    assert load(tmp_path, "train", classes=["empty", "jump", "run"]).report.notes == (
        "1 of 3 (33.33%) classes has no video (for example empty)",
    )
    assert load(tmp_path, "train", classes=["run", "jump"]).labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(
        DataError, match=r"train/jump.* contains videos|train: train/.* one level too deep"
    ):
        load(tmp_path, ".")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: no folder in it contains a video"):
        load(tmp_path, "none")


def test_a_missing_video_may_be_there_as_a_folder_of_frames(tmp_path):
    ucf(tmp_path)
    (tmp_path / "YoYo/v_YoYo_g08_c01.avi").unlink()
    write_frames(tmp_path / "YoYo/v_YoYo_g08_c01", 2)
    assert "YoYo/v_YoYo_g08_c01" in load(tmp_path, "splits/trainlist01.txt").names


def test_missing_videos_are_named_or_left_out_and_counted(tmp_path):
    touch(tmp_path, *(f"{i}.mp4" for i in range(8)))
    write(tmp_path / "train.txt", *(f"{i}.mp4 a" for i in range(10)))
    with pytest.raises(DataError, match=r"2 of 10 videos are missing in .*: 8.mp4, 9.mp4; check"):
        load(tmp_path, "train.txt")
    videos = load(tmp_path, "train.txt", on_bad="skip", max_bad=0.2)
    assert str(videos.report).endswith("10 videos = 8 used + 2 skipped (2 missing video)")
    assert [entry["file"] for entry in videos.report.listed] == ["8.mp4", "9.mp4"]
    with pytest.raises(DataError, match=r"2 of 10 videos \(20.00%\) are bad, over the limit"):
        load(tmp_path, "train.txt", on_bad="skip", max_bad=0.1)


def test_broken_videos_that_are_named_are_left_out_by_agreement(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "train.txt", "a.mp4 x", "b.mp4 x")
    write(tmp_path / "bad_videos.txt", "b.mp4", "other.mp4")
    assert len(load(tmp_path, "train.txt")) == 2
    videos = load(tmp_path, "train.txt", on_bad="skip", max_bad=0.5)
    assert (videos.names, videos.report.skipped) == (("a.mp4",), {"broken video": 1})


def test_names_in_another_form_are_explained(tmp_path):
    touch(tmp_path, "run/a.mp4")
    for name, cause in (("Run/A.mp4", "upper and lower case"), ("videos/run/a.mp4", "begin with")):
        write(tmp_path / "train.txt", f"{name} x")
        with pytest.raises(DataError, match=f"its names do not match .*\n.*{cause}"):
            load(tmp_path, "train.txt")
    write(tmp_path / "train.txt", "run\\a.mp4 x")
    assert load(tmp_path, "train.txt").names == ("run/a.mp4",)


def test_labels_that_do_not_fit_are_named(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "train.txt", "a.mp4 1", "b.mp4 2")
    text = r"train.txt line 2: label 2 is not in 0..1, .* if the numbers start at 1"
    with pytest.raises(DataError, match=text):
        load(tmp_path, "train.txt", classes=["x", "y"])
    write(tmp_path / "train.txt", "a.mp4 x", "b.mp4 z", "c.mp4")
    text = r"2 faults; .*\n.*line 3: 'c.mp4' has no label.*\n.*line 2: class 'z' is not one of the 1 cl"
    with pytest.raises(DataError, match=text):
        load(tmp_path, "train.txt", classes=["x"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.txt", "a\nb\na\n", "class name 'a' is empty or repeated"),
        ("c.txt", "", "has no class name"),
        ("c.txt", "1 a\n3 b\n", "2 class numbers from 1 to 3 have gaps"),
        ("c.txt", "2 a\n3 b\n", "2 class numbers from 2 to 3"),
        ("c.json", '{"a": "x"}', "an index is not a whole number"),
        ("c.json", "3", "neither a list of class names"),
    ],
)
def test_class_files_that_are_none(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: .*{message}"):
        read_classes(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "a b\n\nc\n"),
        ("c.txt", "\ufeff0 a b\n1 c\n"),
        ("c.txt", "2 c\n1 a b\n"),
        ("c.json", '["a b", "c"]'),
        ("c.json", '{"c": 1, "\\"a b\\"": 0}'),
    ],
)
def test_class_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name) == ("a b", "c")


def test_two_class_files_that_differ_are_refused(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path / "train.txt", "a.mp4 0")
    write(tmp_path / "classes.txt", "x")
    write(tmp_path / "label_map_k400.txt", "x")
    assert load(tmp_path, "train.txt").classes == ("x",)
    write(tmp_path / "label_map_k400.txt", "y")
    with pytest.raises(DataError, match=r"classes.txt, label_map_k400.txt next to it differ; give"):
        load(tmp_path, "train.txt")


def test_what_is_not_there_or_not_a_list(tmp_path):
    with pytest.raises(DataError, match="no such list or folder of videos"):
        load(tmp_path, "train.txt")
    write(tmp_path / "train.txt", "")
    with pytest.raises(DataError, match="has no video; a list is `path label`"):
        load(tmp_path, "train.txt")
    write(tmp_path / "k.csv", "label,youtube_id,begin", "a,b,1")
    with pytest.raises(DataError, match="the csv has no time_end, time_start; Kinetics' header is"):
        load(tmp_path, "k.csv")


def test_fingerprints_are_of_names_labels_and_classes(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "train.txt", "a.mp4 0", "b.mp4 1")
    first = load(tmp_path, "train.txt", classes=["x", "y"])
    assert first.fingerprint() == load(tmp_path, "train.txt", classes=["x", "y"]).fingerprint()
    others = [load(tmp_path, "train.txt", classes=["x", "z"])]
    write(tmp_path / "train.txt", "a.mp4 1", "b.mp4 1")
    others.append(load(tmp_path, "train.txt", classes=["x", "y"]))
    assert len({first.fingerprint(), *(other.fingerprint() for other in others)}) == 3
    assert np.array_equal(first.labels, [0, 1])
