"""The keypoint task for the task-independent trainer: the loss and the picture of a batch.

Letters: B batch, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keypoint.data.batches import TrainBatch
from keypoint.drawing.persons import training_sheet
from keypoint.models import PoseNetwork
from keypoint.pose.skeleton import Skeleton
from keypoint.training.step import Forward

PICTURE_CROPS = 8

HeatmapLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def keypoint_loss(
    forward: Forward, batch: TrainBatch, *, model: PoseNetwork, heatmap_loss: HeatmapLoss
) -> Tensor:
    """Compute the loss of a batch of crops; `TrainingStep` takes it with both keywords bound.

    Args:
        forward: Maps normalized images (B, 3, H, W) to heatmaps.
        batch: On any device.
        model: Its codec makes the target heatmaps, and its `normalize` the network's input.
        heatmap_loss: Maps predicted and target heatmaps (B, K, H/s, W/s) and weights (B, K) to a
            scalar; see losses.py.
    """
    device = model.pixel_mean.device
    crops = batch.crops.to(device, non_blocking=True)  # B H W 3
    keypoints = batch.keypoints_crop.to(device, non_blocking=True)  # B K 2
    labelled = batch.visibility.to(device, non_blocking=True) > 0  # B K
    target, weight = model.codec.encode(keypoints, labelled)  # B K H/s W/s, B K
    predicted = forward(model.normalize(crops))  # B K H/s W/s
    return heatmap_loss(predicted, target, weight)


def training_picture(
    model: PoseNetwork, batch: TrainBatch, *, skeleton: Skeleton
) -> NDArray[np.uint8]:
    """Draw the first crops of a batch with their keypoints and the network's heatmaps.

    Args:
        model: In eval mode.
        batch: On any device.
        skeleton: Of its keypoints.
    """
    crops = batch.crops[:PICTURE_CROPS].to(model.pixel_mean.device)
    with torch.no_grad():
        heatmaps = model(model.normalize(crops)).float().cpu().numpy()
    return training_sheet(
        crops.cpu().numpy(),
        batch.keypoints_crop.numpy(),
        batch.visibility.numpy(),
        heatmaps,
        skeleton,
        udp=model.codec.udp,
    )
