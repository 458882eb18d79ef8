"""What the pages say is so: Python runs, links lead somewhere, costs are the counted ones."""

import contextlib
import functools
import io
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from keypoint.action.evaluation.scores import save_scores
from keypoint.blocks.build import BLOCKS
from keypoint.export.onnx_predictor import OnnxPredictor
from keypoint.models.complexity import count_model
from tests import tiny_network
from tests.action import tiny_checkpoint
from tests.action.data.made_up_videos import write_video
from tests.action.evaluation import made
from tests.calling import command
from tests.readme.documents import (
    ALL_PAGES,
    DOCS,
    DOCUMENTS,
    PAGES,
    README,
    REPOSITORY,
    anchors,
    blocks,
    links,
)
from tests.readme.world import exported, published_weights

GENERATED = {"reference/commands.md", "reference/config.md"}  # by tools/documentation/pages.py
SNIPPETS = [
    (page.name, block.text)
    for page in PAGES
    for block in blocks(page.read_text())
    if block.language == "python"
]


def small_checkpoint(path):
    path.parent.mkdir(parents=True)
    tiny_network.checkpoint(path)


@functools.cache
def help_of(name):
    """Of a command, in this process, or of a script by its path."""
    if name.endswith(".py"):
        called = [sys.executable, str(REPOSITORY / name), "--help"]
        return subprocess.run(called, check=True, capture_output=True, text=True).stdout
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        command(name).main(["--help"])
    return said.getvalue()


@pytest.mark.parametrize(("page", "text"), SNIPPETS, ids=lambda value: value[:20])
def test_python_runs(page, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("image.jpg", np.full((300, 200, 3), 90, np.uint8))
    if "from_pretrained" in text:
        published_weights(tmp_path / "home", monkeypatch)
    if "model.onnx" in text:
        exported(tmp_path / "model.onnx")
    elif "output/action/" in text:
        folder = tmp_path / "output" / "action"
        tiny_checkpoint.checkpoint(folder / "best.pt")
        save_scores(folder / "scores.npz", made.scores())
        for name in ("clip.mp4", "data/ucf101/Archery/v.avi"):
            write_video(tmp_path / name, 12)
    else:
        small_checkpoint(tmp_path / "output" / "demo" / "best.pt")
    exec(compile(text, f"a snippet of {page}", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("codec", ["heatmap", "udp"])
def test_onnxruntime_alone_finds_what_the_predictor_finds(codec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    cv2.imwrite("image.jpg", cv2.resize(noise, (200, 300)))
    exported(tmp_path / "model.onnx", codec)
    (text,) = [text for _, text in SNIPPETS if "InferenceSession" in text and "warpAffine" in text]
    assert len(text.strip().splitlines()) <= 25
    names = {}
    exec(compile(text, "the example", "exec"), names)  # noqa: S102
    predictor = OnnxPredictor.from_file("model.onnx")
    box = [[names[side] for side in "xywh"]]
    expected = predictor(cv2.imread("image.jpg")[..., ::-1], boxes_xywh=box)
    np.testing.assert_allclose(names["keypoints"], expected.keypoints[0], atol=0.01)
    np.testing.assert_allclose(names["scores"], expected.scores, atol=1e-4)


def test_there_is_python_to_run():
    assert len(SNIPPETS) >= 5


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if target.resolve() in [DOCS / name for name in GENERATED]:
            continue
        assert target.exists(), f"{page.name}: {link}"
        assert target.resolve().is_relative_to(REPOSITORY), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation():
    navigation = (REPOSITORY / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = set(re.findall(r"\S+\.md$", navigation, re.M))
    assert named - GENERATED == {str(page.relative_to(DOCS)) for page in DOCUMENTS}
    text = "".join(page.read_text() for page in (README, *DOCUMENTS))
    for notebook in DOCS.glob("*.ipynb"):
        assert f"{notebook.name})" in text, f"no page links to {notebook.name}"


def test_folded_parts_are_markdown_on_the_site():
    for page in DOCUMENTS:
        assert "<details>" not in page.read_text(), f'{page.name}: write <details markdown="1">'


def test_paths_that_are_named_exist():
    for page in ALL_PAGES:
        for name in re.findall(
            r"`((?:keypoint|tests|configs|docs|tools)/[\w/.]+)`", page.read_text()
        ):
            assert (REPOSITORY / name).exists(), f"{page.name}: {name}"


def test_the_table_of_blocks_is_what_is_counted():
    """Names in the second column, cost of three blocks in the next two."""
    section = README.read_text().split("## The blocks")[1]
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| ([\d.]+) \| ([\d.]+) \|", section, re.M)
    named = {name: costs for names, *costs in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == set(BLOCKS)
    for name, costs in named.items():
        parts = count_model("resnet50", blocks=name, input_size=(256, 192))
        added = [part.true for where, part in parts.items() if where.startswith("block")]
        counted = [
            sum(c.parameters for c in added) / 1e6,
            sum(c.multiply_adds for c in added) / 1e9,
        ]
        assert costs == [f"{number:.3f}" for number in counted], name
    alone = re.search(r"alone: ([\d.]+) M parameters, ([\d.]+) GFLOPs", section).groups()
    plain = [part.true for where, part in parts.items() if not where.startswith("block")]
    counted = (sum(c.parameters for c in plain) / 1e6, sum(c.multiply_adds for c in plain) / 1e9)
    assert alone == (f"{counted[0]:.1f}", f"{counted[1]:.2f}")
