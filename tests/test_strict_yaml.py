"""A guess or silent choice of PyYAML is text or an error here, and every error has its line."""

from __future__ import annotations

import math
import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keypoint.strict_yaml import check_plain, dump_yaml, parse_yaml, read_yaml

PLAIN_WORDS = {  # YAML 1.2's core rules without octal and hexadecimal; in comments PyYAML's
    "1e-3": 0.001,  # PyYAML: the text "1e-3"
    "1E3": 1000.0,
    "1.": 1.0,
    ".5": 0.5,
    "-2.5e+1": -25.0,
    "0": 0,
    "-17": -17,
    "+3": 3,
    "no": "no",  # False
    "on": "on",  # True
    "yes": "yes",  # True
    "y": "y",
    "010": "010",  # 8
    "0x10": "0x10",  # 16
    "1_000": "1_000",  # 1000
    "1:30": "1:30",  # 90
    "2026-11-20": "2026-11-20",  # a date
    "=": "=",  # cannot be constructed
    "true": True,
    "False": False,
    "tRUE": "tRUE",
    "none": None,  # the text
    "None": None,
    "null": None,
    "~": None,
    "nonexistent": "nonexistent",
    "'none'": "none",
    "'12'": "12",
    "nan": "nan",
    "1e": "1e",
    "1e999": math.inf,
    "-.inf": -math.inf,
    "9" * 5000: math.inf,  # ValueError: exceeds the limit for integer string conversion
}


@pytest.mark.parametrize("word", PLAIN_WORDS, ids=lambda word: word[:20])
def test_plain_words_are_read_by_yaml_1_2(word):
    document = parse_yaml(f"key: {word}\n")
    assert document.problems == []
    value, expected = document.content["key"], PLAIN_WORDS[word]
    assert value == expected
    assert type(value) is type(expected)


def test_dot_nan_is_a_number_for_the_schema_to_refuse():
    assert math.isnan(parse_yaml(".nan").content)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "flow sequence"),
        ("a:\n\tb: 1\n", 2, "a tab; indent with spaces"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "the tag"),
        ("a: !!str 1\n", 1, "the tag"),
        ("a: 1\nb: ! 1\n", 2, "the tag"),
        ("a: 1\nb: x\0y\n", 2, "U+0000"),
        ("a: 1\nb: " + "[" * 5000 + "]" * 5000, 2, "20 levels"),
        ('a: "\\UFFFFFFFF"\n', None, "not YAML"),  # an OverflowError inside PyYAML
        ("", None, "empty"),
        ("# only a comment\n", None, "empty"),
        ("a: 1\na: 2\n", 2, "twice, first in line 1"),
        ("a:\n  b: 1\n  c: 1\n  b: 1\n", 4, "twice, first in line 2"),
        ("a: 1\n2: 3\n", 2, "not a name"),
        ("a: 1\n~: 3\n", 2, "not a name"),
        ("? [a]\n: 1\n", 1, "not a name"),
        ('a: "x\\0y"\n', 1, "control character"),
        ("a: |\n  x\n  y\n", 1, "line break"),
    ],
)
def test_a_fault_of_the_text_is_one_problem_with_its_line(text, line, words):
    document = parse_yaml(text)
    assert len(document.problems) == 1, document.problems
    assert document.problems[0][1] == line
    assert words in document.problems[0][2]


def test_an_alias_bomb_ends_at_once():
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 99)
    )
    assert parse_yaml(bomb).content is None


def test_every_problem_of_a_text_is_reported_and_the_first_of_equal_keys_kept():
    document = parse_yaml("a: 1\na: 2\nb: 3\nb: 4\n5: 6\n")
    assert [line for _, line, _ in document.problems] == [2, 4, 5]
    assert document.content == {"a": 1, "b": 3}


def test_a_word_before_a_colon_is_a_name_and_values_are_kept_as_they_are_written():
    document = parse_yaml("none: 1e-3\ntrue: [256, ~]\n")
    assert document.content == {"none": 0.001, "true": [256, None]}
    assert document.texts == {("none",): "1e-3", ("true", 0): "256", ("true", 1): "~"}


def test_lines_are_those_of_the_keys():
    document = parse_yaml("# first\na: 1\nb:\n  c: [1,\n      2]\n")
    assert document.lines == {
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name: caf\xe9\n", "0xe9"),
        (b"PK\x03\x04" + b"\x00" * 30, "U+0003"),
        ("seed: 1\n".encode("utf-16"), "0xff"),
        (b"# " + b"x" * 70_000, "larger than"),
    ],
    ids=["latin-1", "zip", "utf-16", "large"],
)
def test_a_file_that_is_no_text(tmp_path, data, words):
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    document = read_yaml(path)
    assert document.content is None
    assert words in document.problems[0][2]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read_yaml(path).content == {"seed": 1}


def test_a_file_that_cannot_be_read(tmp_path):
    assert read_yaml(tmp_path / "absent.yaml").problems == [((), None, "no such file")]
    assert "directory" in read_yaml(tmp_path).problems[0][2]
    assert "null byte" in read_yaml(tmp_path / "a\0b").problems[0][2]
    if os.getuid() != 0:  # root reads everything
        locked = tmp_path / "locked.yaml"
        locked.write_text("seed: 1\n")
        locked.chmod(0)
        assert "Permission" in read_yaml(locked).problems[0][2]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=12)
    | st.sampled_from([word for word in PLAIN_WORDS if len(word) < 20]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcdefg_", min_size=2, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_what_is_dumped_is_read_back_by_us_and_by_yaml_1_1(value):
    text = dump_yaml({"key": value})
    assert yaml.safe_load(text) == {"key": value}
    document = parse_yaml(text)
    assert document.problems == []
    assert document.content == {"key": value}
    assert repr(document.content) == repr({"key": value})  # 1 == 1.0 == True, but not here


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("ab:-[]{}&*!|>'\"#%@\\\t\n .0119eE,?U~")), max_size=40))
def test_any_text_is_content_or_a_problem(text):
    document = parse_yaml(text)
    assert document.problems or repr(document.content)


def test_a_list_is_dumped_on_one_line():
    assert dump_yaml({"size": [256, 192], "x": {"y": None}}) == "size: [256, 192]\nx:\n  y: null\n"


def test_check_plain_ends_where_a_value_holds_itself():
    loop: list[object] = []
    loop += [loop, loop]
    for bad, words in [
        (loop, "at most"),
        ([0] * 2000, "at most"),
        ({1: 2}, "name"),
        ([{"a": math.nan}], "finite"),
        ([-math.inf], "finite"),
        ({"a": 1j}, "complex"),
        ([{1, 2}], "set"),
    ]:
        with pytest.raises(ValueError, match=words):
            check_plain(bad)
    check_plain({"a": [1, 2.5, "x", None, True, (1, 2)]})
