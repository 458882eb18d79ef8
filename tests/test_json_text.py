"""JSON by msgspec: it reads as Python's reader does, or leaves the text to it."""

import gc
import json
from typing import Any, TypedDict

import pytest
from hypothesis import given

from keypoint.errors import DataError
from keypoint.files import _object_of_unique_keys, read_json
from keypoint.files.json_text import DoubtError, no_collection, parse
from tests.fuzz.mutate import DAMAGES, MUTATIONS, damage, examples, mutate
from tests.tiny_coco import content

Skipping = TypedDict("Skipping", {"id": Any}, total=False)  # noqa: UP013
FORM = TypedDict("FORM", {"images": list[Skipping]}, total=False)  # noqa: UP013

READ = [
    "1", "-0", "-0.0", "1e5", "1E-400", "9007199254740993", "9" * 19, "18446744073709551616", "-" + "9" * 30,
    "1" * 4000, "0.1234567890123456789012345", "1.7976931348623157e308", "2.5e-324", "null", "true", '"\\/"',
    '"\\u0000"', '"\\ud83d\\ude00"', '"é\u2028\x7f"', '"a: b"', "[]", "{}", '{"x": "a: b"}',
]  # fmt: skip
REFUSED = [
    "01", "1.", ".5", "+1", "-", "--1", "1E", "0x10", "tru", "True", "[1,]", "[1 2]", '{"x":1,}', '{"x" 1}', "{1:2}",
    "'x'", "//x\n1", "[1]]", "1 2", "\x0b1", "\xa01", '"\\q"', '"\\u00"', '"\x01"', '"\n"', '"\t"', '"x', "[[", "[",
    "1" * 5000, "[" * 2000, '{"a":' * 2000,
]  # fmt: skip
LEFT = [
    "NaN",
    "-Infinity",
    "1e400",
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"x\\u003a"',
    '[{"x": 1}]',
    '["a: b"]',
]
TWICE = [
    '{"images": [], "images": []}',
    '{"images": [{"id": 1, "id": 1}]}',
    '{"images": [{"more": 1, "more": 2}]}',
    '{"images": [{"more": {"x": 1, "x": 2}}]}',
    '{"images": [{"more": [{"x": 1, "x": 2}]}]}',
    '{"images": [{"more": [[{"x": 1, "x": 2}]]}]}',
    '{"info": {"x": 1, "x": 2}}',
    '{"info": {"x": "a:b:c", "x": 2}}',
    '{"info": {"a:b": 1, "a:b": 2}}',
    '{"info": {"\\u003a": 1, "\\u003A": 2}}',
    '{"info": {"x": 1, "\\u0078": 2}}',
    '{"info": {"x": 1, "x": 2, "y": "\\u003a"}}',
    '[{"id": 1, "id": 1}]',
]


def agrees(raw, form=Any):
    """Whether both read a text, and the same; False if it is left to Python's reader."""
    try:
        found = parse(raw, form)
    except DoubtError:
        return False
    expected = json.loads(raw, object_pairs_hook=_object_of_unique_keys)
    if form is FORM:
        expected = {
            "images": [{k: v for k, v in e.items() if k == "id"} for e in expected["images"]]
        }
    assert repr(found) == repr(expected)
    return True


def image(text, key="id"):
    return f'{{"images": [{{"id": 1, "{key}x": 2.5, "more": [1], "{key}": {text}}}]}}'.encode()


@pytest.mark.parametrize("text", READ)
def test_what_both_read_is_the_same(text):
    assert agrees(image(text, "other"))
    assert agrees(image(text, "other"), FORM)
    assert agrees(f'[{{"id": {text}}}]'.encode())
    assert agrees(f'{{"info": {{"id": {text}}}}}'.encode()) or text.startswith("{")


@pytest.mark.parametrize("text", [*REFUSED, *LEFT])
def test_what_python_refuses_or_reads_otherwise_is_left_to_it(text):
    assert not agrees(image(text, "other"))
    assert not agrees(f'{{"info": {{"other": {text}}}}}'.encode())


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_read_is_checked_too(text):
    if text.isdigit():
        pytest.skip("a number of thousands of digits that is not read does no harm")
    assert not agrees(image(text, "other"), FORM)
    assert not agrees(image(f"[0, [{text}]]", "other"), FORM)


@pytest.mark.parametrize("byte", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe9"])
@pytest.mark.parametrize("text", ['"é"', '["é"]'])
def test_bytes_that_are_not_utf8_are_found_everywhere(text, byte):
    for form in (Any, FORM):
        assert agrees(image(text, "other"), form)
        with pytest.raises(DoubtError):
            parse(image(text, "other").replace("é".encode(), byte), form)


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_comes_twice_is_found_everywhere(text, tmp_path):
    for form in (Any, FORM):
        with pytest.raises(DoubtError):
            parse(text.encode(), form)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="duplicate key"):
        read_json(tmp_path / "a.json", "boxes")


@given(MUTATIONS, DAMAGES)
@examples(150, 20_000)
def test_damaged_files(mutations, damages):
    """Never another content; undamaged, the way is the quick one."""
    assert agrees(json.dumps(content(2)).encode())
    agrees(json.dumps(mutate(content(2), mutations)).encode())
    agrees(damage(json.dumps(content(2)).encode(), damages))


def test_the_collector_is_paused_and_set_free_again(tmp_path):
    (tmp_path / "a.json").write_text("[NaN")
    with pytest.raises(DataError):
        read_json(tmp_path / "a.json", "boxes")
    assert gc.isenabled()
    with no_collection():
        assert not gc.isenabled()
        with no_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
