"""Scores of videos: the mean of the softmax probabilities over all clips, in many processes.

Letters: B clips of a batch, N videos, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from keypoint import distributed
from keypoint.action.config import ActionConfig
from keypoint.action.data.batches import ClipBatch, TestClips
from keypoint.action.data.videos import Videos
from keypoint.action.evaluation.protocol import TestProtocol, data_conditions
from keypoint.action.evaluation.scores import VideoScores
from keypoint.action.networks.network import ActionNetwork
from keypoint.data.batches import evaluation_loader
from keypoint.data.notes import in_number
from keypoint.errors import NumericsError
from keypoint.progress import progress


@dataclass
class Sums:
    """Sums of softmax probabilities over the clips of videos, of one process.

    Attributes:
        rows: Indices of the videos.
        total: (len(rows), C) float64.
        clips: (len(rows),) int64, number of clips in each sum.
    """

    rows: NDArray[np.int64]
    total: NDArray[np.float64]
    clips: NDArray[np.int64]


@torch.inference_mode()
def sum_scores(
    model: ActionNetwork,
    batches: Iterable[ClipBatch],
    number: int,
    amp_dtype: torch.dtype | None = None,
) -> Sums:
    """Run the network over all batches in eval mode, and restore its mode.

    Args:
        model: The network, on its device.
        batches: Batches of `TestClips`; the clips of a video may be in several.
        number: N, the number of all videos.
        amp_dtype: Autocast the network to this dtype; softmax and sums are not.

    Raises:
        NumericsError: Scores are not finite; names the videos.
    """
    device = model.pixel_mean.device
    was_training = model.training
    model.eval()
    total = torch.zeros(number, model.num_classes, dtype=torch.float64)
    clips = torch.zeros(number, dtype=torch.int64)
    broken: list[str] = []
    for batch in batches:
        given = model.normalize(batch.clips.to(device, non_blocking=True))  # B 3 T H W
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            logits = model(given)  # B C
        scores = logits.double().softmax(dim=1).cpu()
        total.index_add_(0, batch.index, scores)
        clips.index_add_(0, batch.index, torch.ones_like(batch.index))
        finite = scores.isfinite().all(dim=1).tolist()
        broken += [name for name, is_in in zip(batch.names, finite, strict=True) if not is_in]
    model.train(was_training)
    if broken:
        names = list(dict.fromkeys(broken))
        more = " .." if len(names) > 3 else ""
        raise NumericsError(
            f"scores of {in_number(len(names), 'videos')} are nan or inf, such as "
            f"{', '.join(names[:3])}{more}: the weights are broken; train again with a lower "
            "train.lr or without fp16"
        )
    rows = clips.nonzero().flatten()
    return Sums(rows.numpy(), total[rows].numpy(), clips[rows].numpy())


def evaluate_videos(
    model: ActionNetwork,
    videos: Videos,
    protocol: TestProtocol,
    *,
    batch_size: int,
    workers: int,
    amp_dtype: torch.dtype | None = None,
    conditions: Mapping[str, Any] | None = None,
    after_batch: Callable[[], None] | None = None,
) -> VideoScores:
    """Score every video by all its clips.

    Args:
        model: The network on its device; every process has the same weights.
        videos: Videos with or without labels; each process scores its share.
        protocol: Chooses clips and crops.
        batch_size: Clips at a time, counting each crop.
        workers: Processes that read videos.
        amp_dtype: Autocast the network.
        conditions: Further conditions to store with the scores, in plain types.
        after_batch: Called after each batch; it may raise, to end the evaluation.

    Returns:
        The same scores on every process. Except for rounding, they do not depend on the number of
        processes, workers and clips at a time.

    Raises:
        DataError: A video cannot be read.
        NumericsError: A score is not finite.
    """
    dataset = TestClips(
        videos,
        protocol.sampling,
        protocol.crops,
        clips=protocol.clips,
        sampling=protocol.placed,
        batch_size=batch_size,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
    loader = evaluation_loader(dataset, workers, pin_memory=model.pixel_mean.device.type == "cuda")
    clips = dataset.num_videos() * protocol.views
    with progress(clips, "evaluate", "clip", enabled=distributed.is_main()) as bar:

        def counted() -> Iterable[ClipBatch]:
            for batch in loader:
                yield batch
                bar.update(len(batch))
                if after_batch is not None:
                    after_batch()

        mine = sum_scores(model, counted(), len(videos), amp_dtype)
    scores = _mean(distributed.gather(mine), len(videos), protocol.views)
    held = protocol.conditions() | data_conditions(videos) | dict(conditions or {})
    return VideoScores(videos.names, videos.classes, videos.labels, scores, held)


def _mean(shares: list[Sums], number: int, views: int) -> NDArray[np.float32]:
    """Return the mean over each video's clips, (N, C), in the order of the videos."""
    rows = np.concatenate([share.rows for share in shares])
    clips = np.concatenate([share.clips for share in shares])
    order = np.argsort(rows, kind="stable")
    assert np.array_equal(rows[order], np.arange(number)), "a video was scored twice or not at all"
    assert (clips == views).all(), "a video was scored by more or fewer clips than the others"
    total = np.concatenate([share.total for share in shares])[order]
    return (total / views).astype(np.float32)


def conditions_of(config: ActionConfig) -> dict[str, Any]:
    """Return the conditions of the network and its precision, in plain types."""
    network = config.model
    return {
        "network": network.network,
        "blocks": network.blocks,
        "places": network.places,
        "amp": config.train.amp,
    }
