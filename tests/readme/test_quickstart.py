"""docs/quickstart.ipynb runs from top to bottom, and what is committed of it is such a run."""

import base64
import re

import nbformat
from nbclient import NotebookClient

from tests.readme.documents import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "quickstart.ipynb"
SMALL = "train_images, val_images, epochs, workers = 20, 6, 1, 0"
AP = re.compile(r"^ +AP  AP50 .*\n([01]\.\d{3}) ", re.M)


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook, folder, monkeypatch):
    """In a kernel of this Python, at work in `folder`."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=place).execute()


def shown(cell):
    """All that a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_runs_from_top_to_bottom(tmp_path, monkeypatch):
    notebook = read()
    (parameters,) = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    names = parameters.source.partition("=")[0]
    assert names == SMALL.partition("=")[0]  # the same ones are set
    parameters.source = SMALL
    execute(notebook, tmp_path, monkeypatch)
    said = "\n".join(map(shown, code_cells(notebook)))
    assert "identity at the start: True" in said
    assert "same output: True" in said
    assert AP.search(said), said
    assert (tmp_path / "output/quickstart/run/best.pt").is_file()
    assert len(pictures(notebook)) == len(pictures(read()))


def pictures(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output.data["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]  # fmt: skip


def test_what_is_committed_was_run_in_order_and_is_small():
    notebook = read()
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert kinds
    assert "error" not in kinds
    assert len(pictures(notebook)) >= 4
    assert all(base64.b64decode(text)[:2] == b"\xff\xd8" for text in pictures(notebook))
    assert NOTEBOOK.stat().st_size < 500_000
    assert not re.search(r"/(tmp|root|home)/", NOTEBOOK.read_text()), "a path of one machine"
    ap = AP.search("\n".join(map(shown, cells)))
    assert float(ap[1]) > 0.1  # a network that has learnt something
