"""Missing image files are reported before anything is trained or predicted."""

import os

import pytest

from keypoint.data.boxes import load_boxes
from keypoint.data.coco import load_persons
from keypoint.data.images.files import missing_files, require_image_files
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.calling import tool
from tests.test_readme import small_checkpoint

SKELETON = load_skeleton("coco17")


def test_only_files_count(tmp_path):
    (tmp_path / "sub" / "folder.jpg").mkdir(parents=True)
    names = ["a.jpg", "sub/b.jpg", "link.jpg", "sub//b.jpg", "./a.jpg"]
    for name in names[:2]:
        (tmp_path / name).touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert missing_files(tmp_path, names) == []
    gone = ["nowhere.jpg", "sub/folder.jpg", "b.jpg", "other/a.jpg", "loop.jpg"]
    assert missing_files(tmp_path, [*gone, *names]) == gone


def test_each_folder_is_listed_once_and_no_file_is_asked_for(tmp_path, monkeypatch):
    names = [f"{folder}/{key}.jpg" for folder in "ab" for key in range(50)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (listed.append(folder), scandir(folder))[1])
    monkeypatch.setattr("pathlib.Path.is_file", None)
    assert missing_files(tmp_path, names) == []
    assert listed == [tmp_path / "a", tmp_path / "b"]


def test_records_without_their_image(tmp_path):
    data = tiny_coco.content(8, 1)
    file, images = tiny_coco.write(tmp_path, data)
    require_image_files(load_persons(file, images, SKELETON))
    for entry in data["images"][:7]:
        (images / entry["file_name"]).unlink()
    with pytest.raises(DataError) as caught:
        require_image_files(load_persons(file, images, SKELETON))
    first = ", ".join(entry["file_name"] for entry in data["images"][:5])
    text = f"{images}: 7 of the 8 image files for {file} are missing: {first} .."
    assert str(caught.value).startswith(text)
    boxes = [{"image_id": 107, "category_id": 1, "bbox": [1, 1, 50, 50], "score": 1}]
    (tmp_path / "boxes.json").write_text(str(boxes).replace("'", '"'))
    require_image_files(load_boxes(tmp_path / "boxes.json", file, images, SKELETON))
    skipping = load_persons(file, images, SKELETON, on_bad="skip", max_bad=1.0)
    require_image_files(skipping)  # they are left out


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_training_does_not_begin(tmp_path, capsys, split):
    data = tiny_coco.content(4, 1)
    folders = {name: tiny_coco.write(tmp_path, data, name)[1] for name in ("train2017", "val2017")}
    (folders[split] / data["images"][2]["file_name"]).unlink()
    (tmp_path / "own.yaml").write_text(
        f"output: {tmp_path}/out\ndata: {{root: {tmp_path}, workers: 0}}\n"
        "model: {encoder: resnet18, input_size: [64, 64], weights: none}\n"
        "train: {epochs: 1, batch_size: 2}\n"
    )
    assert tool("train", "--cfg", tmp_path / "own.yaml", "--device", "cpu") == 3
    said = capsys.readouterr().err
    assert f"error: {folders[split]}: 1 of the 4 image files" in said
    assert "are missing: 000000000102.png\n" in said
    assert not (tmp_path / "out" / "last.pt").exists()


def test_testing_does_not_begin(tmp_path, capsys):
    data = tiny_coco.content(4, 1)
    _, images = tiny_coco.write(tmp_path, data)
    (images / data["images"][2]["file_name"]).unlink()
    small_checkpoint(tmp_path / "run" / "best.pt")
    arguments = ["--checkpoint", tmp_path / "run" / "best.pt", "--device", "cpu"]
    arguments += [f"data.root={tmp_path}", "data.workers=0", f"output={tmp_path / 'out'}"]
    assert tool("test", *arguments) == 3
    assert "1 of the 4 image files" in capsys.readouterr().err
