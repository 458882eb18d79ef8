"""The README's pictures can be made again, by the command that the repository has for it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypoint.commands import cli
from keypoint.drawing.strokes import LEFT, MIDDLE, RIGHT
from tests import tiny_network

REPOSITORY = Path(__file__).parents[2]
PICTURES = REPOSITORY / "docs/images"
LIMIT = 300_000  # bytes; a front page is looked at on telephones too


@pytest.fixture
def tool(monkeypatch):
    """The command, with smaller images than it generates otherwise."""
    spec = importlib.util.spec_from_file_location(
        "readme_pictures", REPOSITORY / "tools/benchmarks/readme_pictures.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "IMAGE_SIZE", (144, 192))
    return module


def colored(picture, color):
    return (np.abs(picture.astype(int) - color).sum(axis=2) < 60).sum()


def sure_of_everything(network):
    """Each score is far above the threshold of drawing."""
    torch.nn.init.constant_(network.final_layer.bias, 100.0)


@pytest.mark.parametrize("name", ["predictions.jpg", "heatmaps.jpg"])
def test_what_is_committed_is_small_and_shows_persons(name):
    picture = cv2.imread(str(PICTURES / name))[..., ::-1]
    assert (PICTURES / name).stat().st_size < LIMIT
    assert 1100 <= picture.shape[1] <= 1300
    for color in (LEFT, RIGHT, MIDDLE):
        assert colored(picture, color) > 200


def test_the_command_makes_them(tool, tmp_path, capsys):
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt", sure_of_everything)
    assert (
        cli.run(tool.main, ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "new")])
        == 0
    )
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "heatmaps.jpg",
        "predictions.jpg",
    ]
    assert "predictions.jpg: 1176 x " in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "new/predictions.jpg"))[..., ::-1]
    for color in (LEFT, RIGHT):
        assert colored(picture[40:], color) > 200


def test_the_images_are_always_the_same(tool):
    one, other, another = tool.make_scenes(5), tool.make_scenes(5), tool.make_scenes(6)
    assert len(one) == tool.SCENES
    assert all(2 <= len(boxes) <= 4 for _, boxes in one)
    for (image, boxes), (same, same_boxes) in zip(one, other, strict=True):
        np.testing.assert_array_equal(image, same)
        np.testing.assert_array_equal(boxes, same_boxes)
    assert not np.array_equal(one[0][0], another[0][0])


def test_another_skeleton_is_refused(tool, tmp_path, capsys, monkeypatch):
    others = replace(tiny_network.SKELETON, name="dog17")
    monkeypatch.setattr(tiny_network, "SKELETON", others)
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt")
    assert (
        cli.run(tool.main, ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "new")])
        == 2
    )
    assert "is for dog17" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
