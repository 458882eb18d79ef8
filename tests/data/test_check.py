"""Everything odd or wrong in a data set, found in one run."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.audit.check import check_annotation_file, stopping_faults
from keypoint.data.audit.images import ImageFile, look_at_image, look_at_images
from keypoint.data.audit.notes import note_on_overlap
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")


def check(file, images, **options):
    return check_annotation_file(file, images, SKELETON, scored=True, **options)


def test_a_clean_set_has_no_fault_and_no_note(tmp_path):
    found = check(*tiny_coco.write(tmp_path, tiny_coco.content()))
    assert found.faults == []
    assert found.notes == []
    assert len(found.persons) == 8


def test_faults_of_every_kind_are_found_together(tmp_path):
    data = tiny_coco.content(8, 2)
    names = data["categories"][0]["keypoints"]
    names[1], names[2] = names[2], names[1]
    file, images = tiny_coco.write(tmp_path, data)
    entries, pictures = data["annotations"], data["images"]
    entries[0]["keypoints"] = [1] * 48
    entries[2]["bbox"] = [1, 2, -3, 4]
    entries[4]["area"] = 0
    entries[6]["image_id"] = 999
    pictures[4]["file_name"] = "../outside.png"
    pictures[5]["width"], pictures[5]["height"] = 120, 160
    (images / pictures[6]["file_name"]).unlink()
    damaged = images / pictures[7]["file_name"]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF  # a checksum of the PNG is wrong
    damaged.write_bytes(content)
    file.write_text(json.dumps(data))
    found = check(file, images)
    assert [fault.reason for fault in found.faults] == [
        "keypoint names",
        "file_name",
        "image file",
        "image file",
        "image pixels",
        "keypoints",
        "bbox",
        "area",
        "image_id",
    ]
    report = found.to_dict()
    assert report["total"] == 16 == report["used"] + sum(report["skipped"].values())
    of_images = report["images"]
    assert of_images["total"] == 8 == of_images["used"] + sum(of_images["skipped"].values())
    json.dumps(report, allow_nan=False)

    assert stopping_faults(found, "error", 0.001) == found.faults
    tolerated = stopping_faults(found, "skip", 0.5)
    assert [fault.reason for fault in tolerated] == ["keypoint names", "image pixels"]
    assert stopping_faults(found, "skip", 0.1) == found.faults


def test_what_is_odd_is_noted(tmp_path):
    data = tiny_coco.content(6, 2)
    file, images = tiny_coco.write(tmp_path, data)
    entries = data["annotations"]
    entries[0]["keypoints"][:3] = [-40, 10, 2]
    entries[1]["bbox"] = [0, 0, 8, 8]
    entries.append(dict(entries[2], id=500))
    entries.append(tiny_coco.person(501, 103, (5, 5, 30, 30), np.random.default_rng(0)))
    entries[-1]["bbox"] = [500, 5, 30, 30]
    data["categories"].append({"id": 2, "name": "dog"})
    entries.append({"id": 502, "image_id": 100, "category_id": 2})
    for entry in entries[:-1]:
        entry["keypoints"][-1] = 0  # right_ankle
    shutil.move(images / data["images"][4]["file_name"], tmp_path / "real.png")
    (images / data["images"][4]["file_name"]).symlink_to(tmp_path / "real.png")
    shutil.copy(images / data["images"][3]["file_name"], images / data["images"][5]["file_name"])
    file.write_text(json.dumps(data))
    found = check(file, images)
    assert found.faults == []
    told = "\n".join(map(str, found.notes))
    for words in (
        "1 labelled keypoints lie outside their image",
        "1 persons have most of their keypoints outside their bbox",
        "1 persons are duplicates: on the same image with identical box and keypoints (annotation id 3,",
        "annotation id 501 is left out: bbox [500, 5, 30, 30]",
        "category 'dog' (id 2): its 1 annotations are not used",
        "1 keypoints are never labelled (right_ankle)",
        "1 images are links that lead outside the image folder",
        "1 files are there twice or more",
    ):
        assert words in told, told


def jpeg(path, size=(240, 320), **options):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(cv2.GaussianBlur(noise, (9, 9), 3)).save(path, **options)
    return ImageFile(path, size)


def test_a_jpeg_that_decodes_to_a_wrong_picture_is_heard(tmp_path, capfd):
    file = jpeg(tmp_path / "a.jpg")
    assert look_at_image(file).complaint is None
    content = bytearray(file.path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 16] = b"\xff\xd0" * 8
    file.path.write_bytes(content)
    look = look_at_image(file)
    assert look.fault is None
    assert "JPEG" in look.complaint
    assert capfd.readouterr().err == ""  # and not said through the progress bar


def test_processes_see_the_same_in_order(tmp_path):
    files = [jpeg(tmp_path / f"{n}.jpg", (20 + n, 30)) for n in range(40)]
    files[7].path.write_bytes(b"")
    here, there = (list(look_at_images(files, workers)) for workers in (0, 2))
    assert here == there
    assert [bool(look.fault) for look in here] == [n == 7 for n in range(40)]


def test_exif_orientations_are_counted(tmp_path):
    data = tiny_coco.content(2, 1)
    for entry in data["images"]:
        entry["file_name"] = entry["file_name"].replace("png", "jpg")
    file, images = tiny_coco.write(tmp_path, data)
    exif = Image.Exif()
    exif[0x0112] = 3
    jpeg(images / data["images"][0]["file_name"], (120, 160), exif=exif)
    told = " ".join(map(str, check(file, images).notes))
    assert "1 images have an EXIF orientation; it is ignored" in told


def test_an_overlap_is_of_files_and_not_of_ids(tmp_path):
    train = check(*tiny_coco.write(tmp_path / "a", tiny_coco.content(4, 1)))
    file, images = tiny_coco.write(tmp_path / "b", tiny_coco.content(4, 1))
    for number, path in enumerate(sorted(images.iterdir())):  # the same ids and names
        cv2.imwrite(str(path), np.full((120, 160, 3), number, np.uint8))
    val = check(file, images)
    assert note_on_overlap(train.persons.images, train.looks, val.persons.images, val.looks) == []
    same = sorted((tmp_path / "a" / "val2017").iterdir())[1]
    shutil.copy(same, images / "000000000103.png")  # under another name
    val = check(file, images)
    notes = note_on_overlap(train.persons.images, train.looks, val.persons.images, val.looks)
    assert str(notes[0]).startswith("1 of 4 validation images are in the training set too")
    assert notes[0].examples == ("000000000103.png",)


@pytest.mark.parametrize("scored", [True, False])
def test_what_only_scoring_needs_is_a_note_for_training(tmp_path, scored):
    data = tiny_coco.content()
    del data["annotations"][0]["area"]
    file, images = tiny_coco.write(tmp_path, data)
    found = check_annotation_file(file, images, SKELETON, scored=scored)
    assert len(found.faults) == scored
    assert (
        "1 annotations could be trained on and not scored against" in str(found.notes)
    ) != scored
