"""Everything that is wrong in a data set, found in one run."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.audit.check import check_annotation_file
from keypoint.data.audit.findings import overlap_findings, person_findings
from keypoint.data.audit.images import look_at_image, look_at_images
from keypoint.data.coco import load_persons
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")


def check(file, images, **options):
    return check_annotation_file(file, images, SKELETON, scored=True, **options)


def content(*sizes):
    """Noise, but with the left eye on the right of the right eye."""
    data = tiny_coco.content(*sizes)
    for entry in data["annotations"]:
        points = entry["keypoints"]
        points[3], points[6] = max(points[3], points[6]), min(points[3], points[6])
    return data


def test_a_clean_set_has_no_fault_and_no_warning(tmp_path):
    found = check(*tiny_coco.write(tmp_path, content()))
    assert found.faults == []
    assert found.warnings == []
    assert len(found.persons) == 8
    assert found.labels["nose"] == {"visible": 8, "occluded": 0}


def test_real_persons_have_no_swapped_eyes_and_no_tiny_boxes(coco_sample):
    file = coco_sample / "annotations" / "person_keypoints_val2017_part.json"
    persons = load_persons(file, coco_sample, SKELETON)  # no image is read
    texts = " ".join(map(str, person_findings(persons, SKELETON)))
    assert "eye" not in texts
    assert "under 16" not in texts
    assert "none has 2" not in texts
    flipped = replace(persons, keypoints_image=persons.keypoints_image * [-1, 1] + [640, 0])
    assert "671 of 671 upright persons have their left eye to the left" in " ".join(
        map(str, person_findings(flipped, SKELETON))
    )


def test_faults_of_every_kind_are_found_together(tmp_path):
    data = tiny_coco.content(8, 2)
    names = data["categories"][0]["keypoints"]
    names[1], names[2] = names[2], names[1]
    file, images = tiny_coco.write(tmp_path, data)
    entries, pictures = data["annotations"], data["images"]
    entries[0]["keypoints"] = [1] * 48
    entries[2]["bbox"] = [1, 2, -3, 4]
    entries[4]["area"] = -1
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

    assert found.stopping_faults("error", 0.001) == found.faults
    tolerated = found.stopping_faults("skip", 0.5)
    assert [fault.reason for fault in tolerated] == ["keypoint names", "image pixels"]
    assert found.stopping_faults("skip", 0.1) == found.faults


def test_everything_that_is_probably_wrong_is_counted_with_its_share_and_an_example(tmp_path):
    data = content(6, 2)
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
        entry["keypoints"][2::3] = [1] * 16 + [0]  # right_ankle
        entry["num_keypoints"] = 16
    shutil.copy(images / data["images"][3]["file_name"], images / data["images"][5]["file_name"])
    file.write_text(json.dumps(data))
    found = check(file, images)
    assert found.faults == []
    assert [str(finding) for finding in found.warnings] == [
        "2 of 6 (33.33%) images are duplicate images: the same file exists twice or more "
        "(for example 000000000103.png, 000000000105.png)",
        "1 of 14 (7.14%) areas is larger than their bbox; OKS is too lenient: are they in square "
        "pixels of this image? (for example annotation id 2)",
        "1 of 13 (7.69%) persons has most of their keypoints outside their bbox padded by 1.25: is "
        "the box another person's? (for example annotation id 2)",
        "1 of 208 (0.48%) labelled keypoints is outside their person's bbox padded by 1.25; a crop "
        "may not contain them (for example annotation id 1)",
        "1 of 208 (0.48%) labelled keypoints is outside their image and not used "
        "(for example annotation id 1)",
        "1 of 13 (7.69%) persons repeats another one: on the same image with identical box and keypoints "
        "(for example annotation id 500)",
        "1 of 13 (7.69%) persons has a bbox under 16 x 16 pixels (for example annotation id 2)",
        "208 of 208 labelled keypoints have visibility 1 (occluded) and none has 2 "
        "(visible): are the flags 0 and 1 only? (for example annotation id 1, 2, 3)",
        "1 of 17 (5.88%) keypoints is never labelled (for example right_ankle)",
    ]
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["warnings"][0]["examples"] == ["000000000103.png", "000000000105.png"]
    assert report["warnings"][0]["share"] == 0.333333
    assert [entry["id"] for entry in report["skipped_entries"]] == [501]
    assert report["skipped"]["of another category"] == 1
    assert report["labels"]["nose"] == {"visible": 0, "occluded": 13}


def test_a_rare_keypoint_is_named(tmp_path):
    """On 1 of 21 persons, and not on 2 of them, is under 5% of what the others have."""
    data = content(7, 3)
    for entry in data["annotations"]:
        entry["keypoints"][2::3] = [2] * 17
    for place, entry in enumerate(data["annotations"]):
        entry["keypoints"][5] = 2 * (place < 1)  # left_eye
        entry["keypoints"][8] = 2 * (place < 2)  # right_eye
        entry["num_keypoints"] = sum(flag > 0 for flag in entry["keypoints"][2::3])
    found = check(*tiny_coco.write(tmp_path, data))
    assert [str(finding) for finding in found.warnings if "under 5%" in finding.text] == [
        "1 of 17 (5.88%) keypoints is labelled on under 5% as many persons as the most frequent "
        "one: is a name misspelt or a label forgotten? (for example left_eye)",
    ]


def jpeg(path, size=(240, 320), **options):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(cv2.GaussianBlur(noise, (9, 9), 3)).save(path, **options)
    return path, size


def test_a_jpeg_that_decodes_to_a_wrong_picture_is_heard(tmp_path, capfd):
    file = jpeg(tmp_path / "a.jpg")
    assert look_at_image(file).complaint is None
    damaged = bytearray(file[0].read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 16] = b"\xff\xd0" * 8
    file[0].write_bytes(damaged)
    look = look_at_image(file)
    assert look.fault is None
    assert "JPEG" in look.complaint
    assert capfd.readouterr().err == ""  # and not said through the progress bar


def test_processes_see_the_same_in_order(tmp_path):
    files = [jpeg(tmp_path / f"{n}.jpg", (20 + n, 30)) for n in range(40)]
    files[7][0].write_bytes(b"")
    here, there = (list(look_at_images(files, workers)) for workers in (0, 2))
    assert here == there
    assert [bool(look.fault) for look in here] == [n == 7 for n in range(40)]


def test_exif_orientations_are_counted(tmp_path):
    data = tiny_coco.content(4, 1)
    for entry, suffix in zip(data["images"], ("jpg", "png", "webp", "jpg"), strict=True):
        entry["file_name"] = entry["file_name"].replace("png", suffix)
    file, images = tiny_coco.write(tmp_path, data)
    exif = Image.Exif()
    exif[0x0112] = 3
    for entry in data["images"][:3]:
        jpeg(images / entry["file_name"], (120, 160), exif=exif)
    found = check(file, images)
    assert found.faults == []
    texts = " ".join(map(str, found.warnings))
    assert "3 of 4 (75.00%) images have an EXIF orientation; it is ignored" in texts


def test_16_bit_images_of_12_bit_data_are_counted(tmp_path):
    """OpenCV divides by 256 whatever the values are: 4095 becomes 15."""
    data = tiny_coco.content(4, 1)
    file, images = tiny_coco.write(tmp_path, data)
    ramp = np.linspace(0, 1, 120 * 160).reshape(120, 160)
    names = [entry["file_name"] for entry in data["images"]]
    for name, most in zip(names, (1023, 4095, 16383, 65535), strict=True):
        cv2.imwrite(str(images / name), (ramp * most).astype(np.uint16))
    found = check(file, images)
    assert found.faults == []
    finding = next(f for f in found.warnings if "16 bits" in f.text)
    assert (finding.count, finding.examples) == (3, tuple(names[:3]))
    assert "nearly black: rescale to the full range" in str(finding)
    dark = np.full((120, 160), 10, np.uint8)  # 8 bits may be dark
    for name in names:
        cv2.imwrite(str(images / name), dark)
    assert "16 bits" not in " ".join(map(str, check(file, images).warnings))


def test_an_overlap_is_of_files_and_not_of_ids(tmp_path):
    train = check(*tiny_coco.write(tmp_path / "a", tiny_coco.content(4, 1)))
    file, images = tiny_coco.write(tmp_path / "b", tiny_coco.content(4, 1))
    for number, path in enumerate(sorted(images.iterdir())):  # the same ids and names
        cv2.imwrite(str(path), np.full((120, 160, 3), number, np.uint8))
    val = check(file, images)
    assert overlap_findings(train.looks, val.looks, val.persons.images) == []
    same = sorted((tmp_path / "a" / "val2017").iterdir())[1]
    shutil.copy(same, images / "000000000103.png")  # under another name
    val = check(file, images)
    found = overlap_findings(train.looks, val.looks, val.persons.images)
    assert str(found[0]).startswith("1 of 4 (25.00%) validation images is in the training set too")
    assert found[0].examples == ("000000000103.png",)


@pytest.mark.parametrize("scored", [True, False])
def test_what_only_scoring_needs_is_a_warning_for_training(tmp_path, scored):
    data = tiny_coco.content()
    data["annotations"][0].update(iscrowd=1, bbox=None)
    file, images = tiny_coco.write(tmp_path, data)
    found = check_annotation_file(file, images, SKELETON, scored=scored)
    assert len(found.faults) == scored
    text = "1 of 8 (12.50%) annotations can be used for training but not for scoring"
    assert (text in " ".join(map(str, found.warnings))) != scored
