"""The demo's table: factors, errors, reversal."""

import numpy as np
import pytest
import torch

from keypoint.action import create_model
from keypoint.action.echo.clips import CLASSES
from keypoint.action.echo.dataset import make_clip
from keypoint.action.echo.table import Row, change_on_reversal, row_of, to_markdown
from keypoint.action.evaluation.scores import VideoScores


def scores_of(labels, predicted):
    names = tuple(f"{number}.mkv" for number in range(len(labels)))
    scores = np.eye(4, dtype=np.float32)[predicted]
    return VideoScores(names, CLASSES, np.array(labels), scores, {})


def test_factors_are_read_off_the_names_of_the_classes():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 50)).tolist()
    row = row_of("nl", scores_of(labels, predicted), 0.5)
    words = [
        (CLASSES[label].split("_"), CLASSES[p].split("_"))
        for label, p in zip(labels, predicted, strict=True)
    ]
    assert row.clips == 50
    assert row.top1 == pytest.approx(np.mean([a == b for a, b in words]))
    assert row.same == pytest.approx(np.mean([a[0] == b[0] for a, b in words]))
    assert row.first == pytest.approx(np.mean([a[1] == b[1] for a, b in words]))


def test_table_has_chance_and_error():
    text = to_markdown([Row("nl", 1000, 0.493, 0.999, 0.5, 9.6e-7)], 200)
    assert "| (chance) | 25 | 50 | 50 | |" in text
    # sqrt(.493 * .507 / 1000) = .01581, sqrt(.999 * .001 / 1000) = .001
    assert "| nl | 49.3 ± 1.6 | 99.9 ± 0.1 | 50.0 ± 1.6 | 1e-06 |" in text
    assert "1000 validation clips" in text
    assert "the base fails by construction" in text


@pytest.mark.parametrize(("blocks", "knows"), [(None, False), ("nl", False), ("srl_fft", True)])
def test_reversal_changes_the_score_of_srl_alone(blocks, knows):
    torch.manual_seed(0)
    model = create_model("c2d_tiny", 4, 8, input_size=(48, 48), blocks=blocks).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "z.weight", "norm.weight")):
            torch.nn.init.normal_(parameter)
    clips = torch.from_numpy(np.stack([make_clip(0, 1, index)[0] for index in range(3)]))
    change = change_on_reversal(model, clips)
    assert (change > 1e-4) if knows else (change < 1e-5)
