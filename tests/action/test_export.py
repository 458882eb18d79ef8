"""Files of networks for clips: compared before they have their name, and described."""

import json
import zipfile

import numpy as np
import pytest
import torch

from keypoint.action.export import write
from keypoint.action.export.card import ClipCard, read_clip_export
from keypoint.action.export.write import ClipComparison, compare, export_classifier
from keypoint.errors import CheckpointError, ExportError, NumericsError
from keypoint.export.card import card_from_texts
from tests.action.tiny_action import Tiny


def network(seed=0):
    torch.manual_seed(seed)
    made = Tiny(input_size=(24, 32)).eval()
    torch.nn.init.normal_(made.fc.weight)
    made.set_colors("bgr", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    return made


def card(**changed):
    made = {"version": "0", "classes": ("a", "b"), "frames": 4, "input_size": (24, 32)}
    return ClipCard(**{**made, "input": "uint8", "test": {"clips": 25}, **changed})


@pytest.mark.parametrize("given", ["uint8", "float32"])
def test_a_file_gives_the_networks_scores_for_any_number_of_clips(tmp_path, given):
    model, path = network(), tmp_path / "a.pt2"
    result = export_classifier(model, card(input=given), path)
    assert result.logits < 1e-5
    assert "compared with torch on 4 clips" in result.describe()
    loaded = torch.export.load(path).module()
    clips = np.random.default_rng(3).integers(0, 256, (5, 4, 24, 32, 3), np.uint8)
    taken = torch.from_numpy(clips)
    if given == "float32":
        taken = (taken.float() / 255).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        scores, logits = loaded(taken)
    # By hand: blue first, normalised by its own mean.
    mean, std = np.array([0.3, 0.4, 0.5]), np.array([0.4, 0.3, 0.2])
    planes = ((clips[..., ::-1] / 255 - mean) / std).transpose(0, 4, 1, 2, 3)
    with torch.no_grad():
        expected = model(torch.from_numpy(planes.astype(np.float32)))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores, expected.softmax(1), atol=1e-5, rtol=1e-4)


def test_a_file_of_another_network_gets_no_name(tmp_path, monkeypatch):
    """Compared by logits: far from each other, their probabilities are both 1."""
    path = tmp_path / "a.pt2"
    path.write_text("before")
    other = lambda *arguments: compare(*arguments[:2], network(1), arguments[3])  # noqa: E731
    monkeypatch.setattr(write, "compare", other)
    with pytest.raises(ExportError, match="logits differ from torch's by .* no file was written"):
        export_classifier(network(), card(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    for logits, scores in ((1e-3, 0.0), (0.0, 1e-3), (float("nan"), 0.0)):
        with pytest.raises(ExportError):
            ClipComparison(logits, scores, "clip 0, a", 4).require_agreement(path)


def test_a_network_that_is_not_finite_is_refused(tmp_path):
    model = network()
    torch.nn.init.constant_(model.fc.bias, torch.inf)
    with pytest.raises(NumericsError, match="scores are not finite"):
        export_classifier(model, card(), tmp_path / "a.pt2")


def test_the_description_is_read_back(tmp_path):
    path = tmp_path / "a.pt2"
    export_classifier(network(), card(), path)
    found = read_clip_export(path)
    assert found == card()
    assert found.facts()["network"]["classes"] == ["a", "b"]
    assert found.describe()["clips"] == "(B, 4, 24, 32, 3) uint8, RGB"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"classes": '["a"]'}, "classes"),
        ({"frames": "0"}, "frames '0'"),
        ({"input_size": "[24]"}, "input_size"),
        ({"input": '"int8"'}, "input 'int8'"),
        ({"format": "2"}, "format '2'"),
        ({"test": "[]"}, "test"),
        ({"version": "{"}, "Expecting property name"),
    ],
)
def test_a_damaged_description_is_named(tmp_path, changed, text):
    path = tmp_path / "a.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("extra/keypoint.json", json.dumps(card().to_texts() | changed))
    with pytest.raises(CheckpointError, match=rf"a.pt2: its description cannot be used .*{text}"):
        read_clip_export(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("extra/keypoint.json", "{}")
    with pytest.raises(CheckpointError, match=r"version, classes, frames missing"):
        read_clip_export(path)


def test_a_file_that_classifies_videos_finds_no_keypoints():
    with pytest.raises(CheckpointError, match="x: classifies videos and has no keypoints; run it"):
        card_from_texts(card().to_texts(), "x")
