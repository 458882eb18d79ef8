"""Damaged label files: an error of its kind or a conversion, and never an unexpected exception."""

import json
import random
import shutil

import pytest

from tests.calling import tool
from tests.data.convert.test_fixtures import FIXTURES

ODD = [None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "x", "\0", "../..", [], {}, [[]], [None], [1, 2], {"a": 1}]  # fmt: skip
FILES = {
    "labelme": "pic0.json",
    "coco_annotator": "mice.json",
    "label_studio": "project-1.json",
    "coco_datumaro": "annotations/person_keypoints_Train.json",
    "cvat_skeletons": "annotations.xml",
    "cvat_video": "annotations.xml",
    "deeplabcut": "labeled-data/day1/CollectedData_anna.csv",
    "deeplabcut_multi": "config.yaml",
    "ultralytics_sleap": "data.yaml",
}


def places(value, path=()):
    """The paths of all values in a JSON content."""
    yield path
    entries = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in entries:
        yield from places(child, (*path, key))


def damaged(text, chance, is_json):
    """A value replaced, or for other text letters cut out, doubled or replaced."""
    if is_json:
        content = json.loads(text)
        *path, last = chance.choice([path for path in places(content) if path])
        inner = content
        for key in path:
            inner = inner[key]
        inner[last] = chance.choice(ODD)
        return json.dumps(content)
    first, length = chance.randrange(len(text)), chance.choice([1, 3, 30])
    word = chance.choice(
        ["", "x", "-1", "nan", ",", ";", '"', "\n", "0", text[first : first + 2 * length], "[", "}"]
    )
    return text[:first] + word + text[first + length :]


@pytest.mark.parametrize("folder", FILES)
def test_damaged_files(folder, tmp_path, capsys):
    shutil.copytree(FIXTURES / folder, tmp_path / "in")
    file = tmp_path / "in" / FILES[folder]
    text = file.read_text()
    for seed in range(20):
        changed = damaged(text, random.Random(seed), file.suffix == ".json")
        file.write_text(changed)
        status = tool(
            "convert", tmp_path / "in", "--to", "coco", "--output", tmp_path / "out", "--overwrite"
        )
        said = capsys.readouterr().err
        assert status in (0, 2, 3), f"seed {seed}: {said[-600:]}"
        assert "unexpected" not in said
