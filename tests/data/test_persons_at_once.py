"""Annotations read as arrays are those read one by one."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keypoint.data.boxes import box_fault, surely_sound
from keypoint.data.entries import check, image_faults, persons
from keypoint.data.entries.person import Person, read_person
from tests.fuzz.mutate import MUTATIONS, examples, mutate
from tests.tiny_coco import content, person

RNG = np.random.default_rng(0)
UNLABELLED = {"keypoints": [0] * 51, "num_keypoints": 0}
CHANGES = [
    {}, {"iscrowd": 1}, {"iscrowd": True}, {"iscrowd": None}, {"iscrowd": 2}, {"iscrowd": 1.0}, UNLABELLED,
    UNLABELLED | {"bbox": []}, UNLABELLED | {"bbox": [0, 0, -1, 2]}, {"iscrowd": 1} | UNLABELLED, {"iscrowd": 1, "keypoints": []},
    {"keypoints": [False] * 51}, {"keypoints": [True, *[1.5, 2, 1] * 16, 3, 1]}, {"keypoints": [1] * 51},
    {"keypoints": [float("nan"), 1, 0] + [5, 5, 2] * 16, "num_keypoints": 16}, {"keypoints": [10**400, 1, 2] * 17},
    {"keypoints": [None, None, 0] + [5, 5, 2] * 16, "num_keypoints": 16}, {"keypoints": "1" * 51}, {"keypoints": [5, 5, 2] * 16},
    {"keypoints": [5, 5, 3] * 17}, {"keypoints": [5, 5, 1.5] * 17}, {"keypoints": [5, 5, -1] * 17},
    {"keypoints": ["1", "2", "2"] * 17}, {"keypoints": [1e6, 0, 2] * 17}, {"keypoints": [1e6 + 1, 0, 2] * 17},
    {"num_keypoints": None}, {"num_keypoints": 17.0}, {"num_keypoints": True}, {"num_keypoints": 3}, {"num_keypoints": -1},
    {"area": None}, {"area": 0}, {"area": -0.0}, {"area": -1}, {"area": True}, {"area": "9"}, {"area": 1e10}, {"area": 1e11},
    {"area": float("inf")}, {"area": 10**400}, {"bbox": [0, 0, 0, 0]}, {"bbox": [0, 0, 0, 5]}, {"bbox": [0, 0, 0, -0.0]},
    {"bbox": [1, 1e7, 3, 4]}, {"bbox": [1, 2, 1e7, 4]}, {"bbox": [1, 2, 3, 4, 5]}, {"keypoints": [5, 5, 2] * 18},
    {"bbox": [True] * 4}, {"bbox": [1, 2, 3]}, {"bbox": [1, 2, 3, float("nan")]}, {"bbox": None}, {"bbox": (1, 2, 3, 4)},
]  # fmt: skip
MISSING = ["iscrowd", "num_keypoints", "keypoints", "area", "bbox"]


def entries():
    changed = [person(n, 100, [5.0, 5.0, 60.0, 60.0], RNG) | c for n, c in enumerate(CHANGES)]
    missing = [person(n, 100, [5.0, 5.0, 60.0, 60.0], RNG) for n in range(len(MISSING))]
    for entry, key in zip(missing, MISSING, strict=True):
        del entry[key]
    crowd, unlabelled = missing[3] | {"iscrowd": 1}, missing[3] | UNLABELLED  # without area
    return [*changed, *missing, crowd, unlabelled]


def compare(given, places, scored):
    """The arrays and faults of both ways."""
    before = copy.deepcopy(given)
    found, wrong = persons.read_persons(given, places, 17, scored)
    one_by_one = {place: read_person(given[place], 17, scored) for place in places}
    assert repr(given) == repr(before)
    assert wrong == {n: fault for n, fault in one_by_one.items() if not isinstance(fault, Person)}
    expected = {n: one for n, one in one_by_one.items() if isinstance(one, Person)}
    assert [place for place, _ in found] == list(expected)
    for place, one in found:
        other = expected[place]
        assert (one.crowd, one.filled_in) == (other.crowd, other.filled_in), given[place]
        assert repr(one.area) == repr(other.area), given[place]
        np.testing.assert_array_equal(one.keypoints, other.keypoints, err_msg=str(given[place]))
        np.testing.assert_array_equal(one.bbox_xywh, other.bbox_xywh, err_msg=str(given[place]))


@pytest.mark.parametrize("at_once", [1, 7, 4096])
@pytest.mark.parametrize("scored", [False, True])
def test_arrays_are_what_is_read_one_by_one(scored, at_once, monkeypatch):
    monkeypatch.setattr(persons, "AT_ONCE", at_once)
    compare(entries(), range(len(entries())), scored)
    compare(entries(), range(1, len(entries()), 3), scored)
    compare([], [], scored)


@given(MUTATIONS, st.booleans())
@examples(150, 20_000)
def test_any_faults(mutations, scored):
    changed = mutate(content(2)["annotations"], mutations)
    if isinstance(changed, list):
        changed = [entry for entry in changed if isinstance(entry, dict)]
        compare(changed, range(len(changed)), scored)


def test_what_is_in_order_is_read_at_once(monkeypatch):
    """So that the tests above compare two ways."""

    def one_by_one(*arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(persons, "read_person", one_by_one)
    changes = [
        {},
        UNLABELLED | {"bbox": [0, 0, 0, 0]},
        {"iscrowd": 1, "num_keypoints": 3},
        UNLABELLED,
        {"area": 5},
        {"bbox": [1, 2, 0, 3]},
    ]
    given = [person(1, 100, [5.0, 5.0, 60.0, 60.0], RNG) | change for change in changes]
    given += [
        {k: v for k, v in given[0].items() if k != key} for key in ("iscrowd", "num_keypoints")
    ]
    for scored in (False, True):
        found, wrong = persons.read_persons(given, range(len(given)), 17, scored)
        assert (len(found.places), wrong) == (len(given), {})
    unread = [{"iscrowd": 1}, *(entry | {"bbox": None} for entry in given[2:4])]
    found, wrong = persons.read_persons(unread, [0, 1, 2], 17, False)
    assert (len(found.places), wrong) == (3, {})


@given(MUTATIONS, st.booleans())
@examples(200, 20_000)
def test_plain_images_have_no_fault(mutations, with_file):
    images = mutate(content(2)["images"], mutations)
    for entry in images if isinstance(images, list) else []:
        ids = check.Counter([100])
        if isinstance(entry, dict) and check._is_plain(entry, ids, with_file):
            assert not image_faults(entry, False, with_file)


@pytest.mark.parametrize(
    "name", ["/a", "a/../b", "..", "a\n", "http://a", "a" * 256, "", "a\0", "é" * 200, "\ud800", 5, None]
)  # fmt: skip
def test_names_that_need_a_look_are_not_plain(name):
    entry = content(1)["images"][0]
    assert check._is_plain(entry, check.Counter([100]), True)
    assert not check._is_plain(entry | {"file_name": name}, check.Counter([100]), True)
    assert not check._is_plain(entry, check.Counter([100, 100]), False)


@given(MUTATIONS)
@examples(150, 20_000)
def test_references_are_checked_as_one_by_one(mutations):
    given = mutate(content(3)["annotations"], mutations)
    compare_references([e for e in given if isinstance(e, dict)] if isinstance(given, list) else [])


@pytest.mark.parametrize("key", ["id", "image_id", "category_id"])
@pytest.mark.parametrize("value", [1, 2, 100, 103, 1.0, "1", True, None, 2**63])
def test_each_reference_is_checked(key, value):
    given = content(3)["annotations"]
    given[4][key] = value
    compare_references(given)


def compare_references(given):
    images, seen = {100, 101, 102}, set()
    found = [check.reference_fault(entry, images, {1}, seen) for entry in given]
    expected = {place: fault for place, fault in enumerate(found) if fault}
    assert check.reference_faults(given, images, {1}) == expected


BOX = {"image_id": 100, "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 0.5}


@given(MUTATIONS)
@examples(300, 20_000)
def test_boxes_in_order_have_no_fault(mutations):
    assert surely_sound([BOX] * 3, {100}) == [True] * 3
    boxes = mutate([BOX] * 3, mutations)
    for place, is_sound in enumerate(surely_sound(boxes, {100}) if isinstance(boxes, list) else []):
        assert not (is_sound and box_fault(boxes[place], {100})), boxes[place]


@pytest.mark.parametrize(
    "change",
    [{"image_id": 1}, {"image_id": 2**63}, {"category_id": 1.5}, {"category_id": None}, {"score": True}, {"score": 1e400},
     {"score": 10**400}, {"bbox": [True] * 4}, {"bbox": [1, 2, 3]}, {"bbox": [1e7, 2, 3, 4]}, {"bbox": [1, 2, 3, 1e400]}],
)  # fmt: skip
def test_faulty_boxes_are_looked_at(change):
    assert box_fault(BOX | change, {100})
    assert not surely_sound([BOX, BOX | change], {100})[1]
