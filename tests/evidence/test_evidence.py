"""A short form of `make evidence`, and what docs/explanation/evidence.md says of how it was made."""

import importlib
import json
import re
from functools import partial
from statistics import mean

import cv2
import numpy as np
import pytest
import yaml
from scipy import stats

from keypoint.commands import cli, make_clip_data
from keypoint.config.load import CONFIG_FOLDER
from tests import forked
from tests.calling import REPOSITORY, tool, words

SHORT = {"train.epochs": 1, "train.batch_size": 4, "train.warmup_steps": 2, "data.workers": 0}
# Of each sweep: its points, and keys besides.
POINTS = {"field": ["none", "srl_fft"], "places": ["none"], "echo_blocks": ["none"]}
PERSONS = {"train.evaluate_every": 1}
DOCUMENT = """# Evidence
<!-- field -->
an old table
<!-- end -->
<!-- places -->
<!-- end -->
<!-- echo -->
<!-- end -->
Between them.
<!-- receptive fields -->
<!-- end -->
"""


@pytest.fixture
def write(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "tools" / "evidence")
    return importlib.import_module("write")


def shorten(name, folder):
    """A sweep file with few points, two seeds and one epoch."""
    content = yaml.safe_load((CONFIG_FOLDER / "sweeps" / f"{name}.yaml").read_text())
    content["set"] = content.get("set", {}) | SHORT
    content["seeds"] = content["seeds"][:2]
    ((axis, points),) = content["grid"].items()
    content["grid"] = {axis: {point: points[point] for point in POINTS[name]}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def start(command, log, threads):
    """A run of a sweep, without the four seconds that a fresh interpreter needs for its imports."""
    with log.open("ab") as file:
        return forked.start(words(*command), stdout=file, stderr=file)


def share_of_inversions(counts):
    return counts["inversion"] / sum(counts.values())


def test_a_short_form_runs_from_the_data_to_the_document(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = partial(make_clip_data.train_on_frames, pictures=18, steps=2)
    monkeypatch.setattr(make_clip_data, "train_on_frames", few)
    monkeypatch.setattr("keypoint.commands.runs.start", start)
    size = ["--train", "8", "--val", "4"]
    assert tool("make-person-data", "--output", "output/evidence/persons", *size) == 0
    assert tool("make-clip-data", "--output", "output/echo", *size) == 0
    (tmp_path / "sweeps").mkdir()
    for name in POINTS:
        assert tool("sweep", shorten(name, tmp_path / "sweeps"), "--jobs", "2") == 0
    runs = tmp_path / "output" / "evidence"
    photo = next((runs / "persons" / "val2017").iterdir())
    seen = ["--site", "layer4", "--at", "100,100", "--random-inputs", "1", "--output"]
    checkpoint = runs / "field" / "srl_fft" / "seed1" / "last.pt"
    explained = ["--checkpoint", checkpoint, *seen, runs / "seen" / "srl_fft", photo]
    assert tool("explain", *explained) == 0
    document = tmp_path / "evidence.md"
    document.write_text(DOCUMENT)
    monkeypatch.setattr("fields.PERSONS", 2)
    monkeypatch.setattr("numbers_of_sweeps.REVERSED_CLIPS", 2)
    options = ["--document", str(document), "--sweeps", str(tmp_path / "sweeps")]
    assert cli.run(write.main, options) == 0

    text = document.read_text()
    assert "an old table" not in text
    assert "\nBetween them.\n" in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert sum(line.startswith("| none") for line in lines) == 4
    values = [
        [
            json.loads((runs / "field" / point / f"seed{s}" / "metrics.json").read_text())
            for s in (1, 2)
        ]
        for point in POINTS["field"]
    ]
    ap, inversions = (
        [[get(content) for content in seeds] for seeds in values]
        for get in (
            lambda content: content["metrics"]["AP"],
            lambda content: share_of_inversions(content["analysis"]["errors"]["keypoints"]),
        )
    )
    row = next(line for line in lines if line.startswith("| srl_fft"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1] == "2"
    for place, (base, own) in ((2, ap), (4, inversions)):
        assert cells[place].startswith(f"{100 * mean(own):.1f} (")
        apart = np.subtract(own, base)
        half = stats.t.ppf(0.975, 1) * stats.sem(apart)
        ends = [100 * (apart.mean() + sign * half) for sign in (-1, 1)]
        expected = f"{100 * apart.mean():+.1f} ({ends[0]:+.1f} to {ends[1]:+.1f})"
        assert cells[place + 1] == expected
    for name in ("fields", "srl_fft"):
        assert cv2.imread(str(tmp_path / "images" / f"evidence_{name}.jpg")) is not None

    (runs / "field" / "srl_fft" / "seed2" / "metrics.json").unlink()
    assert cli.run(write.main, options) == 3
    assert "tested runs: none 2, srl_fft 1; run keypoint sweep" in capsys.readouterr().err


def test_a_table_needs_its_place_in_the_document(write):
    with pytest.raises(write.ConfigError, match="needs one place <!-- b -->"):
        write.filled("<!-- a -->\n<!-- end -->\n", {"a": "table", "b": "table"})
    assert write.filled("<!-- a -->\nold\n<!-- end -->\n", {"a": r"\1 new"}) == (
        "<!-- a -->\n\\1 new\n<!-- end -->\n"
    )


def test_the_document_quotes_the_commands_that_make_it():
    text = (REPOSITORY / "docs" / "explanation" / "evidence.md").read_text()
    made = (REPOSITORY / "Makefile").read_text().partition("\nevidence:")[2].partition("\n\n")[0]
    made = made.replace("$(EVIDENCE)", "output/evidence")
    for line in re.findall(r"^keypoint [a-z-]+ [^#\n]*", text, re.MULTILINE):
        if not line.startswith("keypoint explain"):
            assert line.strip().removeprefix("keypoint ") in made, line
    for name in POINTS:
        assert f"keypoint sweep {name}.yaml" in text
    marks = re.findall(r"<!-- ([a-z ]+) -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert [name for name, _ in marks] == ["field", "receptive fields", "places", "echo"]
    assert all(table.startswith("| ") for _, table in marks)
