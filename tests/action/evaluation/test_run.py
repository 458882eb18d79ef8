"""Scores of videos: equal to a slow loop over clips, on any number of processes and workers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint.action.config import ActionConfig
from keypoint.action.data.batches import TestClips
from keypoint.action.data.videos import load_videos
from keypoint.action.evaluation import run
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.config.load import from_dict_as
from keypoint.data.video import VideoReader
from keypoint.errors import NumericsError
from tests.action import tiny_action

VIEWS = [
    {"clips": 3, "sampling": "random", "crops": 1, "short_side": 36},
    {"clips": 2, "sampling": "uniform", "crops": 3, "short_side": 36},
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tiny_action.write_set(tmp_path_factory.mktemp("videos"))
    return load_videos(Path("val"), root, part="val")


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = tiny_action.Tiny()
    torch.nn.init.normal_(made.fc.weight, std=5)
    return made


def protocol(test):
    content = {"clips": {"frames": 4, "stride": 2}, "test": test}
    content["model"] = {"network": "c2d_resnet18", "input_size": [32, 32]}
    return protocol_of(from_dict_as(ActionConfig, content, "test"))


def slowly(model, videos, protocol):
    """One clip at a time, from frames of the whole video."""
    model.eval()
    rows = []
    for row, name in enumerate(videos.names):
        with VideoReader(videos.path(row)) as reader:
            frames = list(reader)
        clips = []
        for numbers in protocol.draw(name)(len(frames), None).tolist():
            for crop in protocol.crops.of_frame(frames[0].shape[:2]):
                cut = [crop.cut(frames[n], protocol.crops.crop_size) for n in numbers]
                clips.append(torch.from_numpy(np.stack(cut))[None])
        logits = [model(model.normalize(clip))[0].tolist() for clip in clips]
        exponents = [np.exp(np.float64(each) - max(each)) for each in logits]
        rows.append(np.mean([each / each.sum() for each in exponents], axis=0))
    return np.stack(rows)


@pytest.mark.parametrize("test", VIEWS, ids=["random", "uniform x 3"])
def test_scores_are_the_mean_of_the_softmax_of_each_clip(videos, model, test):
    """The mean of the logits before one softmax is another number, which differs by 0.01 here."""
    held = protocol(test)
    wanted = slowly(model, videos, held)
    model.train()
    for batch_size in (1, 4, 50):
        scores = run.evaluate_videos(model, videos, held, batch_size=batch_size, workers=0)
        np.testing.assert_allclose(scores.scores, wanted, atol=1e-5)
    assert model.training
    assert scores.names == videos.names
    assert scores.scores.dtype == np.float32
    assert wanted.std(axis=0).min() > 1e-3


def test_any_number_of_workers_and_processes_gives_the_same(videos, model):
    held = protocol(VIEWS[0])
    options = {"clips": 3, "sampling": "random", "batch_size": 2, "world_size": 2}
    alone = run.evaluate_videos(model, videos, held, batch_size=4, workers=0).scores
    by_workers = run.evaluate_videos(model, videos, held, batch_size=4, workers=2).scores
    np.testing.assert_allclose(by_workers, alone, atol=1e-6)
    shares = [
        run.sum_scores(model, TestClips(videos, held.sampling, held.crops, rank=r, **options), 3)
        for r in (1, 0)
    ]
    assert [len(share.rows) for share in shares] == [1, 2]
    np.testing.assert_allclose(run._mean(shares, len(videos), held.views), alone, atol=1e-6)
    with pytest.raises(AssertionError, match="scored twice or not at all"):
        run._mean(shares[1:], len(videos), held.views)


def test_scores_that_are_not_finite_name_the_videos(videos, model):
    with torch.no_grad():
        model.fc.bias[0] = torch.nan
    with pytest.raises(NumericsError, match=r"scores of 3 videos are nan .* down/v0.avi, "):
        run.evaluate_videos(model, videos, protocol(VIEWS[0]), batch_size=4, workers=0)


def test_a_signal_ends_the_evaluation_after_a_batch(videos, model):
    seen = []

    def stop():
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.evaluate_videos(
            model, videos, protocol(VIEWS[0]), batch_size=2, workers=0, after_batch=stop
        )
