"""Loss and picture of a batch of action recognition, for the trainer.

Letters: B batch, T frames, H W the frames' size, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from keypoint.action.data.batches import ClipBatch
from keypoint.action.networks.network import ActionNetwork
from keypoint.drawing.persons import picture_sheet
from keypoint.training.step import Forward

PICTURE_CLIPS, PICTURE_FRAMES = 6, 8
FRAME_HEIGHT = 96  # px


def clip_loss(forward: Forward, batch: ClipBatch, *, model: ActionNetwork) -> Tensor:
    """Compute the cross entropy of a batch; for `TrainingStep`, with `model` bound.

    Args:
        forward: Maps normalised clips (B, 3, T, H, W) to logits (B, C).
        batch: A batch on any device.
        model: Its `normalize` makes the network's input, on the device.
    """
    device = model.pixel_mean.device
    clips = batch.clips.to(device, non_blocking=True)  # B T H W 3
    labels = batch.labels.to(device, non_blocking=True)  # B
    return cross_entropy(forward(model.normalize(clips)).float(), labels)


def training_picture(
    model: ActionNetwork, batch: ClipBatch, *, classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw frames of the first clips of a batch, with true and predicted class.

    Args:
        model: The network, in eval mode.
        batch: A batch on any device.
        classes: C names.
    """
    clips = batch.clips[:PICTURE_CLIPS]  # B T H W 3
    with torch.no_grad():
        logits = model(model.normalize(clips.to(model.pixel_mean.device))).float()
    scores, guesses = logits.softmax(dim=1).max(dim=1)
    shown = min(PICTURE_FRAMES, clips.shape[1])
    numbers = np.linspace(0, clips.shape[1] - 1, shown).round().astype(int)
    rows = [np.concatenate(list(clip[numbers]), axis=1) for clip in clips.cpu().numpy()]
    titles = [
        f"{classes[label]}; network: {classes[guess]} {score:.2f}"
        for label, guess, score in zip(
            batch.labels.tolist(), guesses.tolist(), scores.tolist(), strict=False
        )
    ]
    height, width = rows[0].shape[:2]
    cell = (FRAME_HEIGHT, round(FRAME_HEIGHT * width / height))
    return picture_sheet(rows, titles, columns=1, cell_size=cell)
