"""Scores of a video against a loop in float64, and clips against those of a test."""

import cv2
import numpy as np
import pytest
import torch

from keypoint.action.data.batches import TestClips
from keypoint.action.data.videos import load_videos
from keypoint.action.prediction.predictor import ActionPredictor
from keypoint.errors import DataError, NumericsError
from tests.action.data.made_up_videos import numbered_frames, write_frames, write_video
from tests.action.prediction.tiny_classifier import CLASSES, Tiny, predictor, protocol


def by_hand(path, numbers, weight):
    """Decode everything, then softmax and mean of plain numbers."""
    capture, reds = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        reds.append(read[1][..., 2].mean() / 255)
    total = np.zeros(len(CLASSES))
    for clip in numbers:
        powers = np.exp(
            [sum(reds[n] * w for n, w in zip(clip, ws, strict=True)) for ws in weight.T]
        )
        total += powers / powers.sum()
    return total / len(numbers)


@pytest.mark.parametrize("placed", ["uniform", "random"])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_scores_are_the_mean_of_softmax_probabilities(tmp_path, placed, batch_size):
    path = write_video(tmp_path / "a.avi", 100)
    made = predictor(placed, 5, batch_size=batch_size)
    found = made(path)
    expected = by_hand(path, found.numbers, made.model.weight.detach().double().numpy())
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    assert found.scores.dtype == np.float32
    order = sorted(range(7), key=lambda c: -expected[c])
    assert [name for name, _ in found.top()] == [CLASSES[c] for c in order[:5]]
    assert [score for _, score in found.top(2)] == pytest.approx(expected[order[:2]], abs=1e-6)
    assert max(map(len, made.model.seen)) == min(batch_size, 5)


def test_few_averaged_logits_would_be_seen():
    """The cases above tell probabilities from logits: their means differ by more than the tolerance."""
    logits = 5 * np.random.default_rng(0).normal(size=(5, 7))
    powers = np.exp(logits)
    mean = (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
    other = np.exp(logits.mean(axis=0)) / np.exp(logits.mean(axis=0)).sum()
    assert np.abs(mean - other).max() > 0.01


@pytest.mark.parametrize(("placed", "crops"), [("uniform", 3), ("random", 1)])
def test_clips_are_those_of_a_test(tmp_path, placed, crops):
    """Of a wide video with a pattern, in a folder per class: with the root its name is the list's."""
    rng = np.random.default_rng(0)
    for name in ("x/a.avi", "y/b.avi"):
        write_video(tmp_path / name, 40, first=int(rng.integers(9)))
    videos = load_videos(tmp_path, tmp_path, part="val")
    given = protocol(placed, 4, crops)
    wanted = TestClips(
        videos, given.sampling, given.crops, clips=4, sampling=placed, batch_size=4 * crops
    )
    for row, batch in enumerate(wanted):
        made = ActionPredictor(Tiny(), CLASSES, given)
        made(videos.path(row), root=tmp_path)
        assert torch.equal(torch.cat(made.model.seen), batch.clips)
        assert len(batch.clips) == given.views


def test_a_name_decides_about_random_clips(tmp_path):
    first = write_video(tmp_path / "x" / "a.avi", 100)
    made = predictor("random", 5)
    (tmp_path / "b.avi").write_bytes(first.read_bytes())
    (tmp_path / "a.avi").write_bytes(first.read_bytes())
    numbers = made(first).numbers.tolist()
    assert made(tmp_path / "a.avi").numbers.tolist() == numbers
    assert made(tmp_path / "b.avi").numbers.tolist() != numbers
    assert made(first, root=tmp_path).numbers.tolist() != numbers


def test_frames_and_folders_of_frames_are_videos(tmp_path):
    made = predictor()
    frames = numbered_frames(30)
    expected = made(write_video(tmp_path / "a.avi", 30))
    for video in (frames, list(frames), write_frames(tmp_path / "a", 30)):
        found = made(video)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.numbers, expected.numbers)


def test_refused(tmp_path):
    made = predictor()
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"a\.mp4: not a video"):
        made(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="no frame is given"):
        made([])
    frames = list(numbered_frames(5))
    for bad in (frames[0].astype(float), frames[0][..., :1], frames[0][:5], frames[0][0]):
        with pytest.raises(ValueError, match="frame 2 is .* of shape .*; give uint8 RGB"):
            made([*frames[:2], bad])
    with pytest.raises(ValueError, match="frame 0 is uint8 of shape .*, 1.; give uint8 RGB"):
        made([frames[0][..., :1]])
    with pytest.raises(DataError, match=r"clips\.fps chooses them by time"):
        predictor(fps=10.0)(frames)
    with pytest.raises(
        ValueError, match="2 classes and clips of 4 frames for a network with 7 and 4"
    ):
        ActionPredictor(Tiny(), ["a", "b"], protocol())
    with pytest.raises(ValueError, match="clips of 4 frames for a network with 7 and 8"):
        ActionPredictor(Tiny(frames=8), CLASSES, protocol())


def test_a_network_that_is_not_finite_is_named_with_the_video(tmp_path):
    made = predictor()
    made.model.weight.data[0, 0] = float("nan")
    path = write_video(tmp_path / "a.avi", 9)
    with pytest.raises(NumericsError, match=r"a\.avi: the network's scores are not finite"):
        made(path)
