"""From a checkpoint: a video's scores are those of a test, and the command finds the task by itself."""

import numpy as np
import pytest

from keypoint.action import ActionPredictor
from keypoint.action.checkpoint import load_action
from keypoint.action.data.videos import load_videos
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.action.evaluation.run import evaluate_videos
from keypoint.action.evaluation.scores import load_scores
from keypoint.commands.main import main
from keypoint.errors import CheckpointError
from tests import tiny_network
from tests.action.data.made_up_videos import write_video
from tests.action.tiny_checkpoint import CLASSES, checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, and two videos in folders by class."""
    made = tmp_path_factory.mktemp("from_checkpoint")
    checkpoint(made / "best.pt", test={"clips": 3, "crops": 3, "short_side": 40})
    for number, name in enumerate(("a/v.avi", "b/v.avi")):
        write_video(made / "videos" / name, 40, first=30 * number)
    return made


def test_scores_are_those_of_a_test(folder):
    path, root = folder / "best.pt", folder / "videos"
    videos = load_videos(root, root, part="val", classes=CLASSES)
    restored = load_action(path)
    tested = evaluate_videos(
        restored.model, videos, protocol_of(restored.config), batch_size=4, workers=0
    )
    predictor = ActionPredictor.from_checkpoint(path, "cpu")
    for row in range(2):
        found = predictor(videos.path(row), root=root)
        np.testing.assert_allclose(found.scores, tested.scores[row], atol=1e-6)
        assert found.classes == CLASSES
    assert np.abs(tested.scores[0] - tested.scores[1]).max() > 1e-3  # or equal scores would pass


def test_the_command_takes_a_checkpoint_of_the_task(folder, tmp_path, capsys):
    words = ["--checkpoint", str(folder / "best.pt"), "--output", str(tmp_path / "out")]
    assert main(["predict", *words, str(folder / "videos"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "2 files = 2 used + 0 skipped (none)" in said
    scores = load_scores(tmp_path / "out")
    expected = ActionPredictor.from_checkpoint(folder / "best.pt", "cpu")(scores.names[1])
    np.testing.assert_array_equal(scores.scores[1], expected.scores)


def test_a_checkpoint_of_keypoints_is_refused(tmp_path):
    path = tiny_network.checkpoint(tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=r"best\.pt"):
        ActionPredictor.from_checkpoint(path, "cpu")
