"""Annotations and boxes with random faults: refused with a message, or every entry accounted for"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keypoint.data.annotations import read_annotations
from keypoint.data.audit.check import check_annotation_file
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import load_persons, select_persons
from keypoint.data.images.files import require_image_files
from keypoint.errors import DataError
from keypoint.evaluation.coco import evaluate_coco
from keypoint.pose.codec import Codec
from tests.fuzz.mutate import (
    DAMAGES,
    MUTATIONS,
    check_message,
    damage,
    examples,
    mutate,
    refused,
    to_json,
)
from tests.tiny_coco import SKELETON, content, person, write

DATA = content()
RNG = np.random.default_rng(1)
DATA["annotations"] += [
    person(91, 100, [5.0, 5.0, 60.0, 60.0], RNG, iscrowd=1),
    person(92, 101, [5.0, 5.0, 60.0, 60.0], RNG, keypoints=[0] * 51, num_keypoints=0),
    person(93, 102, [300.0, 5.0, 60.0, 60.0], RNG),
    {"id": 94, "image_id": 103, "category_id": 2, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 25},
]
DATA["categories"].append({"id": 2, "name": "dog"})
BOXES = [
    {"image_id": entry["image_id"], "category_id": entry["category_id"], "bbox": entry["bbox"], "score": 0.5}
    for entry in DATA["annotations"]
]  # fmt: skip
POLICIES = st.sampled_from([{}, {"on_bad": "skip", "max_bad": 1.0}])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("fuzz"), DATA)


def load(file, images, scored, **policy):
    """The annotations and persons of a file."""
    truth = read_annotations(file, images, SKELETON, scored=scored, **policy)
    return truth, select_persons(truth)


def balance(report, entries, images):
    """Total = used + skipped, and the total is the file's."""
    assert report.total == len(entries) == report.used + sum(report.skipped.values())
    counts = report.images
    assert counts.total == len(images) == counts.used + sum(counts.skipped.values())


def ids_that_count(data):
    """Of the persons that training uses, by SimpleBaseline's rules, one annotation at a time."""
    images = {int(image["id"]): image for image in data["images"]}
    found = []
    for entry in data["annotations"]:
        if (
            int(entry["category_id"]) != 1
            or int(entry.get("iscrowd") or 0)
            or not any((entry.get("keypoints") or [])[2::3])
        ):
            continue
        x, y, w, h = box_of(entry)
        image = images[int(entry["image_id"])]
        width, height = int(image["width"]), int(image["height"])
        x1, y1 = max(0, x), max(0, y)
        x2, y2 = min(width - 1, x1 + max(0, w - 1)), min(height - 1, y1 + max(0, h - 1))
        if w > 0 and h > 0 and x2 >= x1 and y2 >= y1 and (x2 > x1 or y2 > y1):
            found.append(int(entry["id"]))
    return found


def box_of(entry):
    """The box, or where none was drawn the labelled keypoints' extent and an eighth on each side."""
    if entry["bbox"] != [0, 0, 0, 0]:
        return entry["bbox"]
    labelled = [p for p in np.array(entry["keypoints"], object).reshape(-1, 3) if p[2] > 0]
    xs, ys = [float(p[0]) for p in labelled], [float(p[1]) for p in labelled]
    if min(max(xs) - min(xs), max(ys) - min(ys)) <= 0:
        return [0, 0, 0, 0]
    sides = []
    for values in (xs, ys):
        share = (max(values) - min(values)) / 8
        first, last = max(0, min(values) - share), max(values) + share
        sides.append((first, last - first))
    return [sides[0][0], sides[1][0], max(0, sides[0][1]), max(0, sides[1][1])]


@given(MUTATIONS, POLICIES, st.booleans())
@examples(350, 100_000)
def test_annotations(files, mutations, policy, scored):
    file, images = files
    data = mutate(DATA, mutations)
    file.write_bytes(to_json(data))
    loaded = refused(load, file, images, scored=scored, **policy)
    if loaded is None:
        return
    truth, persons = loaded
    balance(persons.report, data["annotations"], data["images"])
    assert np.isfinite(persons.bbox_xywh).all()
    assert np.isfinite(persons.keypoints_image).all()
    if not policy:
        assert persons.ids.tolist() == ids_that_count(data)
        for key, points in zip(persons.ids, persons.keypoints_image, strict=True):
            entry = next(entry for entry in data["annotations"] if int(entry["id"]) == key)
            for point, (x, y, flag) in zip(
                points, np.reshape(entry["keypoints"], (-1, 3)), strict=True
            ):
                if flag > 0 or (isinstance(x, float) and abs(x) <= 1e6 and abs(y) <= 1e6):
                    np.testing.assert_array_equal(point, np.array([x, y], np.float32))
    if scored:  # what was accepted can be scored against
        assert evaluate_coco(truth, [])["AP"] == 0


@given(MUTATIONS, MUTATIONS, st.integers(0, 3), POLICIES)
@examples(150, 20_000)
def test_boxes(files, mutations, of_annotations, which, policy):
    file, images = files
    data = mutate(DATA, of_annotations) if which == 0 else DATA
    boxes = mutate(BOXES, mutations)
    file.write_bytes(to_json(data))
    box_file = file.with_name("boxes.json")
    box_file.write_bytes(to_json(boxes))
    scored = which != 1  # as for testing, or as for prediction
    options = {**policy, "scored": True} if scored else {"images_only": True}
    truth = refused(read_annotations, file, images, skeleton=SKELETON, **options)
    if truth is None:
        return
    persons = refused(read_boxes, box_file, annotations=truth, **policy)
    if persons is not None:
        balance(persons.report, boxes, data["images"])
        assert np.isfinite(persons.bbox_xywh).all()
        assert np.isfinite(persons.bbox_scores).all()


@given(DAMAGES)
@examples(60, 5_000)
def test_damaged_bytes(files, damages):
    file, images = files
    raw = damage(to_json(DATA), damages)
    file.write_bytes(raw)
    persons = refused(load_persons, file, images, skeleton=SKELETON)
    if persons is not None:
        data = json.loads(raw)
        balance(persons.report, data["annotations"], data["images"])


@given(MUTATIONS, st.booleans())
@examples(40, 3_000)
def test_check_and_crops(files, mutations, scored):
    """Accepted persons are cropped or refused by name; check_data finds what loading refuses."""
    file, images = files
    data = mutate(DATA, mutations)
    file.write_bytes(to_json(data))
    check = check_annotation_file(file, images, SKELETON, scored=scored)
    if check.persons:
        balance(check.persons.report, data["annotations"], data["images"])
    json.dumps(check.to_dict(), allow_nan=False)
    said = [*check.faults, *check.warnings, *([check.persons.report] if check.persons else [])]
    check_message("\n".join(map(str, [file, *said])), file)
    loaded = refused(load, file, images, scored=scored)
    if loaded is None:
        assert check.faults
        return
    persons = loaded[1]
    crop = PersonCrop(codec=Codec((64, 64)), flip_indices=SKELETON.flip_indices)
    dataset = TrainDataset(persons, Augmentation(crop), seed=0)
    try:
        require_image_files(persons)
        batch = dataset.__getitems__([(0, index) for index in range(len(persons))])
    except DataError as error:
        check_message(str(error), images)
        assert check.faults
        return
    assert np.isfinite(batch.keypoints_crop.numpy()).all()
