"""The notebooks of docs/ run from top to bottom, and what is committed of them is such a run."""

import base64
import re
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from tests.readme.documents import REPOSITORY

AP = re.compile(r"^ +AP  AP50 .*\n([01]\.\d{3}) ", re.M)
FROM_HEAD = re.compile(r"^(before|after) training: .* ([\d.]+)% from the upper quarter", re.M)


class Expected(NamedTuple):
    small: str  # the cell of parameters, for a run in seconds
    printed: tuple[str, ...]
    pictures: int


EXPECTED = {
    "quickstart": Expected(
        "train_images, val_images, epochs, workers = 20, 6, 1, 0",
        (r"identity at the start: True", r"same output: True", AP.pattern),
        4,
    ),
    "explain": Expected(
        "train_images, val_images, epochs, workers = 20, 31, 1, 0",
        (r"^layer2: entropy", r"^layer4: entropy", FROM_HEAD.pattern),
        4,
    ),
}


@pytest.fixture(params=EXPECTED)
def name(request):
    return request.param


def file(name):
    return REPOSITORY / "docs" / f"{name}.ipynb"


def read(name):
    return nbformat.read(file(name), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook, folder, monkeypatch):
    """In a kernel of this Python, at work in `folder`."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=place).execute()


def shown(notebook):
    """All that the cells printed."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(output.get("text", "") for output in outputs)


def pictures(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output.data["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]  # fmt: skip


def test_all_notebooks_are_tested():
    assert {path.stem for path in (REPOSITORY / "docs").rglob("*.ipynb")} == set(EXPECTED)


def test_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    notebook, expected = read(name), EXPECTED[name]
    (parameters,) = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    names = parameters.source.partition("=")[0]
    assert names == expected.small.partition("=")[0]  # the same ones are set
    parameters.source = expected.small
    execute(notebook, tmp_path, monkeypatch)
    for pattern in expected.printed:
        assert re.search(pattern, shown(notebook), re.M), shown(notebook)
    assert (tmp_path / "output" / name / "run" / "best.pt").is_file()
    assert len(pictures(notebook)) == len(pictures(read(name)))


def test_what_is_committed_was_run_in_order_and_is_small(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert kinds
    assert "error" not in kinds
    assert len(pictures(notebook)) >= EXPECTED[name].pictures
    assert all(base64.b64decode(text)[:2] == b"\xff\xd8" for text in pictures(notebook))
    assert file(name).stat().st_size < 500_000
    assert not re.search(r"/(tmp|root|home)/", file(name).read_text()), "a path of one machine"


def test_the_committed_networks_have_learned_something():
    assert float(AP.search(shown(read("quickstart")))[1]) > 0.1
    from_head = {when: float(share) for when, share in FROM_HEAD.findall(shown(read("explain")))}
    assert from_head["before"] < 1 < from_head["after"]
