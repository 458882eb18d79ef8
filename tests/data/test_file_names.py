"""File names: those that differ from the files' in form only, long ones, and how they are kept."""

import json
import pickle
import unicodedata

import numpy as np
import pytest

from keypoint.data.audit.check import check_annotation_file
from keypoint.data.coco import load_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.images.names import find_name_forms
from keypoint.data.persons import FileNames
from keypoint.errors import DataError
from keypoint.files import fingerprint
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")
UMLAUT = "Zürich é.png"
NFD = unicodedata.normalize("NFD", UMLAUT)
FORMS = {
    "backslashes": ("cam1/a.png", "cam1\\a.png", "have backslashes; write"),
    "drive": ("cam1/a.png", "C:\\set\\cam1\\a.png", "have backslashes and begin with a folder"),
    "nfd": (UMLAUT, NFD, "another Unicode form (NFD) than the files (NFC)"),
    "nfc": (NFD, UMLAUT, "another Unicode form (NFC) than the files (NFD)"),
    "case": ("Cam1/A.PNG", "cam1/a.png", "in upper and lower case"),
    "case of ß": ("straße.png", "STRASSE.png", "in upper and lower case"),
    "too much": ("a.png", "images/a.png", "begin with a folder that is not in the image folder"),
    "too few": ("cam1/b/a.png", "b/a.png", "lack the name of a folder inside the image folder"),
    "two": ("cam1/A.png", "x\\cam1\\a.png", "backslashes and begin with a folder that is not in the "
            "image folder and differ from the files in upper and lower case"),
}  # fmt: skip


def written(folder, there, given, count=3):
    """A set of which the files are `there`, numbered, and the annotations have them as `given`."""
    data = tiny_coco.content(count, 1)
    file, images = tiny_coco.write(folder, data)
    for number, entry in enumerate(data["images"]):
        target = images / there.replace("a.p", f"a{number}.p").replace("A.", f"A{number}.")
        if target == images / there:
            target = images / f"{number}{there}"
        target.parent.mkdir(parents=True, exist_ok=True)
        (images / entry["file_name"]).rename(target)
        name = given.replace("a.p", f"a{number}.p")
        entry["file_name"] = f"{number}{given}" if name == given else name
    file.write_text(json.dumps(data))
    return file, images


@pytest.mark.parametrize(("there", "given", "cause"), FORMS.values(), ids=FORMS)
def test_the_cause_is_said_once_in_training_and_in_the_check(tmp_path, there, given, cause):
    cause = cause.partition("; write")[0]
    file, images = written(tmp_path, there, given)
    with pytest.raises(DataError) as caught:
        require_image_files(load_persons(file, images, SKELETON))
    text = str(caught.value)
    assert text.startswith(f"{file}: image files in {images} are not found by its file_names\n")
    said = text.split("\n  ", 1)[1]
    assert said.startswith("3 image files are found under another name: file_names ")
    assert cause in said
    assert said.endswith(", and likewise for the others")
    assert "\n" not in said
    found = check_annotation_file(file, images, SKELETON, scored=True)
    faults = [fault for fault in found.faults if fault.reason == "image file"]
    assert [str(fault) for fault in faults] == [text.replace("\n  ", ": ")]
    assert found.persons.report.images.skipped == {"faulty (image file)": 3}
    with pytest.raises(DataError, match="3 of 3 images .* are bad") as caught:
        load_persons(file, images, SKELETON, on_bad="skip", max_bad=0.5)
    assert all(cause in fault for fault in caught.value.faults)


def test_what_to_write_is_an_example_that_can_be_told_apart(tmp_path):
    (tmp_path / UMLAUT).touch()
    form = find_name_forms(tmp_path, [NFD])[0]
    assert str(form) == (
        "1 image file is found under another name: file_names have another Unicode form (NFD) than "
        r"the files (NFC); write Z\xfcrich \xe9.png instead of Zu\u0308rich e\u0301.png"
    )
    (tmp_path / "cam1").mkdir()
    (tmp_path / "cam1" / "x.png").touch()
    assert find_name_forms(tmp_path, ["cam1\\x.png"])[0].of("cam1\\x.png") == (
        "file_names have backslashes; write cam1/x.png instead of cam1\\x.png"
    )


def test_files_that_are_not_there_or_in_doubt_have_no_cause(tmp_path):
    for name in ("a.png", "A.png", "one/b.png", "two/b.png", "c.png/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    missing = ["A.PNG", "b.png", "nowhere.png", "c.png", "\\", "one/c/d.png", "a" * 5000, "../e"]
    assert find_name_forms(tmp_path, missing) == []
    assert find_name_forms(tmp_path / "nowhere", missing) == []


def test_several_causes_and_missing_files_are_counted_apart(tmp_path):
    file, images = written(tmp_path, "cam1/a.png", "cam1/a.png", count=5)
    data = json.loads(file.read_text())
    for entry, name in zip(data["images"], ["cam1\\a0.png", "cam1\\a1.png", "CAM1/a2.png"], strict=False):  # fmt: skip
        entry["file_name"] = name
    (images / "cam1" / "a3.png").unlink()
    file.write_text(json.dumps(data))
    with pytest.raises(DataError) as caught:
        require_image_files(load_persons(file, images, SKELETON))
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  2 image files are found under another name: file_names have back")
    assert lines[2].startswith("  1 image file is found under another name: file_names differ from")
    found = check_annotation_file(file, images, SKELETON, scored=True)
    names = [fault.name for fault in found.faults]
    assert names == ["", "", "image id 103"]


@pytest.mark.parametrize("name", ["a" * 10**6, f"{'b' * 256}.png", "/".join(["cc"] * 1500)[1:]])
def test_one_long_name_is_a_fault_and_costs_its_length_only(tmp_path, name):
    data = tiny_coco.content(2, 1)
    file, images = tiny_coco.write(tmp_path, data)
    more = [dict(data["images"][0], id=n) for n in range(1000, 21000)]
    data["images"] += [*more, dict(data["images"][0], id=7, file_name=name)]
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match="image id 7: .*longer than a path can be") as caught:
        load_persons(file, images, SKELETON)
    assert "1 fault" in str(caught.value)
    assert len(str(caught.value)) < 1000
    names = FileNames.of(["x.png"] * 20_000 + ["y" * 10**6])
    assert names.utf8.nbytes + names.ends.nbytes < 2_000_000


def test_names_are_kept_as_they_are():
    given = ["a.png", "", "ü/ß é.png", "日本.png", "a.png"]
    names = pickle.loads(pickle.dumps(FileNames.of(given)))  # noqa: S301
    assert (len(names), list(names), names.tolist()) == (5, given, given)
    assert [names[row] for row in range(-5, 5)] == given * 2
    assert names.part(np.array([3, 0, 3])).tolist() == ["日本.png", "a.png", "日本.png"]
    assert names[np.int64(2)] == given[2]
    assert FileNames.of([]).tolist() == []


@pytest.mark.parametrize("given", [["a.png", "ü" * 300, "x"], ["", ""], ["日本.png"]])
def test_a_fingerprint_is_that_of_the_text_array_of_older_runs(given):
    rows = np.arange(2500) % len(given)
    older = fingerprint(np.array(given, dtype=np.str_)[rows])
    assert fingerprint(FileNames.of(given).fixed_width(rows)) == older


def test_the_fingerprint_of_persons_is_the_one_of_older_runs(tmp_path):
    persons = load_persons(*tiny_coco.write(tmp_path, tiny_coco.content(3, 2)), SKELETON)
    images, rows = persons.images, persons.image_index
    assert persons.fingerprint() == fingerprint(
        images.ids[rows],
        np.array(images.file_names.tolist(), dtype=np.str_)[rows],
        images.image_size[rows],
        persons.bbox_xywh,
        persons.bbox_scores,
        persons.keypoints_image,
        persons.visibility,
    )
