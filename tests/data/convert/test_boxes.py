"""Boxes without keypoints: what is written, and that `keypoint predict` finds keypoints in them."""

import base64
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny_network
from tests.calling import tool
from tests.data.convert.made import labelme, picture, point, rectangle, write

SIZES = {"original_width": 80, "original_height": 60, "image_rotation": 0}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Commands are printed for the working folder."""
    monkeypatch.chdir(tmp_path)
    tiny_network.load_once(monkeypatch)


def convert(source, *options, status=0):
    words = (source, "--to", "coco", "--output", "made", *options)
    assert tool("convert", *words) == status


def read(name):
    return json.loads(Path(f"made/{name}.json").read_text())


def predicted(command):
    """Boxes of each image in the records of the printed command."""
    words = shlex.split(command)
    assert words[:4] == ["keypoint", "predict", "--checkpoint", "best.pt"]
    tiny_network.checkpoint(Path("best.pt"))
    assert tool(*words[1:], "--device", "cpu") == 0
    records = [json.loads(line) for line in Path("found/records.jsonl").read_text().splitlines()]
    assert all(np.isfinite(record["keypoints"]).all() for record in records)
    return {record["file"]: record["boxes"] for record in records}


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1].strip()


def test_rectangles_of_labelme(tmp_path, capsys):
    labelme(tmp_path / "new", "a", [rectangle("sign", 30, 20, 10, 5), rectangle("sign", 70, 50, 99, 70)])  # fmt: skip
    labelme(tmp_path / "new" / "sub", "b", [rectangle("sign", 1, 2, 31.5, 22)])
    labelme(tmp_path / "new", "c", [])
    picture(tmp_path / "new" / "d.png")  # not labelled
    convert("new")
    size = {"width": 80, "height": 60}
    assert read("ids") == {
        "images": [
            {"id": 1, "file_name": "a.png"} | size,
            {"id": 2, "file_name": "c.png"} | size,
            {"id": 3, "file_name": "sub/b.png"} | size,
        ],
        "categories": [{"id": 1, "name": "sign"}],
    }
    assert read("boxes") == [
        {"image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 15]},
        {"image_id": 1, "category_id": 1, "bbox": [70, 50, 10, 10]},  # clipped to the image
        {"image_id": 3, "category_id": 1, "bbox": [1, 2, 30.5, 20]},
    ]
    report = {"from": "labelme", "counts": {"images": 3, "boxes": 3}, "skipped": {}, "notes": []}
    assert read("convert_report") == report
    said = capsys.readouterr().out.splitlines()
    assert "made/ids.json and made/boxes.json are for keypoint predict" in said[0]
    assert said[1] == "boxes  3 of class sign, on 2 of 3 images"
    assert said[-1] == (
        "  keypoint predict --checkpoint best.pt --output found --annotations made/ids.json "
        "--boxes made/boxes.json new"
    )
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["boxes.json", "convert_report.json", "ids.json"]  # fmt: skip
    boxes = predicted(said[-1])
    assert boxes == {"new/a.png": [[10, 5, 20, 15], [70, 50, 10, 10]], "new/c.png": [], "new/sub/b.png": [[1, 2, 30.5, 20]]}  # fmt: skip


def cvat():
    picture(Path("photos/0.png"))
    box = "<box label='sign' xtl='10' ytl='5' xbr='30' ybr='20'/>"
    image = f"<image id='0' name='0.png' width='80' height='60'>{box}</image>"
    task = "<meta><task><labels><label><name>corner</name><parent>plate</parent></label></labels></task></meta>"
    return write(Path("photos/annotations.xml"), f"<annotations>{task}{image}</annotations>")


def coco():
    """CVAT's COCO keypoints, of a task in which no skeleton was drawn yet."""
    picture(Path("photos/0.png"))
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "keypoints": [], "bbox": [10, 5, 20, 15]}  # fmt: skip
    content = {
        "images": [{"id": 7, "file_name": "0.png", "width": 80, "height": 60}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "sign", "keypoints": ["a", "b"]}],
    }
    return write(Path("photos/person_keypoints_default.json"), content)


def label_studio():
    picture(Path("photos/0.png"))
    value = {"x": 12.5, "y": 25 / 3, "width": 25, "height": 25, "rectanglelabels": ["sign"]}
    box = SIZES | {"id": "b", "type": "rectanglelabels", "value": value}
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-0.png"}, "annotations": [{"result": [box]}]}  # fmt: skip
    return write(Path("photos/export.json"), [task])


def ultralytics(more="", numbers=""):
    picture(Path("photos/images/val/0.png"))
    write(Path("photos/labels/val/0.txt"), f"1 0.25 {12.5 / 60} 0.25 0.25{numbers}\n")
    return write(Path("photos/data.yaml"), f"names: [car, sign]\nval: images/val\n{more}")


def ultralytics_pose():
    return ultralytics("kpt_shape: [2, 3]\n", " 0 0 0 0 0 0")


@pytest.mark.parametrize("make", [cvat, coco, label_studio, ultralytics, ultralytics_pose])
def test_boxes_of_other_tools(make, capsys):
    convert(make())
    assert read("ids")["categories"] == [{"id": 1, "name": "sign"}]
    (boxes,) = predicted(last_line(capsys)).values()
    assert boxes == [pytest.approx([10, 5, 20, 15])]


def turned(file):
    """A photo of 60 x 80 pixels that EXIF turns to 80 x 60."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file.parent.mkdir(exist_ok=True)
    Image.effect_noise((60, 80), 60).convert("RGB").save(file, exif=exif)


@pytest.mark.parametrize("name", ["b.png", "b.jpg"])
def test_photos_that_exif_turns(name, tmp_path, capsys):
    """`keypoint predict` reads listed images as stored, so they are written upright."""
    labelme(tmp_path / "new", "a", [rectangle("sign", 10, 5, 30, 20)])
    labelme(tmp_path / "new", "b", [rectangle("sign", 50, 40, 79, 59)], imagePath=name)
    turned(tmp_path / "new" / name)
    convert("new")
    command = last_line(capsys)
    assert command.endswith(" new made/images")
    boxes = predicted(command)
    assert boxes["new/a.png"] == [[10, 5, 20, 15]]
    assert boxes["made/images/b_upright.png"] == [[50, 40, 29, 19]]
    assert len(boxes) == 2


def test_only_images_inside_label_files(tmp_path, capsys):
    file = labelme(tmp_path / "new", "a", [])
    image = file.with_suffix(".png")
    data = base64.b64encode(image.read_bytes()).decode()
    labelme(tmp_path / "new", "a", [rectangle("sign", 10, 5, 30, 20)], imageData=data)
    image.unlink()
    convert("new")
    command = last_line(capsys)
    assert command.endswith("boxes.json made/images")
    assert predicted(command) == {"made/images/a.png": [[10, 5, 20, 15]]}


def test_an_image_of_the_same_name_in_the_other_folder_is_left_out(tmp_path, capsys):
    file = labelme(tmp_path / "new" / "x", "a", [])
    data = base64.b64encode(file.with_suffix(".png").read_bytes()).decode()
    box = [rectangle("sign", 10, 5, 30, 20)]
    labelme(tmp_path / "new" / "x", "a", box, imageData=data)
    file.with_suffix(".png").unlink()
    labelme(tmp_path / "new" / "y", "a", box)
    convert("new")
    assert len(read("ids")["images"]) == len(read("boxes")) == 1
    assert "images of the same name as one in another folder: 1" in capsys.readouterr().out


def test_several_classes_need_a_choice(tmp_path, capsys):
    shapes = [rectangle("car", 10, 5, 30, 20), rectangle("sign", 40, 5, 60, 20)]
    labelme(tmp_path / "new", "a", shapes)
    labelme(tmp_path / "new", "b", shapes[1:])
    convert("new", status=3)
    said = " ".join(capsys.readouterr().err.split())
    assert "the boxes have several classes: sign (2), car (1)" in said
    assert "choose it with --category NAME" in said
    convert("new", "--category", "sgin", status=3)
    assert "'sgin': no box has this class; there are sign (2), car (1)" in capsys.readouterr().err
    assert not (tmp_path / "made" / "ids.json").exists()
    convert("new", "--category", "car")
    said = capsys.readouterr().out
    assert "boxes  1 of class car, on 1 of 2 images" in said
    assert "left out  boxes of class sign: 2 (for example new/a.png)" in said
    assert read("ids")["categories"] == [{"id": 1, "name": "car"}]
    assert [box["bbox"] for box in read("boxes")] == [[10, 5, 20, 15]]


def test_points_that_no_box_has_are_no_boxes_alone(tmp_path, capsys):
    shapes = [rectangle("cat", 2, 2, 9, 9), rectangle("cat", 12, 2, 19, 9), point("nose", 50, 50)]
    labelme(tmp_path / "new", "a", shapes)
    convert("new", status=3)
    assert (
        "points of no group, and in no box, in several or in that of a group: 1"
        in capsys.readouterr().err
    )


def test_boxes_outside_their_image_are_left_out(tmp_path, capsys):
    outside = rectangle("sign", 90, 5, 99, 20)
    labelme(tmp_path / "new", "a", [outside])
    convert("new", status=3)
    assert "objects without a box in the image: 1" in capsys.readouterr().err
    labelme(tmp_path / "new", "b", [rectangle("sign", 10, 5, 30, 20)])
    convert("new")
    assert "boxes  1 of class sign, on 1 of 2 images" in capsys.readouterr().out


def test_a_share_for_validation_is_refused(tmp_path, capsys):
    labelme(tmp_path / "new", "a", [rectangle("sign", 10, 5, 30, 20)])
    convert("new", "--val-share", "0.2", status=2)
    assert "--val-share 0.2 has no effect" in capsys.readouterr().err


def test_a_detection_set_next_to_labels_is_read_only_if_asked_for(tmp_path, capsys):
    """Converters write one into the folder of labelme's files."""
    ultralytics()
    labelme(tmp_path / "photos", "a", [point("nose", 5, 5)])
    convert("photos")
    assert "labelme (--from labelme)" in capsys.readouterr().err
    convert("photos", "--from", "ultralytics", "--overwrite")
    assert "boxes  1 of class sign" in capsys.readouterr().out
    assert read("convert_report")["notes"] == []  # on missing names of keypoints


def test_outlines_of_ultralytics_are_refused(capsys):
    convert(ultralytics(numbers=" 0.5 0.5"), status=3)
    assert "line 1: not the 5 numbers of a box: class, x" in capsys.readouterr().err
