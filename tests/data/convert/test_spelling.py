"""Names that may be misspelt, of keypoints and of classes."""

import json

import pytest

from keypoint.data.convert.labels import Labels, Person, Picture
from keypoint.data.convert.spelling import is_similar, misspelt
from keypoint.pose.skeleton import load_skeleton
from tests.data.convert.made import convert, labelme, point, rectangle
from tests.data.convert.test_fixtures import FIXTURES


def labels_of(*objects):
    """An image for each object, given by the names of its keypoints."""
    pictures = [
        Picture(f"{n}.jpg", [Person(dict.fromkeys(words.split(), (1, 1, 2)))])
        for n, words in enumerate(objects)
    ]
    return Labels("labelme", pictures=pictures)


def notes_of(*objects):
    return misspelt(labels_of(*objects), list(dict.fromkeys(" ".join(objects).split())))


def test_a_rare_name_is_noted_with_its_image():
    several = ["top_left top_right"] * 40
    assert notes_of("top_right", *several, "tpo_left top_right") == [
        "tpo_left is on 1 object (41.jpg), top_left on 40: if it is misspelt, correct it and "
        "convert again"
    ]
    (note,) = notes_of("tpo_left", "tpo_left", *several)
    assert note.startswith("tpo_left is on 2 objects (for example 0.jpg), top_left on 40:")


def test_no_note_for_names_on_one_object_or_often_or_on_none():
    assert notes_of("top_left tpo_left", *["top_left"] * 40) == []
    assert notes_of("tpo_left", "tpo_left", "tpo_left", *["top_left"] * 59) == []
    assert misspelt(labels_of(*["top_left"] * 60), ["top_left", "tpo_left"]) == []


def test_no_note_for_sides_that_are_never_together():
    """Cattle from the side: lhoof and rhoof are a pair only next to another such pair."""
    assert notes_of("rhoof rhorn", *["lhoof lhorn"] * 40) == []
    assert len(notes_of("rhoof", *["lhoof"] * 40)) == 1


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tpo_left", "top_left"),
        ("top_lef", "top_left"),
        ("top_leftt", "top_left"),
        ("top_ledt", "top_left"),
        ("Top-Left", "top_left"),
        ("topleft", "top_left"),
        ("noes", "nose"),
        ("left_sholder2", "left_shoulder2"),
    ],
)
def test_similar_names(name, other):
    assert is_similar(name, other)
    assert is_similar(other, name)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_ear", "right_ear"),
        ("left_ear", "left_eye"),
        ("top_left", "bottom_left"),
        ("finger1", "finger2"),
        ("finger1", "finger11"),
        ("finger", "finger1"),
        ("paw_FL", "paw_HL"),
        ("finger_a", "finger_b"),
        ("hip", "lip"),
        ("a", "b"),
    ],
)
def test_different_names(name, other):
    assert not is_similar(name, other)
    assert not is_similar(other, name)


def test_no_two_names_of_a_known_skeleton_are_similar(tmp_path):
    for name in ("coco17", "mpii16", "crowdpose14", "aic14", "halpe26", "ap10k17"):
        keypoints = load_skeleton(name, tmp_path).keypoints
        assert not [(a, b) for a in keypoints for b in keypoints if a < b and is_similar(a, b)]


def test_the_note_is_printed_and_in_the_report(tmp_path, capsys):
    for n in range(21):
        corner = "tpo_left" if n == 7 else "top_left"
        labelme(tmp_path / "in", f"{n:02}", [point(corner, 9, 9), point("top_right", 40, 9)])
    made = convert(tmp_path / "in", tmp_path / "out")
    (note,) = made["convert_report"]["notes"]
    assert note.startswith(f"tpo_left is on 1 object ({tmp_path}/in/07.png), top_left on 20: ")
    assert f"note   {note}" in capsys.readouterr().out


def test_joined_classes_are_counted_and_the_rarest_is_shown(tmp_path):
    for n in range(3):
        shapes = [rectangle("sgin" if n == 1 else "sign", 2, 2, 50, 50), point("nose", 9, 9)]
        labelme(tmp_path / "in", str(n), shapes)
    made = convert(tmp_path / "in", tmp_path / "out")
    assert made["convert_report"]["notes"] == [
        "2 classes with equal keypoints are joined, by their number of objects: sign (2), sgin "
        f"(1); sgin is for example on {tmp_path}/in/1.png"
    ]


def test_a_class_without_objects_is_not_joined(tmp_path):
    content = json.loads((FIXTURES / "coco_annotator" / "mice.json").read_text())
    other = content["categories"][0] | {"id": 99, "name": "rat"}
    content["categories"].append(other)
    file = tmp_path / "mice.json"
    file.write_text(json.dumps(content))
    images = FIXTURES / "coco_annotator" / "images"
    made = convert(file, tmp_path / "out", "--images", images)
    assert made["convert_report"]["notes"] == []
