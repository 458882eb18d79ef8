"""Which files a command line means."""

import os

import pytest

from keypoint.errors import ConfigError, DataError, printable
from keypoint.prediction.inputs.find import find_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.PNG", "in/a.jpg", "in/deep/c.webp", "in/clip.MP4", "in/readme.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path


def find(*arguments, output="out"):
    from pathlib import Path

    return find_inputs(list(arguments), Path(output), ("pictures", "crops"))


def names(inputs):
    return [found.name for found in inputs.found]


def test_a_folder_and_those_below_it_by_name(folder):
    (folder / "in/.hidden.jpg").write_bytes(b"x")
    (folder / "in/.thumbs").mkdir()
    found = find("in")
    assert names(found) == ["a.jpg", "b.PNG", "clip.MP4", "deep/c.webp"]
    assert [f.is_video for f in found.found] == [False, False, True, False]
    assert found.left_out == {"hidden": 2, "not an image or video": 1}
    assert found.faults == []


def test_files_in_the_order_given_and_once_each(folder):
    found = find("in/b.PNG", "in/a.jpg", "in", "in/readme.txt", "in/../in/a.jpg")
    assert names(found) == ["b.PNG", "a.jpg", "clip.MP4", "deep/c.webp", "readme.txt"]
    assert found.left_out["given twice"] == 3


def test_patterns_but_not_of_a_name_that_is_there(folder):
    assert names(find("in/*.[jP]*")) == ["a.jpg", "b.PNG"]
    assert names(find("in/**/*.webp")) == ["c.webp"]
    (folder / "camera").write_bytes(b"x")
    assert find("camera").found[0].camera is None
    (folder / "in/[a].jpg").write_bytes(b"x")
    assert names(find("in/[a].jpg")) == ["[a].jpg"]
    with pytest.raises(DataError, match=r"in/\*\.bmp: no such file or folder, and no match"):
        find("in/*.bmp")


def test_all_that_is_missing_is_reported_at_once(folder):
    with pytest.raises(
        DataError, match=r"2 inputs are missing(?s:.*)x\.jpg: no such file(?s:.*)y\.jpg: no"
    ):
        find("in/a.jpg", "x.jpg", "y.jpg")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.jpg", "FTP://x/y", "rtsp:/a", "s3://b/c"])
def test_a_url_is_refused_before_anything(folder, url):
    with pytest.raises(ConfigError, match=r"URLs are not downloaded"):
        find("nowhere.jpg", url)


def test_what_should_be_an_image_and_is_none(folder):
    (folder / "in/lost.jpg").symlink_to("nowhere")
    (folder / "in/folder.jpg").mkdir()
    os.mkfifo(folder / "in/pipe.png")
    (folder / "in/photo.HEIC").write_bytes(b"x")
    (folder / "in/loop").symlink_to(folder)
    found = find("in")
    assert [fault.text.rpartition("in/")[2].partition(";")[0] for fault in found.faults] == [
        "folder.jpg: cannot be read (a folder with the name of a file)",
        "lost.jpg: cannot be read (a broken link)",
        "pipe.png: cannot be read (neither a file nor a folder)",
    ]
    assert "photo.HEIC" in names(found)  # which then is reported as no JPEG
    assert found.left_out["links to folders"] == 1


def test_results_are_never_inputs(folder):
    (folder / "in/out/pictures").mkdir(parents=True)
    (folder / "in/out/pictures/000001_a.jpg").write_bytes(b"x")
    found = find("in", output="in/out")
    assert names(found) == ["a.jpg", "b.PNG", "clip.MP4", "deep/c.webp"]
    assert found.left_out["in the output folder"] == 1
    assert "out/pictures/000001_a.jpg" in names(find("in", output="elsewhere"))
    assert find("in/*", output="in/out").left_out["in the output folder"] == 1
    with pytest.raises(ConfigError, match="in/out: is the --output folder"):
        find("in/out", output="in/out")
    with pytest.raises(ConfigError, match="is in in/out/pictures, the folder for pictures of this"):
        find("in/out/pictures/000001_a.jpg", output="in/out")
    with pytest.raises(ConfigError, match="is in in/out/pictures, the folder for pictures of this"):
        find("in/out/pictures", output="in/out")
    (folder / "in/out/crops").mkdir()
    (folder / "in/out/crops/000001_a_0.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is in in/out/crops, the folder for pictures of this"):
        find("in/out/crops/*.jpg", output="in/out")


def test_no_image_at_all(folder):
    (folder / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"empty: no image or video in it or its subfolders \(it is empty"
    ):
        find("empty")
    (folder / "empty/a.txt").write_bytes(b"x")
    with pytest.raises(DataError, match=r"\(1 not an image or video\)"):
        find("empty")


def test_a_name_is_printed_on_one_line():
    assert printable("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == "caf\\udce9.jpg"
    assert printable("人 物.jpg") == "人 物.jpg"
