"""Label files of the tools themselves: keypoints are where the writing library reads them back.

`tests/fixtures/convert/make.py` wrote them, with what each library read in expected.json.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from keypoint.config.load import load_config
from keypoint.pose.skeleton import load_skeleton
from tests.calling import tool
from tests.data.convert import made
from tests.data.convert.made import picture

FIXTURES = Path(__file__).parents[2] / "fixtures" / "convert"
NAMES = ["nose", "left_ear", "right_ear", "tail"]
LIBRARY = {"sleap/run.slp": "sleap_io", "sleap/run.pkg.slp": "sleap_io"}


def convert(source, output, *options):
    assert tool("convert", source, "--to", "coco", "--output", output, *options) == 0
    return output


def read_back(output):
    """By pycocotools: persons' points and boxes of each image's file name."""
    found = {}
    for file in (output / "train.json", output / "val.json"):
        data = COCO(str(file))
        for image in data.loadImgs(data.getImgIds()):
            persons = data.loadAnns(data.getAnnIds(image["id"]))
            made = [(np.reshape(one["keypoints"], (4, 3)), one["bbox"]) for one in persons]
            # A library may read persons in another order: by the left ear, which all have.
            found[image["file_name"]] = sorted(made, key=lambda one: one[0][1, 0])
    return found


def key_of(name, expected):
    """The entry of expected.json that an image is: by its path's end, or its frame's number."""
    frame = str(int(digits)) if (digits := Path(name).stem.rpartition("_")[2]).isdigit() else None
    fits = [
        key for key in expected if f"/{key}".endswith(f"/{name}") or f"/{name}".endswith(f"/{key}")
    ]
    fits = fits or [key for key in expected if key in (Path(name).stem, frame)]
    assert len(fits) == 1, f"{name} among {list(expected)}"
    return fits[0]


@pytest.mark.parametrize("source", [
    "labelme", "cvat_datumaro", "coco_datumaro", "deeplabcut", "deeplabcut_multi",
    "ultralytics_sleap", "sleap/run.slp", "sleap/run.pkg.slp",
])  # fmt: skip
def test_keypoints_are_where_the_library_that_wrote_them_reads_them(source, tmp_path, capsys):
    if source in LIBRARY:
        pytest.importorskip(LIBRARY[source])
    folder = FIXTURES / source.split("/")[0]
    output = convert(FIXTURES / source, tmp_path / "out")
    expected = json.loads((folder / "expected.json").read_text())
    found = read_back(output)
    assert {key_of(name, expected) for name in found} == set(expected)
    for name, persons in found.items():
        wanted = expected[key_of(name, expected)]
        wanted.sort(key=lambda person: person.get("points", person)["left_ear"][0])
        assert len(persons) == len(wanted)
        for (triples, bbox), person in zip(persons, wanted, strict=True):
            points = person.get("points", person)
            assert {NAMES[k] for k in range(4) if triples[k, 2]} == set(points)
            for keypoint, numbers in points.items():
                row = triples[NAMES.index(keypoint)]
                np.testing.assert_allclose(row[: len(numbers)], numbers, atol=0.006)
            if "bbox" in person:
                x, y, w, h = person["bbox"]
                right, low = min(80, x + w), min(60, y + h)  # clipped to the image
                np.testing.assert_allclose(bbox, [x, y, right - x, low - y], atol=0.006)
            assert (triples[triples[:, 2] == 0] == 0).all()
    skeleton = load_skeleton("skeleton.yaml", output)
    assert skeleton.keypoints == tuple(NAMES)
    assert skeleton.pairs == (("left_ear", "right_ear"),)
    assert "left_ear and right_ear (guessed from the names)" in capsys.readouterr().out
    with_edges = source not in ("labelme", "cvat_datumaro")
    assert skeleton.edges == (tuple(("nose", name) for name in NAMES[1:]) if with_edges else ())


@pytest.mark.parametrize("source", [
    "labelme", "cvat_skeletons", "cvat_video", "cvat_datumaro", "coco_datumaro", "coco_annotator",
    "deeplabcut", "deeplabcut_multi", "ultralytics_sleap", "label_studio",
    "sleap/run.slp", "sleap/run.pkg.slp",
])  # fmt: skip
def test_the_data_check_finds_no_fault(source, tmp_path, capsys):
    if source in LIBRARY:
        pytest.importorskip(LIBRARY[source])
    output = convert(FIXTURES / source, tmp_path / "out")
    words = ["--cfg", output / "config.yaml", f"output={tmp_path / 'check'}", "--pictures", "0", "data.workers=0"]  # fmt: skip
    assert tool("check_data", *words) == 0
    said = capsys.readouterr().out
    assert "FAULT" not in said
    assert "AP 1.000" in said


@pytest.mark.parametrize(
    "source", ["cvat_skeletons", "cvat_video", "coco_annotator", "label_studio"]
)
def test_forms_whose_tool_has_no_library(source, tmp_path):
    """Their files are written as the tools' own code does, from the scene of labelme's."""
    found = read_back(convert(FIXTURES / source, tmp_path / "out"))
    expected = list(json.loads((FIXTURES / "labelme" / "expected.json").read_text()).values())
    assert len(found) == 3
    for name, persons in sorted(found.items()):
        wanted = expected[int(Path(name).stem[-1])]
        for (triples, _), person in zip(persons, wanted, strict=True):
            for k, keypoint in enumerate(NAMES):
                x, y, flag = person["points"].get(keypoint, [0, 0, 0])
                flag = min(flag, 1) * 2 if source == "label_studio" else flag  # it has no occluded
                np.testing.assert_allclose(triples[k], [x, y, flag], atol=0.006)


def test_an_epoch_is_trained(tmp_path):
    output = convert(FIXTURES / "labelme", tmp_path / "out")
    words = [
        "model.encoder=resnet18",
        "model.input_size=[32,32]",
        "model.weights=none",
        "data.workers=0",
    ]
    words += [
        "train.epochs=1",
        "train.batch_size=2",
        "train.optimizer=sgd",
        "train.momentum=0",
        f"output={tmp_path / 'run'}",
    ]
    assert tool("train", "--cfg", output / "config.yaml", *words) == 0
    assert (tmp_path / "run" / "best.pt").is_file()
    assert load_config(output / "config.yaml").data.skeleton == "skeleton.yaml"


def test_the_hdf5_of_deeplabcut_is_read_like_its_csv(tmp_path):
    pytest.importorskip("h5py")
    for folder in ("deeplabcut", "deeplabcut_multi"):
        project = tmp_path / folder
        shutil.copytree(FIXTURES / folder, project)
        by_csv = read_back(convert(project, tmp_path / f"{folder}_csv"))
        for file in project.rglob("*.csv"):
            file.unlink()
        by_h5 = read_back(convert(project, tmp_path / f"{folder}_h5"))
        for name, persons in by_csv.items():
            for (a, _), (b, _) in zip(persons, by_h5[name], strict=True):
                np.testing.assert_array_equal(a, b)


def test_sleap_skeletons_of_one_name_are_classes_of_their_own(tmp_path, capsys):
    sleap_io = pytest.importorskip("sleap_io")
    picture(tmp_path / "0.png")
    video = sleap_io.Video.from_filename([str(tmp_path / "0.png")])
    instances = [
        sleap_io.Instance.from_numpy(
            np.array(points, float), skeleton=sleap_io.Skeleton(names, name="fly")
        )
        for names, points in (
            (["head", "tail"], [[5, 6], [20, 30]]),
            (["a", "b", "c"], [[50, 6], [60, 30], [70, 9]]),
        )
    ]
    frame = sleap_io.LabeledFrame(video=video, frame_idx=0, instances=instances)
    file = tmp_path / "p.slp"
    sleap_io.save_slp(sleap_io.Labels([frame]), str(file), embed=False)
    made.convert(file, tmp_path / "out", status=3)
    assert "{'fly': '2 keypoints', 'fly 2': '3 keypoints'}" in capsys.readouterr().err
    made.convert(file, tmp_path / "out", "--category", "fly 2")
    (person,) = json.loads((tmp_path / "out" / "train.json").read_text())["annotations"]
    assert person["keypoints"] == [50, 6, 2, 60, 30, 2, 70, 9, 2]
