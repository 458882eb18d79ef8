"""The command: what it recognises and refuses, classes, splits, images that moved, broken input."""

import sys

import cv2
import numpy as np
import pytest

from keypoint.config.load import load_config
from keypoint.config.schema import AugmentConfig
from keypoint.data.convert.dataset import draw
from keypoint.data.convert.first_config import ROTATION, above_and_below
from keypoint.data.convert.images import Finder, Found
from keypoint.data.convert.labels import Person, Picture
from keypoint.pose.skeleton import load_skeleton
from tests.data.convert.made import (
    convert,
    labelme,
    persons,
    picture,
    point,
    triples,
    write,
)

ALONE = ["--val-share", "0"]
NOSE = [point("nose", 5, 5)]


def coco(folder, keypoints=((10, 20, 2, 30, 40, 1),), names=("a", "b"), **changes):
    """A COCO file of one image; an annotation for each entry of `keypoints`."""
    picture(folder / "images" / "0.png")
    annotations = [
        {
            "id": n,
            "image_id": 1,
            "category_id": 1,
            "keypoints": list(k),
            "bbox": [5, 6, 40, 50],
            "area": 9,
        }
        for n, k in enumerate(keypoints)
    ]
    content = {
        "images": [{"id": 1, "file_name": "srv\\0.png", "width": 80.0, "height": 60}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat", "keypoints": list(names), "skeleton": [[1, 2]]}],
    }
    return write(folder / "coco.json", content | changes)


def test_what_is_found_and_what_is_allowed(tmp_path, capsys):
    convert(tmp_path / "none", tmp_path / "out", status=3)
    assert "no such file or folder" in capsys.readouterr().err
    write(tmp_path / "a" / "x.json", {"hello": 1})
    convert(tmp_path / "a", tmp_path / "out", status=3)
    said = capsys.readouterr().err
    assert "has 1 .json, but no labels of these forms: labelme, cvat, coco" in said
    write(tmp_path / "b" / "x.zip", "PK")
    convert(tmp_path / "b" / "x.zip", tmp_path / "out", status=3)
    assert "an archive; unpack it" in capsys.readouterr().err
    labelme(tmp_path / "c", "p", NOSE)
    coco(tmp_path / "c")
    convert(tmp_path / "c", tmp_path / "out", status=3)
    assert "files of several forms: coco (" in capsys.readouterr().err
    convert(tmp_path / "c", tmp_path / "out", "--from", "labelme")
    assert "labelme (--from labelme)" in capsys.readouterr().err
    convert(tmp_path / "c", tmp_path / "o2", "--from", "sleap", status=3)
    assert "no labels of these forms: --from sleap" in capsys.readouterr().err


def test_damaged_json_is_named(tmp_path, capsys):
    write(tmp_path / "in" / "b.json", '{"shapes": [')
    convert(tmp_path / "in", tmp_path / "out", status=3)
    assert "b.json: JSON cut off after 12 bytes" in capsys.readouterr().err
    labelme(tmp_path / "in", "a", NOSE)
    made = convert(tmp_path / "in", tmp_path / "out")
    assert len(made["convert_report"]["skipped"]["JSON files that cannot be read"]) == 1
    assert "left out  JSON files that cannot be read: 1 (for" in capsys.readouterr().out


def test_files_without_keypoints_beside_those_with(tmp_path):
    """COCO's instances_val2017.json comes before person_keypoints_val2017.json."""
    file = coco(tmp_path / "in")
    write(
        tmp_path / "in" / "boxes.json",
        file.read_text().replace('"keypoints": ["a", "b"]', '"keypoints": []'),
    )
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    assert len(made["train"]["annotations"]) == 1
    assert made["convert_report"]["skipped"] == {
        "files without a class that has keypoints": [str(tmp_path / "in" / "boxes.json")]
    }


def test_without_a_keypoint_what_was_found_is_said(tmp_path, capsys):
    labelme(tmp_path / "in", "a", [point("nose", 5, 5, shape_type="polygon")])
    convert(tmp_path / "in", tmp_path / "out", status=3)
    said = capsys.readouterr().err
    assert "no keypoint is labelled" in said
    assert "shapes of type polygon: 1 (for example" in said


def test_keypoints_wholly_outside_the_image_are_no_data_set(tmp_path, capsys):
    labelme(tmp_path / "in", "a", [point("nose", 500, 5)])
    convert(tmp_path / "in", tmp_path / "out", status=3)
    assert "without a keypoint and a box in the image: 1" in capsys.readouterr().err


def test_nothing_is_counted_twice_if_val_is_train(tmp_path, capsys):
    labelme(tmp_path / "in", "a", [point("nose", 5, 5, 1), point("nose", 500, 5, 2)])
    made = convert(tmp_path / "in", tmp_path / "out")
    assert made["train"] == made["val"]
    said = capsys.readouterr().out
    assert "boxes  1 of 1 are" in said
    assert "without a keypoint and a box in the image: 1 (" in said


def test_the_next_command_can_be_copied(tmp_path, capsys):
    labelme(tmp_path / "in", "a", NOSE)
    convert(tmp_path / "in", tmp_path / "my pets")
    assert f"check-data --cfg '{tmp_path}/my pets/config.yaml'" in capsys.readouterr().out


def test_a_keypoint_without_a_name(tmp_path, capsys):
    labelme(tmp_path / "in", "p", [point("nose", 5, 5), point(" ", 9, 9)])
    convert(tmp_path / "in", tmp_path / "out", status=3)
    assert "has a keypoint without a name" in capsys.readouterr().err


def test_an_existing_output_is_kept(tmp_path, capsys):
    labelme(tmp_path / "in", "p", NOSE)
    out = tmp_path / "out"
    write(out / "mine.txt", "x")
    convert(tmp_path / "in", out, status=2)
    assert "already contains files" in capsys.readouterr().err
    convert(tmp_path / "in", out, "--overwrite")
    convert(tmp_path / "in", out, "--overwrite")
    assert sorted(f.name for f in out.iterdir()) == ["config.yaml", "convert_report.json", "mine.txt", "skeleton.yaml", "train.json", "val.json"]  # fmt: skip


def test_an_output_inside_the_input_is_not_input(tmp_path):
    labelme(tmp_path, "p", NOSE)
    convert(tmp_path, tmp_path / "out")
    convert(tmp_path, tmp_path / "out", "--overwrite")


@pytest.mark.parametrize(
    "head", ["<!DOCTYPE a [<!ENTITY b 'c'>]>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>"]
)
def test_xml_with_entities_is_refused(tmp_path, capsys, head):
    file = write(tmp_path / "a.xml", f"<?xml version='1.0'?>{head}<annotations>&b;</annotations>")
    convert(file, tmp_path / "out", status=3)
    assert "has <!DOCTYPE or <!ENTITY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotations><image", "not XML"),
        ("<annotations>\xe9</annotations>".encode("latin-1"), "byte 13 is not UTF-8"),
        ("<annotations/>", "no keypoint is labelled"),
        ("<annotations><image name='a'><points label='n' points='1,nan'/></image></annotations>", "are not 2 numbers"),
    ],
)  # fmt: skip
def test_broken_xml(tmp_path, capsys, text, said):
    file = tmp_path / "a.xml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    convert(file, tmp_path / "out", status=3)
    assert said in capsys.readouterr().err


def test_numbers_that_training_refuses_leave_no_file(tmp_path, capsys):
    labelme(tmp_path / "in", "p", [point("nose", 5, 5), point("tail", 1e9, 5)])
    convert(tmp_path / "in", tmp_path / "out", status=3)
    assert "outside any image" in capsys.readouterr().err


def test_what_coco_files_of_tools_hold(tmp_path, capsys):
    null, nan = [None, None, 0, 30, 40, 2], [float("nan"), float("nan"), 0, 30, 40, 2]
    bad = [[1, 2, 2], [1, 2, 3, 4, 5, 1], [float("nan"), 1, 2, 0, 0, 0]]
    made = convert(coco(tmp_path / "in", [[], null, nan, *bad]), tmp_path / "out", *ALONE)
    assert [triples(person) for person in persons(made)] == [
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [30, 40, 2]],
        [[0, 0, 0], [30, 40, 2]],
    ]
    assert list(made["convert_report"]["skipped"]) == [
        "annotations with keypoints that are not 6 numbers",
        "annotations with a visibility flag that is not 0, 1 or 2",
        "annotations with a labelled keypoint without coordinates",
    ]
    assert persons(made)[0]["area"] == 2000  # the box's, not the file's 9


def test_edges_that_count_from_0(tmp_path):
    category = {"id": 1, "name": "cat", "keypoints": ["a", "b"], "skeleton": [[0, 1]]}
    convert(coco(tmp_path / "in", categories=[category]), tmp_path / "out", *ALONE)
    assert load_skeleton("skeleton.yaml", tmp_path / "out").edges == (("a", "b"),)


def test_classes_with_different_keypoints_need_a_choice(tmp_path, capsys):
    categories = [
        {"id": 1, "name": "cat", "keypoints": ["a", "b"]},
        {"id": 2, "name": "dog", "keypoints": ["c"]},
    ]
    file = coco(tmp_path / "in", categories=categories)
    convert(file, tmp_path / "out", status=3)
    said = capsys.readouterr().err
    assert "{'cat': '2 keypoints', 'dog': '1 keypoints'}" in said
    assert "its own --category NAME" in said
    convert(file, tmp_path / "out", "--category", "bird", status=3)
    assert "no such class with keypoints; there are ['cat', 'dog']" in capsys.readouterr().err
    assert persons(convert(file, tmp_path / "out", "--category", "cat", *ALONE))


def found(groups, **changes):
    """Images with a person each; a letter of `groups` is its group."""
    return [
        Found(
            Picture(f"{n}.png", [Person({"a": (1, 1, 2)})], group=group, **changes),
            f"{n}.png",
            (9, 9),
        )
        for n, group in enumerate(groups)
    ]


def drawn(images, share):
    parts, how = draw(images, share)
    assert [len(parts["train"]) + len(parts["val"]), len({*map(id, parts["train"])} & {*map(id, parts["val"])})] == [len(images), 0]  # fmt: skip
    return [image.picture.group for image in parts["val"]], parts["val"], how


def test_whole_groups_are_set_aside():
    groups, _, how = drawn(found("aaaabbbbccccdd"), 0.3)
    assert set(groups) in ({"a"}, {"b"}, {"c"}, {"d"})
    assert "whole folders or videos" in how
    assert drawn(found("aaaabbbbccccdd"), 0.3)[0] == groups
    assert drawn(found("aaaaaaaabbbbbbb"), 0.1)[0] == ["b"] * 7  # none fits: the smallest


def test_a_single_group():
    val = drawn(found("aaaaaaaaaa"), 0.2)[1]
    assert len(val) == 2
    val, how = drawn(found("aaaaaaaaaa", is_frame=True), 0.2)[1:]
    assert [image.file for image in val] == ["8.png", "9.png"]
    assert "last frames of the only video" in how


@pytest.mark.parametrize(("number", "share"), [(1, 0.5), (5, 0)])
def test_without_a_split_val_is_train(number, share):
    images = found("a" * number)
    parts, how = draw(images, share)
    assert parts["train"] == parts["val"] == images
    assert "val has the training images" in how


def test_images_that_moved_are_found_by_the_end_of_their_path(tmp_path):
    for folder in ("x/day1", "x/day2", "y"):
        picture(tmp_path / folder / "0.png")
    picture(tmp_path / "only.PNG")
    finder = Finder([tmp_path])
    assert finder.find("/datasets/day2/0.png")[0] == tmp_path / "x" / "day2" / "0.png"
    assert finder.find("/datasets/0.png") is None  # three fit alike
    assert finder.find("C:/images/only.png")[0] == tmp_path / "only.PNG"
    assert finder.find("0a1b2c3d-only.png")[0] == tmp_path / "only.PNG"


def test_an_image_of_another_video_is_not_taken_for_a_missing_one(tmp_path):
    """Both are called 0.png; the one that fits exactly keeps it."""
    images = [{"id": n, "file_name": f"day{n}/0.png", "width": 80, "height": 60} for n in (1, 2)]
    annotation = {"category_id": 1, "keypoints": [1, 2, 2], "bbox": [0, 0, 9, 9], "area": 9}
    content = {
        "images": images,
        "annotations": [annotation | {"id": n, "image_id": n} for n in (1, 2)],
        "categories": [{"id": 1, "name": "cat", "keypoints": ["a"]}],
    }
    picture(tmp_path / "images" / "day2" / "0.png")
    made = convert(write(tmp_path / "c.json", content), tmp_path / "out", *ALONE)
    assert len(made["train"]["images"]) == 1
    assert (
        len(
            made["convert_report"]["skipped"][
                "images that are not found (give their folder with --images DIR)"
            ]
        )
        == 1
    )


def test_the_rotation_is_in_the_config_with_a_comment(tmp_path):
    labelme(tmp_path / "in", "a", NOSE)
    convert(tmp_path / "in", tmp_path / "out")
    file = tmp_path / "out" / "config.yaml"
    assert "rotated by up to 80 degrees" in file.read_text()
    assert "\naugment:\n  rotation: 40\n" in file.read_text()
    default = AugmentConfig().rotation
    assert load_config(file).augment.rotation == default == ROTATION


@pytest.mark.parametrize("names", [["top_left", "bottom_left"], ["Bottom", "ear", "Top"], ["upperLip", "lowerLip"]])  # fmt: skip
def test_keypoints_named_by_their_place_are_rotated_less(tmp_path, names):
    points = [point(name, 5 + 9 * n, 5) for n, name in enumerate(names)]
    labelme(tmp_path / "in", "a", points)
    convert(tmp_path / "in", tmp_path / "out")
    text = (tmp_path / "out" / "config.yaml").read_text()
    above, below = names if len(names) == 2 else (names[2], names[0])
    assert "rotated by up to 30 degrees" in text
    assert f"{above} and {below} are named by their place" in text.replace("\n# ", " ")
    assert "Raise it (the default is 40)" in text
    assert load_config(tmp_path / "out" / "config.yaml").augment.rotation == 15


@pytest.mark.parametrize("names", [["top", "nose"], ["upper_lip", "bottom_lip"], ["left_ear", "right_ear"]])  # fmt: skip
def test_other_names_keep_the_rotation(names):
    assert above_and_below(names) is None


def test_a_skeleton_without_edges_is_reported(tmp_path, capsys):
    labelme(tmp_path / "in", "a", NOSE)
    convert(tmp_path / "in", tmp_path / "out")
    said = (
        "edges  none: pictures will show points without lines; add edges to {}/skeleton.yaml before"
    )
    assert said.format(tmp_path / "out") in capsys.readouterr().out
    convert(coco(tmp_path / "coco"), tmp_path / "out2", *ALONE)
    assert "edges  none" not in capsys.readouterr().out


def test_images_missing_or_of_another_size(tmp_path, capsys):
    labelme(tmp_path / "in", "a", NOSE).with_suffix(".png").unlink()
    labelme(tmp_path / "in", "b", NOSE, imageWidth=160)
    convert(tmp_path / "in", tmp_path / "out", status=3)
    said = capsys.readouterr().err
    assert "no labelled image" in said
    assert "(give their folder with --images DIR)" in said
    assert "80 x 60 pixels (width x height), labelled at 160 x 60" in said
    picture(tmp_path / "elsewhere" / "deep" / "a.png")
    made = convert(tmp_path / "in", tmp_path / "out2", "--images", tmp_path / "elsewhere")
    assert made["train"]["images"][0]["file_name"] == "a.png"
    config = load_config(tmp_path / "out2" / "config.yaml")
    assert config.data.train_images == str(tmp_path / "elsewhere" / "deep")


def test_frames_beyond_the_end_of_a_video_are_counted(tmp_path):
    file = tmp_path / "run.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for n in range(3):
        writer.write(np.full((60, 80, 3), 60 * n, np.uint8))
    writer.release()
    frames = "".join(
        f"<skeleton frame='{n}' keyframe='1'><points label='nose' outside='0' occluded='0' points='1,2'/></skeleton>"
        for n in (1, 7)
    )
    meta = "<meta><task><source>run.avi</source></task></meta>"
    text = f"<annotations>{meta}<track id='3' label='cat'>{frames}</track></annotations>"
    made = convert(write(tmp_path / "a.xml", text), tmp_path / "out", *ALONE)
    (entry,) = made["train"]["images"]
    image = cv2.imread(str(tmp_path / "out" / "images" / "run" / entry["file_name"]))
    assert abs(int(image.mean()) - 60) < 4
    assert persons(made)[0]["track_id"] == 3
    assert len(made["convert_report"]["skipped"]["frames that cannot be read"]) == 1


def test_tracks_of_several_videos_are_refused(tmp_path, capsys):
    tracks = "".join(f"<track id='{n}' label='cat' task_id='{n}'/>" for n in (4, 5))
    convert(write(tmp_path / "a.xml", f"<annotations>{tracks}</annotations>"), tmp_path / "out", status=3)  # fmt: skip
    assert "tracks of tasks ['4', '5']" in capsys.readouterr().err


def test_sleap_without_its_library(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    convert(write(tmp_path / "a.slp", "x"), tmp_path / "out", status=2)
    assert 'pip install "keypoint[convert]"' in capsys.readouterr().err
