"""The sheet of the worst persons: the right ones, their errors named and marked."""

import json

import cv2
import numpy as np
import pytest

from keypoint.data.coco import load_persons
from keypoint.drawing.strokes import LEFT
from keypoint.evaluation import pictures
from keypoint.evaluation.analysis.analyse import compare
from keypoint.evaluation.pictures import (
    CELL_SIZE,
    COLORS,
    MISS,
    SWAP,
    describe_errors,
    missed_rows,
    worst_persons,
    worst_rows,
)
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.evaluation.cases import result_of

SKELETON = load_skeleton("coco17")


def results_of(data, spoil):
    """The truth as results, the person in each place spoiled by `spoil[place]`."""
    results = []
    for place, entry in enumerate(data["annotations"]):
        triples = np.array(entry["keypoints"], float).reshape(-1, 3)
        triples[:, 2] = 0.9
        if place in spoil:
            spoil[place](triples)
        results.append(result_of(entry["image_id"], triples, 0.5))
    return results


def away(triples):
    triples[:9, :2] += 1000.0


def wildly(triples):
    triples[3, :2] = 1e12


@pytest.fixture
def compared(tmp_path):
    data = tiny_coco.content(3, 2)
    file, images = tiny_coco.write(tmp_path, data)
    for entry in data["images"]:  # without colours of their own
        cv2.imwrite(str(images / entry["file_name"]), np.full((120, 160, 3), 90, np.uint8))
    ids = [entry["id"] for entry in data["annotations"]]
    results = results_of(data, {4: away, 1: wildly})
    persons = load_persons(file, images, SKELETON)
    return compare(json.loads(file.read_text()), results, SKELETON, ids), persons.images, ids


def test_the_worst_come_first_with_their_errors(compared):
    case, _, ids = compared
    rows = worst_rows(case, 2)
    assert [case.truth.ids[case.own.truth[row]] for row in rows] == [ids[4], ids[1]]
    assert describe_errors(case, rows[0]) == f"OKS {8 / 17:.2f}: 9 miss of 17"
    assert describe_errors(case, rows[1]) == f"OKS {16 / 17:.2f}: 1 miss of 17"
    assert describe_errors(case, worst_rows(case, 6)[-1]) == "OKS 1.00: no error of 17"


def test_errors_are_marked_and_only_they(compared):
    case, images, _ = compared
    sheet = worst_persons(case, images, SKELETON, 2)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 4 * (CELL_SIZE[1] + 6) + 6
    below = sheet[26:].astype(int)
    for kind, drawn in ((MISS, True), (SWAP, False)):
        near = np.abs(below - COLORS[kind]).sum(axis=2) < 60
        left, right = near[:, : CELL_SIZE[1]], near[:, CELL_SIZE[1] + 12 : 2 * CELL_SIZE[1]]
        assert not left.any()
        assert right.any() == drawn
    assert worst_persons(case, images, SKELETON, 100).shape[0] > sheet.shape[0]


def test_a_person_at_the_edge_and_no_result(tmp_path):
    data = tiny_coco.content(1, 1)
    entry = data["annotations"][0]
    entry["bbox"] = [150.0, 110.0, 9.5, 9.5]
    entry["keypoints"] = [155.0, 115.0, 2] + [0, 0, 0] * 16
    entry["num_keypoints"] = 1
    file, images = tiny_coco.write(tmp_path, data)
    persons = load_persons(file, images, SKELETON)
    results = results_of(data, {})
    sheet = worst_persons(compare(data, results, SKELETON), persons.images, SKELETON, 1)
    assert sheet.shape[1] == 2 * (CELL_SIZE[1] + 6) + 6
    assert worst_persons(compare(data, [], SKELETON), persons.images, SKELETON, 1).shape[1] > 600


@pytest.fixture
def titles(monkeypatch):
    """The titles of the last sheet made from here on."""
    written = []
    sheet = pictures.picture_sheet

    def keep(cells, titles, **options):
        written[:] = titles
        return sheet(cells, titles, **options)

    monkeypatch.setattr(pictures, "picture_sheet", keep)
    return written


def test_who_has_no_result_comes_first(tmp_path, titles):
    data = tiny_coco.content(4, 2)
    for entry, area in zip(data["annotations"], range(1000, 9000, 1000), strict=True):
        entry["area"] = float(area)
    file, images = tiny_coco.write(tmp_path, data)
    results = results_of(data, {0: away})
    case = compare(data, results[:5], SKELETON)  # nothing for annotations 6, 7 and 8
    assert [case.truth.ids[row] for row in missed_rows(case)] == [8, 7, 6]
    images = load_persons(file, images, SKELETON).images
    cut = worst_persons(case, images, SKELETON, 4)
    assert titles[::2] == [
        "000000000103.png, annotation 8",
        "000000000103.png, annotation 7",
        "000000000100.png, annotation 1",
        "000000000100.png, annotation 2",
    ]
    assert titles[1::2][:2] == ["missed: no result"] * 2
    assert "9 miss of 17" in titles[5]
    assert (cut[26:46] < 128).any()  # says how many
    first = cut[46 : 46 + CELL_SIZE[0]]
    left, right = first[:, : CELL_SIZE[1]], first[:, CELL_SIZE[1] + 12 : 2 * CELL_SIZE[1]]
    orange = [(np.abs(part.astype(int) - LEFT).sum(axis=2) < 30).sum() for part in (left, right)]
    assert orange[0] > 50 > orange[1]
    worst_persons(case, images, SKELETON, 7)
    assert titles[1::2].count("missed: no result") == 3
    worst_persons(compare(data, [], SKELETON), images, SKELETON, 8)  # all of them
    assert titles[1::2] == ["missed: no result"] * 8
