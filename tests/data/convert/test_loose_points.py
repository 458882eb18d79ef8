"""labelme, Label Studio and CVAT's loose points: which points are one person's."""

import base64

import cv2
import numpy as np
import pytest

from tests.data.convert.made import (
    convert,
    labelme,
    persons,
    picture,
    point,
    rectangle,
    triples,
    write,
)

ALONE = ["--val-share", "0"]


def test_without_groups_and_boxes_all_points_are_one_person(tmp_path):
    labelme(
        tmp_path / "in",
        "a",
        [point("nose", 10, 11), point("tail", 30.5, 31, flags={"occluded": True})],
    )
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    (person,) = persons(made)
    assert triples(person) == [[10, 11, 2], [30.5, 31, 1]]
    assert person["bbox"] == [7.438, 8.5, 25.625, 25.0]  # the extent times 1.25
    assert person["area"] == pytest.approx(25.625 * 25)


def test_the_order_is_that_of_the_first_object_with_the_most_keypoints(tmp_path):
    """The first object lacks a keypoint; the last names another one, of as many as the second."""
    objects = {"a": "nose tail ear", "b": "nose ear neck tail", "c": "ear nose paw tail"}
    for n, (name, words) in enumerate(objects.items()):
        points = [point(word, 5 + 9 * k, 5 + n) for k, word in enumerate(words.split())]
        labelme(tmp_path / "in", name, points)
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    order = made["train"]["categories"][0]["keypoints"]
    assert order == ["nose", "ear", "neck", "tail", "paw"]
    assert triples(persons(made)[0]) == [[5, 5, 2], [23, 5, 2], [0, 0, 0], [14, 5, 2], [0, 0, 0]]


def test_points_go_to_the_only_box_around_them(tmp_path, capsys):
    shapes = [rectangle("cat", 2, 2, 30, 30), rectangle("dog", 60, 40, 20, 10)]
    shapes += [
        point("nose", 5, 5),
        point("nose", 50, 35),
        point("tail", 25, 20),
        point("ear", 70, 50),
    ]
    made = convert(labelme(tmp_path / "in", "a", shapes), tmp_path / "out", *ALONE)
    cat, dog = persons(made)
    assert (cat["class"], cat["bbox"]) == ("cat", [2, 2, 28, 28])
    assert (dog["class"], dog["bbox"]) == ("dog", [20, 10, 40, 30])
    assert triples(cat) == [[5, 5, 2], [0, 0, 0], [0, 0, 0]]
    assert triples(dog) == [[50, 35, 2], [0, 0, 0], [0, 0, 0]]
    left = made["convert_report"]["skipped"]
    reason = "points of no group, and in no box, in several or in that of a group"
    assert [len(left[reason]), left[reason][0].endswith("a.json: tail")] == [2, True]
    said = capsys.readouterr().out
    assert f"left out  {reason}: 2 (for example" in said
    assert "2 classes with equal keypoints are joined, by their number of objects: cat (1)" in said


def test_a_keypoint_twice_leaves_the_person_out(tmp_path):
    shapes = [point("nose", 5, 5, 1), point("nose", 6, 6, 1), point("nose", 50, 35, 2)]
    made = convert(labelme(tmp_path / "in", "a", shapes), tmp_path / "out", *ALONE)
    assert [triples(person) for person in persons(made)] == [[[50, 35, 2]]]
    assert len(made["convert_report"]["skipped"]["persons with a keypoint labelled twice"]) == 1


def test_a_point_that_lost_its_group_harms_no_object_with_a_group(tmp_path):
    shapes = [
        point("cat", 0, 0, 1, shape_type="rectangle", points=[[2, 2], [30, 30]]),
        point("cat", 0, 0, 2, shape_type="rectangle", points=[[20, 10], [60, 40]]),
        *(point("nose", 5, 5, 1), point("tail", 50, 35, None), point("nose", 45, 30, 2)),
    ]
    made = convert(labelme(tmp_path / "in", "a", shapes), tmp_path / "out", *ALONE)
    assert [triples(person) for person in persons(made)] == [
        [[5, 5, 2], [0, 0, 0]],
        [[45, 30, 2], [0, 0, 0]],
    ]
    reason = "points of no group, and in no box, in several or in that of a group"
    assert len(made["convert_report"]["skipped"][reason]) == 1
    assert [line.partition(", ")[2] for line in made["convert_report"]["incomplete"]] == [
        "object 1: tail",
        "object 2: tail",
    ]


def test_other_shapes_are_counted(tmp_path):
    shapes = [
        point("nose", 5, 5),
        point("cage", 1, 1, shape_type="polygon", points=[[1, 1], [2, 2], [1, 3]]),
    ]
    made = convert(labelme(tmp_path / "in", "a", shapes), tmp_path / "out", *ALONE)
    assert list(made["convert_report"]["skipped"]) == ["shapes of type polygon"]


def test_an_image_inside_the_label_file_is_written(tmp_path):
    file = labelme(tmp_path / "in", "a", [point("nose", 5, 5)])
    image = file.with_suffix(".png")
    data = image.read_bytes()
    labelme(tmp_path / "in", "a", [point("nose", 5, 5)], imageData=base64.b64encode(data).decode())
    image.unlink()
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    (entry,) = made["train"]["images"]
    assert (tmp_path / "out" / "images" / entry["file_name"]).read_bytes() == data


def test_an_image_inside_the_label_file_is_not_that_of_another_folder(tmp_path):
    """Both are called a.png, and only the other is a file."""
    inside = picture(tmp_path / "a.png", seed=7).read_bytes()
    data = base64.b64encode(inside).decode()
    file = labelme(tmp_path / "in" / "x", "a", [point("nose", 5, 5)], imageData=data)
    file.with_suffix(".png").unlink()
    picture(tmp_path / "in" / "y" / "a.png")
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    (entry,) = made["train"]["images"]
    assert (tmp_path / "out" / "images" / entry["file_name"]).read_bytes() == inside
    made = convert(tmp_path / "in", tmp_path / "in" / "out", *ALONE)
    other = base64.b64encode(picture(tmp_path / "b.png", seed=8).read_bytes()).decode()
    labelme(tmp_path / "in" / "x", "a", [point("nose", 5, 5)], imageData=other)
    (tmp_path / "in" / "x" / "a.png").unlink()
    convert(tmp_path / "in", tmp_path / "in" / "out", "--overwrite", *ALONE)
    written = tmp_path / "in" / "out" / "images" / "a.png"
    assert written.read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_turned_photo_is_written_upright_as_the_tools_show_it(tmp_path):
    """labelme states the upright size; training does not turn images."""
    file = labelme(
        tmp_path / "in",
        "a",
        [point("nose", 50, 70)],
        imagePath="a.jpg",
        imageHeight=80,
        imageWidth=60,
    )
    file.with_suffix(".png").unlink()
    stored = np.full((60, 80, 3), 200, np.uint8)
    stored[:, :20] = 0  # left columns as stored are the top rows of the upright photo
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    turn = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    file.with_name("a.jpg").write_bytes(jpeg[:2] + turn + jpeg[2:])
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    (entry,) = made["train"]["images"]
    assert (entry["height"], entry["width"]) == (80, 60)
    upright = cv2.imread(str(tmp_path / "out" / "images" / entry["file_name"]))
    assert upright.shape == (80, 60, 3)
    assert upright[:15].max() < 30 < upright[25:].min()


@pytest.mark.parametrize("parent", ["parentID", "relation", "box alone"])
def test_label_studio(tmp_path, parent):
    picture(tmp_path / "images" / "a b.png")
    sizes = {"original_width": 80, "original_height": 60, "image_rotation": 0}
    value = {
        "x": 50,
        "y": 50,
        "width": 25,
        "height": 10,
        "rotation": 90,
        "rectanglelabels": ["cat"],
    }
    box = sizes | {"id": "b", "type": "rectanglelabels", "value": value}
    nose = sizes | {
        "id": "p",
        "type": "keypointlabels",
        "value": {"x": 45, "y": 60, "width": 1, "keypointlabels": ["nose"]},
    }
    result = [box, nose]
    if parent == "parentID":
        nose["parentID"] = "b"
    if parent == "relation":
        result.append({"type": "relation", "from_id": "b", "to_id": "p", "direction": "right"})
    task = {"id": 7, "data": {"img": "/data/upload/1/0a1b2c3d-a%20b.png"}}
    task["annotations"] = [
        {"was_cancelled": True, "result": []},
        {"result": result},
        {"result": []},
    ]
    empty = {"id": 8, "data": {"img": "x.png"}, "annotations": []}
    file = write(tmp_path / "export.json", [task, empty])
    made = convert(file, tmp_path / "out", *ALONE)
    (person,) = persons(made)
    assert triples(person) == [[36, 36, 2]]
    assert person["bbox"] == [34, 30, 6, 20]  # 20 x 6 pixels, turned by 90 degrees about (40, 30)
    assert {reason: len(v) for reason, v in made["convert_report"]["skipped"].items()} == {
        "second annotations of a task": 1,
        "tasks without an annotation": 1,
    }


def test_label_studio_by_sleap_io(tmp_path):
    """sleap-io writes `meta.video` instead of an image; see make.py for the real file of SLEAP."""
    picture(tmp_path / "0.png")
    value = {"x": 50, "y": 50, "keypointlabels": ["nose"]}
    item = {
        "id": "p",
        "type": "keypointlabels",
        "value": value,
        "original_width": 80,
        "original_height": 60,
    }
    meta = {
        "video": {"filename": [str(tmp_path / "0.png")], "frame_idx": 0, "shape": [1, 60, 80, 3]}
    }
    made = convert(
        write(
            tmp_path / "s.json", [{"data": {}, "meta": meta, "annotations": [{"result": [item]}]}]
        ),
        tmp_path / "out",
        *ALONE,
    )
    assert triples(persons(made)[0]) == [[40, 30, 2]]


def test_json_min_of_label_studio_is_refused(tmp_path, capsys):
    points = [{"x": 1, "y": 2, "keypointlabels": ["nose"]}]
    content = [{"id": 1, "img": "a.png", "kp": points, "annotator": 1, "annotation_id": 1}]
    file = write(tmp_path / "min.json", content)
    convert(file, tmp_path / "out", status=3)
    assert "min.json: task 1 has no annotations; export as JSON, not" in capsys.readouterr().err
