"""Numbers that are well formed and mean something else: found, and no right set is refused.

SETS is the number of random right sets, and of those in each other form a tenth of it.
"""

import json
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from keypoint.data.annotations import read_annotations
from keypoint.data.audit.check import check_annotation_file, check_box_file
from keypoint.data.boxes import load_boxes, read_boxes
from keypoint.data.coco import load_persons
from keypoint.data.persons import Persons
from keypoint.data.plausible.annotated import corner_slope, form_doubts
from keypoint.data.plausible.detected import box_doubts
from keypoint.data.plausible.file import annotation_doubts
from keypoint.data.plausible.labels import area_doubts, label_doubts
from keypoint.data.report import DataReport
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.data.made_up_sets import FORMS, MadeUp, annotations, iou, other_form, right_set

SETS = int(os.environ.get("SETS", "200"))
SKELETON = load_skeleton("coco17")
NAMES = {
    "corners": "as x1, y1, x2, y2",
    "centre": "as centre x, centre y, width, height",
    "rows first": "as y, x, height, width",
    "normalised": "normalised",
    "percent": "normalised coordinates (0 to 100)",
    "half": "at scale 0.5",
    "double": "at scale 2",
}


def detections(made, boxes):
    """A detector's boxes on the images of a set."""
    number = len(boxes)
    return Persons(
        images=annotations(made).images,
        ids=np.arange(number),
        image_index=np.arange(number) % len(made.boxes),
        bbox_xywh=boxes,
        bbox_scores=np.ones(number),
        keypoints_image=np.zeros((number, 1, 2), np.float32),
        visibility=np.zeros((number, 1), np.uint8),
        category_id=1,
        report=DataReport("boxes.json", number, number, {}),
    )


def detected(rng, made):
    """What a detector finds of the persons: most of them, about there, within the image."""
    boxes = made.boxes + rng.normal(0, 0.05, made.boxes.shape) * np.tile(made.boxes[:, 2:], 2)
    last = np.minimum(boxes[:, :2] + boxes[:, 2:], made.sides)
    first = np.clip(boxes[:, :2], 0, made.sides - 1)
    return np.concatenate([first, np.maximum(last - first, 1)], axis=1)


@pytest.mark.parametrize("doubt", ["annotated", "detected", "detected, no persons"])
def test_right_sets_are_not_refused_and_seldom_noted(doubt):
    rng = np.random.default_rng(0)
    noted = Counter()
    for _ in range(SETS):
        made = right_set(rng)
        found = judge(doubt, rng, made, None)
        assert found is None or not found.proved, (made, str(found))
        noted[len(made.boxes) >= 5] += found is not None
    # Of sets of one to four persons, with boxes far beyond their images, more.
    assert noted[True] <= 2 + 0.003 * SETS
    assert noted.total() <= 5 + 0.015 * SETS


def form_doubt(given):
    return next(iter(form_doubts(given)), None)


def judge(doubt, rng, made, form):
    """The doubt about a set whose boxes, or whose detector's boxes, are in another form."""
    if doubt == "annotated":
        boxes = made.boxes if form is None else other_form(form, made.boxes, made.sides)
        return form_doubt(annotations(made, boxes))
    boxes = detected(rng, made)
    boxes = boxes if form is None else other_form(form, boxes, made.sides)
    truth = annotations(made)
    if doubt != "detected":
        truth = replace(truth, keypoints=truth.keypoints * 0)
    return next(iter(box_doubts(detections(made, boxes), truth)), None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("doubt", ["annotated", "detected"])
def test_other_forms_are_found_and_named(doubt, form):
    """Those that change the boxes: at the image's origin corners are sides."""
    rng = np.random.default_rng(1)
    found, named, asked = 0, 0, 0
    while asked < max(20, SETS // 10):
        made = right_set(rng, least=5)
        if made.kind in ("one place", "one layout") and form == "corners":
            continue  # nothing tells them apart if all boxes are at one place
        if np.median(iou(other_form(form, made.boxes, made.sides), made.boxes)) > 0.5:
            continue
        asked += 1
        text = str(judge(doubt, rng, made, form) or "")
        found += bool(text)
        named += NAMES.get(form, "") in text and bool(text)
    assert found >= 0.95 * asked - 1
    if form in NAMES:
        assert named >= 0.85 * asked - 1


def spread_out(num_images, persons_per_image):
    """Persons all over images of 320 x 240."""
    data = tiny_coco.content(num_images, persons_per_image, size=(240, 320))
    rng = np.random.default_rng(0)
    for entry in data["annotations"]:
        offset = rng.uniform(0, [160, 110]).round(1)
        entry["bbox"][:2] = (entry["bbox"][:2] + offset).tolist()
        points = np.reshape(entry["keypoints"], (17, 3)) + [*offset, 0]
        entry["keypoints"] = points.ravel().tolist()
    return data


def swapped(data):
    for entry in data["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["bbox"] = [x, y, x + w, y + h]
    return data


def test_boxes_as_corners_that_leave_their_image_are_refused(tmp_path):
    data = spread_out(6, 2)
    file, images = tiny_coco.write(tmp_path, data)
    assert load_persons(file, images, SKELETON).report.notes == ()
    file.write_text(json.dumps(swapped(data)))
    words = "boxes fit their keypoints better as x1, y1, x2, y2 than as x, y, width, height, which"
    with pytest.raises(
        DataError, match=rf"val2017.json: \d of 12 \(.*%\) {words} extend outside their image"
    ):
        load_persons(file, images, SKELETON)
    check = check_annotation_file(file, images, SKELETON, scored=True)
    assert [fault.reason for fault in check.faults] == ["form"]
    assert words in str(check.faults[0])


def test_boxes_as_corners_that_stay_in_their_image_are_noted(tmp_path, caplog):
    data = tiny_coco.content(6, 2)  # persons at the upper left
    file, images = tiny_coco.write(tmp_path, swapped(data))
    persons = load_persons(file, images, SKELETON)
    assert len(persons) == 12
    (note,) = persons.report.notes
    assert "boxes fit their keypoints better as x1, y1, x2, y2" in note
    assert note.endswith("in pixels: which form do they have? (for example annotation id 1, 2, 3)")
    assert note in caplog.text
    assert persons.report.to_dict()["notes"] == [note]
    check = check_annotation_file(file, images, SKELETON, scored=True)
    assert check.faults == []
    assert any("as x1, y1, x2, y2" in str(warning) for warning in check.warnings)


def test_real_annotations_have_no_doubt(coco_sample):
    for name in ("person_keypoints_sample", "person_keypoints_val2017_part"):
        file = coco_sample / "annotations" / f"{name}.json"
        real = read_annotations(file, coco_sample, SKELETON, scored=True)
        assert annotation_doubts(real) == []
        boxes = real.bbox_xywh[real.counted]
        last = (real.keypoints * (real.keypoints[..., 2:] > 0))[real.counted, :, :2].max(axis=1)
        assert abs(corner_slope(boxes, last)[0]) < 0.01
        corners = real.bbox_xywh.copy()
        corners[:, 2:] += corners[:, :2]
        found = form_doubt(replace(real, bbox_xywh=corners))
        assert found.proved
        assert "as x1, y1, x2, y2" in found.text


def scaled(made, of_boxes, of_points):
    """A set with boxes and points as shares of the image times a number; None: in pixels."""
    boxes, points = made.boxes, made.points
    if of_boxes:
        boxes = boxes / np.tile(made.sides, 2) * of_boxes
    if of_points:
        points = points / made.sides[:, None] * of_points
    return form_doubt(annotations(made, boxes, points))


def test_shares_of_the_image_are_refused_and_percent_is_noted():
    rng = np.random.default_rng(2)
    count, asked = Counter(), 0
    while asked < 60:
        made = right_set(rng, least=5)
        inside = (made.boxes[:, :2] + made.boxes[:, 2:] <= made.sides).all()
        if not inside or made.boxes.min() < 0 or made.points.shape[1] < 3:
            continue
        asked += 1
        both, boxes, points = scaled(made, 1, 1), scaled(made, 1, None), scaled(made, None, 1)
        assert both.proved
        assert "keypoints and bbox within [0, 1]" in both.text
        assert boxes.proved
        assert "a bbox within [0, 1]" in boxes.text
        count["points"] += points is not None and points.proved
        count["percent"] += (percent := scaled(made, None, 100)) is not None and not percent.proved
    assert count["points"] >= 58
    if made.sides.min() > 300:
        assert count["percent"] >= 50


def test_keypoints_that_are_in_the_first_pixel_are_no_shares():
    made = right_set(np.random.default_rng(3), least=5)
    corner = np.zeros_like(made.points)
    missing = form_doubt(annotations(made, points=corner))  # said as missing ones
    assert missing is None or not missing.proved
    boxes = np.tile([0.0, 0, 40, 30], (len(made.boxes), 1))
    found = form_doubt(annotations(made, boxes, corner + [0.5, 0.25]))
    assert found is None or not found.proved


def test_keypoints_in_percent_are_named_even_if_a_box_fits_another_form_by_chance():
    boxes = np.array([[100, 50, 60, 40], [200, 150, 80, 60], [30, 20, 50, 40], [20, 10, 40, 30.0]])
    sides = np.tile([320.0, 240], (4, 1))
    inside = np.array([[0.2, 0.3], [0.6, 0.5], [0.7, 0.8]])
    points = (boxes[:, None, :2] + inside * boxes[:, None, 2:]) / sides[:, None] * 100
    made = type(right_set(np.random.default_rng(0)))(
        "own", boxes, sides, points, np.ones((4, 3), bool)
    )
    assert "keypoints that fit their bbox as normalised coordinates (0 to 100)" in str(
        form_doubt(annotations(made))
    )


def with_labels(points):
    """One person of K keypoints an image."""
    points = np.array(points, float)
    number = len(points)
    boxes, sides = np.tile([0.0, 0, 200, 200], (number, 1)), np.full((number, 2), 200.0)
    return annotations(MadeUp("own", boxes, sides, points, np.ones(points.shape[:2], bool)))


def test_missing_keypoints_as_visible_ones_are_noted():
    points = np.random.default_rng(0).uniform(1, 199, (12, 4, 2))
    assert label_doubts(with_labels(points)) == []
    for place, words in (
        ((0, 0), "exactly (0, 0): are they missing ones? give"),
        ((-1, -1), "exactly (-1, -1)"),
        ((7, 5), "the same pixel in many images"),
    ):
        changed = points.copy()
        changed[::2, 3] = place
        (doubt,) = label_doubts(with_labels(changed))
        assert str(doubt).startswith(f"6 of 48 (12.50%) labelled keypoints are at {words}")
        assert str(doubt).endswith("(for example annotation id 0, 2, 4)")
        assert not doubt.proved
    many = np.random.default_rng(0).uniform(1, 199, (2000, 2, 2)).round()
    many[[3, 1500], 0] = 0  # truly in the corner, once in a thousand
    assert label_doubts(with_labels(many)) == []
    many[:30, 0] = 0
    assert len(label_doubts(with_labels(many))) == 1


def test_areas_that_are_not_those_of_the_box_are_noted():
    right = with_labels(np.random.default_rng(0).uniform(1, 199, (5, 4, 2)))
    for area, words in (
        (200.0 * 200, None),
        (12000.0, None),
        (100 * 40000.0, "areas are larger than their bbox"),
        (300.0, "areas are under a hundredth of their bbox"),
        (0.3, "areas are at most 1, as shares of the image are"),
    ):
        found = area_doubts(replace(right, area=np.full(5, area)))
        assert [doubt.text.startswith(words) for doubt in found] == [True] * bool(words)
    scored = replace(right, area=np.full(5, 1e8), scored=True)
    assert "5 of 5 areas are larger" in str(annotation_doubts(scored)[0])
    assert annotation_doubts(replace(scored, scored=False)) == []


def box_entries(data, change=lambda x, y, w, h: [x, y, w, h]):
    """The boxes of all persons as a detector's, in another form."""
    return [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.9, "bbox": change(*a["bbox"])}
        for a in data["annotations"]
    ]


def test_a_detectors_boxes_are_compared_with_the_persons(tmp_path, caplog):
    data = spread_out(12, 1)
    file, images = tiny_coco.write(tmp_path, data)
    annotated = read_annotations(file, images, SKELETON, scored=True)
    boxes = tmp_path / "boxes.json"

    def read(change):
        boxes.write_text(json.dumps(box_entries(data, change)))
        return read_boxes(boxes, annotated).report.notes

    assert read(lambda x, y, w, h: [x, y, w, h]) == ()
    with pytest.raises(
        DataError, match=r"boxes.json: \d+ of 12 .* boxes .* better as x1, y1, x2, y2"
    ):
        read(lambda x, y, w, h: [x, y, x + w, y + h])
    with pytest.raises(DataError, match=r"12 of 12 boxes are within \[0, 1\], as normalised"):
        read(lambda x, y, w, h: [x / 320, y / 240, w / 320, h / 240])
    for name, change in (
        ("centre x, centre y, width, height", lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
        ("pixels of the image at scale 0.5", lambda x, y, w, h: [x / 2, y / 2, w / 2, h / 2]),
        ("pixels of the image at scale 2", lambda x, y, w, h: [2 * x, 2 * y, 2 * w, 2 * h]),
        (
            "normalised coordinates (0 to 1000)",
            lambda x, y, w, h: np.divide([x, y, w, h], [0.32, 0.24] * 2).tolist(),
        ),
        (
            "normalised coordinates (0 to 1000)",  # of language models, rows first
            lambda x, y, w, h: np.divide([y, x, y + h, x + w], [0.24, 0.32] * 2).tolist(),
        ),
    ):
        (note,) = read(change)
        assert f"boxes fit the annotated persons better as {name} than as x, y, width" in note
        assert note in caplog.text
    for change in (
        lambda x, y, w, h: [x + w / 4, y + h / 4, w / 2, h / 2],  # half the sides
        lambda x, y, w, h: [320 - x - w, y, w, h],  # of the mirrored image
    ):
        (note,) = read(change)
        assert (
            "of 12 persons have such a box: are the boxes for these images, and in pixels?" in note
        )
    check = check_annotation_file(file, images, SKELETON, scored=True)
    boxes.write_text(json.dumps(box_entries(swapped(data))))
    assert [fault.reason for fault in check_box_file(boxes, check).faults] == ["form"]


def test_prediction_on_given_boxes_checks_them_too(tmp_path):
    data = spread_out(12, 1)
    file, images = tiny_coco.write(tmp_path, data)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(box_entries(data, lambda x, y, w, h: [x / 320, y / 240, 0.2, 0.3])))
    with pytest.raises(DataError, match="as normalised coordinates are; give pixels"):
        load_boxes(boxes, file, images, SKELETON)
    far = lambda x, y, w, h: [200 + x / 3, 140 + y / 4, 305 + x / 30, 225]  # noqa: E731
    boxes.write_text(json.dumps(box_entries(data, far)))
    no_persons = {key: data[key] for key in ("images", "categories")}
    file.write_text(json.dumps(no_persons))
    with pytest.raises(
        DataError, match="extend far outside their image, and fit as x1, y1, x2, y2"
    ):
        load_boxes(boxes, file, images, SKELETON)
    file.write_text(json.dumps(data))
    boxes.write_text(json.dumps(box_entries(data)))
    assert load_boxes(boxes, file, images, SKELETON).report.notes == ()
    boxes.write_text(json.dumps(box_entries(swapped(data))))
    with pytest.raises(DataError, match="boxes fit the annotated persons better as x1, y1, x2, y2"):
        load_boxes(boxes, file, images, SKELETON)
