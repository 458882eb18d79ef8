"""Ultralytics' numbers and DeepLabCut's tables."""

import pytest

from keypoint.pose.skeleton import load_skeleton
from tests.data.convert.made import convert, persons, picture, triples, write

ALONE = ["--val-share", "0"]
YAML = "path: .\ntrain: images/train\nval: images/val\nkpt_shape: [2, {dim}]\nnames:\n  0: cat\n  1: dog\n"


def ultralytics(folder, lines, dim=3, more=""):
    for split in ("train", "val"):
        picture(folder / "images" / split / "0.png")
        write(folder / "labels" / split / "0.txt", lines)
    return write(folder / "data.yaml", YAML.format(dim=dim) + more)


def test_ultralytics_with_flags(tmp_path, capsys):
    more = "flip_idx: [1, 0]\nkpt_names:\n  0: [right, left]\n  1:\n  - right\n  - left\n"
    line = "1 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1\n"
    made = convert(ultralytics(tmp_path / "in", line + "\n" + line, more=more), tmp_path / "out")
    (person,) = persons(made)
    assert triples(person) == [[40, 15, 2], [8, 12, 1]]
    assert person["bbox"] == [30, 15, 20, 30]
    assert person["class"] == "dog"
    assert len(made["convert_report"]["skipped"]["objects that are twice in a file"]) == 2
    assert load_skeleton("skeleton.yaml", tmp_path / "out").pairs == (("left", "right"),)
    said = capsys.readouterr().out
    assert "pairs  left and right (from the tool)" in said
    assert "the tool's own split" in said


def test_ultralytics_without_flags(tmp_path):
    line = "0 0.5 0.5 0.25 0.5 0.5 0.25 -0.01 0.2\n0 0.5 0.5 0.25 0.5 0 0 0.1 0.2"
    made = convert(ultralytics(tmp_path / "in", line, dim=2), tmp_path / "out")
    assert [triples(person) for person in persons(made)] == [
        [[40, 15, 2], [0, 0, 0]],
        [[0, 0, 0], [8, 12, 2]],
    ]
    assert (
        len(made["convert_report"]["skipped"]["keypoints at exactly 0, 0, taken as missing"]) == 2
    )
    assert load_skeleton("skeleton.yaml", tmp_path / "out").keypoints == (
        "keypoint_0",
        "keypoint_1",
    )


def test_ultralytics_lists_of_images(tmp_path):
    ultralytics(tmp_path / "in", "0 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1")
    write(tmp_path / "in" / "train.txt", "./images/train/0.png\n./images/val/0.png\n")
    text = (
        (tmp_path / "in" / "data.yaml")
        .read_text()
        .replace("train: images/train", "train: train.txt")
    )
    write(tmp_path / "in" / "data.yaml", text.replace("val: images/val\n", ""))
    made = convert(tmp_path / "in", tmp_path / "out", *ALONE)
    assert len(made["train"]["images"]) == 2


@pytest.mark.parametrize(
    "written",
    ["/content/cats/images/{}/0.png", "C:\\cats\\images\\{}\\0.png", "images\\{}\\0.png"],
)
def test_ultralytics_lists_of_another_computer(tmp_path, written):
    file = ultralytics(tmp_path / "in", "0 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1")
    for split in ("train", "val"):
        write(tmp_path / "in" / f"{split}.txt", written.format(split))
    write(file, file.read_text().replace(": images/", ": /content/cats/") + "\n")
    write(
        file, file.read_text().replace("/train\n", "/train.txt\n").replace("/val\n", "/val.txt\n")
    )
    made = convert(file, tmp_path / "out")
    assert len(made["train"]["annotations"]) == len(made["val"]["annotations"]) == 1


@pytest.mark.parametrize("written", ["/content/cats/images/train", "../images/train"])
def test_ultralytics_folders_of_another_computer(tmp_path, written):
    file = ultralytics(tmp_path / "in", "0 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1")
    write(file, file.read_text().replace("train: images/train", f"train: {written}"))
    made = convert(file, tmp_path / "out")
    assert len(made["train"]["images"]) == 1
    assert len(made["train"]["annotations"]) == 1


def test_ultralytics_in_pixels(tmp_path, capsys):
    file = ultralytics(tmp_path / "in", "0 40 30 20 30 40 15 2 8 12 1")
    convert(file, tmp_path / "out", status=3)
    assert "boxes in pixels, not in shares of the image: 2 (for ex" in capsys.readouterr().err


def test_ultralytics_with_other_names_for_each_class(tmp_path, capsys):
    more = "kpt_names:\n  0: [a, b]\n  1: [a, c]\n"
    line = "1 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1\n"
    convert(ultralytics(tmp_path / "in", line, more=more), tmp_path / "out")
    assert "has no kpt_names of 2 keypoints, equal for all classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1 0.1", "0.txt: line 1: not the 11 numbers"),
        ("5 0.5 0.5 0.25 0.5 0.5 0.25 2 0.1 0.2 1", "class 5 is not in names [0, 1]"),
        ("0 0.5 0.5 0.25 0.5 0.5 0.25 0.9 0.1 0.2 1", "flag 0.9 of keypoint_0"),
        ("0 0.5 0.5 0.25 0.5 0.5 nan 2 0.1 0.2 1", "not the 11 numbers"),
    ],
)  # fmt: skip
def test_ultralytics_refused(tmp_path, capsys, line, said):
    convert(ultralytics(tmp_path / "in", line), tmp_path / "out", status=3)
    assert said in capsys.readouterr().err


def deeplabcut(folder, rows, heads, scorer="anna"):
    for n in range(len(rows)):
        picture(folder / "labeled-data" / "day1" / f"{n}.png", seed=n)
    lines = [",".join([name, *cells]) for name, cells in heads]
    lines += [f"labeled-data\\day1\\{n}.png,{row}" for n, row in enumerate(rows)]
    return write(folder / "labeled-data" / "day1" / f"CollectedData_{scorer}.csv", "\n".join(lines))


SINGLE = [
    ("scorer", ["anna"] * 4),
    ("bodyparts", ["nose", "nose", "tail", "tail"]),
    ("coords", ["x", "y"] * 2),
]


def test_deeplabcut_of_one_animal(tmp_path):
    """A path in one cell, as older versions write it; an image without labels stays."""
    file = deeplabcut(tmp_path, ["1,2,3.5,4", "5,6,,", ",,,", "5,,7,8"], SINGLE)
    made = convert(file, tmp_path / "out", *ALONE)
    assert [triples(person) for person in persons(made)] == [
        [[1, 2, 2], [3.5, 4, 2]],
        [[5, 6, 2], [0, 0, 0]],
        [[0, 0, 0], [7, 8, 2]],
    ]
    assert len(made["train"]["images"]) == 4
    assert list(made["convert_report"]["skipped"]) == ["points with one coordinate"]


def test_deeplabcut_points_of_the_scene_are_a_class(tmp_path, capsys):
    heads = [
        ("scorer", ["anna"] * 6),
        ("individuals", ["m1", "m1", "m2", "m2", "single", "single"]),
        ("bodyparts", ["nose"] * 4 + ["corner"] * 2),
        ("coords", ["x", "y"] * 3),
    ]
    deeplabcut(tmp_path, ["1,2,3,4,5,6"], heads)
    convert(tmp_path, tmp_path / "out", status=3)
    assert "its own --category NAME" in capsys.readouterr().err
    made = convert(tmp_path, tmp_path / "out", "--category", "animal", *ALONE)
    assert [(p["track_id"], triples(p)) for p in persons(made)] == [
        ("m1", [[1, 2, 2]]),
        ("m2", [[3, 4, 2]]),
    ]
    assert made["convert_report"]["skipped"] == {
        "objects of another class": [f"{tmp_path}/labeled-data/day1/0.png: single"]
    }


def test_deeplabcut_with_two_scorers(tmp_path):
    deeplabcut(tmp_path, ["1,2,3,4"], SINGLE)
    deeplabcut(tmp_path, ["9,9,9,9"], SINGLE, scorer="aaron")
    write(
        tmp_path / "config.yaml",
        "scorer: anna\nvideo_sets: {}\nskeleton: [[nose, tail], [nose, ear]]\n",
    )
    made = convert(tmp_path / "config.yaml", tmp_path / "out", *ALONE)
    assert triples(persons(made)[0])[0] == [1, 2, 2]
    assert list(made["convert_report"]["skipped"]) == ["tables of another scorer than anna"]
    assert load_skeleton("skeleton.yaml", tmp_path / "out").edges == (("nose", "tail"),)


@pytest.mark.parametrize(
    ("rows", "heads", "said"),
    [
        (["1,2,3"], SINGLE, "row 4 has 4 cells, not 5"),
        (["1,2,3,x"], SINGLE, "row 4 has 'x' for a coordinate"),
        (["1,2,3,4"], SINGLE[1:], "are not DeepLabCut's"),
        (["1,2,3,4"], [*SINGLE[:2], ("coords", ["x", "y", "likelihood", "x"])], "labels have no likelihood"),
    ],
)  # fmt: skip
def test_deeplabcut_refused(tmp_path, capsys, rows, heads, said):
    convert(deeplabcut(tmp_path, rows, heads), tmp_path / "out", status=3)
    assert said in capsys.readouterr().err
