"""Equal faults are counted, and one is not many."""

import json

import pytest

from keypoint.data.notes import Note, in_number
from keypoint.data.report import (
    DataReport,
    Fault,
    fault_lines,
    group_faults,
    in_words,
    raise_faults,
    write_reports,
)
from keypoint.errors import DataError


def areas(count, values=("0",)):
    texts = [f"area {values[n % len(values)]} of a labelled person" for n in range(count)]
    return [Fault(f"annotation id {n + 1}", text, "area") for n, text in enumerate(texts)]


def test_equal_faults_are_one_line_with_their_number_and_examples():
    others = [Fault("image id 7", "width=0", "image size"), Fault("image id 7", "x", "file_name")]
    assert group_faults([*areas(24), *others]) == [
        (24, "24 times: area 0 of a labelled person (for example annotation id 1, 2, 3)"),
        (1, "image id 7: width=0"),
        (1, "image id 7: x"),
    ]
    assert group_faults(areas(2)) == [
        (2, "2 times: area 0 of a labelled person (annotation id 1, 2)")
    ]
    assert group_faults([Fault("", "x", "file")] * 2) == [(2, "2 times: x")]


def test_texts_that_differ_in_values_are_joined_and_the_others_named():
    expected = "like this: annotation id 1: area 0 of a labelled person; also annotation id 2"
    values = ("0", "-1.5e3", "nan")
    assert group_faults(areas(5, values)) == [(5, f"5 {expected}, 3 and 2 more")]
    assert group_faults(areas(2, values)) == [(2, f"2 {expected}")]
    names = [Fault(f"image id {n}", f"in/{n}.png: cut", "image file", n, f"{n}.png") for n in "ab"]
    assert len(group_faults(names)) == 1
    of_reasons = [
        Fault("annotation id 1", "is 0", "area"),
        Fault("annotation id 2", "is 0", "bbox"),
    ]
    assert len(group_faults(of_reasons)) == 2


def test_faults_that_stop_nothing_are_skipped():
    faults = [*areas(2), Fault("image id 7", "width=0", "image size"), Fault("b", "x", "bbox")]
    assert fault_lines(faults, faults[2:], 1) == [
        "  FAULT    image id 7: width=0",
        "  and 1 more fault of other kinds",
        "  skipped  2 times: area 0 of a labelled person (annotation id 1, 2)",
    ]
    assert fault_lines([], [], 1) == []


def test_an_error_says_how_many_are_like_the_first():
    def text(faults):
        with pytest.raises(DataError) as caught:
            raise_faults("a.json", faults)
        assert len(caught.value.faults) in (0, len(faults))
        return str(caught.value).splitlines()

    assert text(areas(1))[0] == "a.json: 1 fault; fix or remove this entry"
    first = "  annotation id 1: area 0 of a labelled person"
    assert text(areas(4))[1:] == [
        first,
        "  and 3 more like it, such as annotation id 2, 3; --debug lists all",
    ]
    more = [*areas(2), Fault("annotation id 9", "no bbox", "bbox")]
    assert text(more)[1:] == [
        first,
        "  and 2 more (1 like it, such as annotation id 2); --debug lists all",
    ]
    as_text = [f"result {n}: score {n} must be finite" for n in range(3)]
    assert text(as_text)[2] == "  and 2 more like it, such as result 1, 2; --debug lists all"
    different = ["result 0: no score", "result 1: no keypoints", "result 2: no id"]
    assert text(different)[2] == "  and 2 more; --debug lists all"


def test_one_is_singular():
    for text, one in {
        "faults": "1 fault",
        "boxes repeat another": "1 box repeats another",
        "images with persons have no box": "1 image with persons has no box",
        "labelled keypoints lie outside their image": "1 labelled keypoint lies outside their image",
        "cross results are odd": "1 cross result is odd",
        "classes have no video": "1 class has no video",
    }.items():
        assert (in_number(1, text), in_number(2, text)) == (one, f"2 {text}")
    assert in_words("persons", 1, 1, {}) == "1 person = 1 used + 0 skipped (none)"
    assert in_words("persons", 2, 1, {"crowd": 1}).startswith("2 persons = 1 used")
    one = str(Note(1, 4, "boxes fit as corners in pixels: which form do they have?", ("box 0",)))
    assert one.startswith(
        "1 of 4 (25.00%) boxes fits as corners in pixels: which form do they have?"
    )
    one = str(Note(1, 1, "boxes extend outside: what are they?", ("box 0",)))
    assert one.startswith("1 of 1 box extends outside: what are they?")
    of_many = "images have an EXIF orientation"
    counts = {
        (3, 6): "3 of 6 (50.00%) images have",
        (1, 6): "1 of 6 (16.67%) images has",
        (1, 1): "1 of 1 image has",
    }
    for (count, total), words in counts.items():
        text = str(Note(count, total, of_many, ("a.jpg",)))
        assert text == f"{words} an EXIF orientation (for example a.jpg)"
    assert Note(1, 3, of_many, ("a.jpg",)).to_dict()["share"] == 0.333333


def test_a_report_keeps_those_of_other_names(tmp_path):
    write_reports(tmp_path, train=DataReport("a.json", 0, 0, {}))
    write_reports(tmp_path, val=DataReport("b.json", 0, 0, {}))
    assert json.loads((tmp_path / "data_report.json").read_text()).keys() == {"train", "val"}
    (tmp_path / "data_report.json").write_text("[]")
    with pytest.raises(
        DataError, match=r"data_report\.json: contains a list, not a data report; rem"
    ):
        write_reports(tmp_path, val=DataReport("b.json", 0, 0, {}))
