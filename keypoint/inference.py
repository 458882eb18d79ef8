"""From crops to heatmaps: the network and the flip average, on the device.

Source: SimpleBaseline's `lib/core/function.py` (validate). Letters: B batch, K keypoints, H W the
crop's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keypoint.models import SimpleBaseline


def predict_heatmaps(
    model: SimpleBaseline,
    crops: Tensor,
    flip_indices: Tensor | None = None,
    amp_dtype: torch.dtype | None = None,
    forward: nn.Module | None = None,
) -> Tensor:
    """Heatmaps of crops, averaged with those of the mirrored crops.

    Args:
        model: In eval mode, on the crops' device.
        crops: (B, H, W, 3) uint8 RGB.
        flip_indices: (K,) mirror image of each keypoint; None for no flip average.
        amp_dtype: Autocast the network to this dtype.
        forward: What to call in place of `model`, its compiled form.

    Returns:
        (B, K, H/4, W/4) float32.
    """
    network = forward if forward is not None else model
    images = model.normalize(crops)
    with torch.autocast(crops.device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        heatmaps: Tensor = network(images).float()
        if flip_indices is None:
            return heatmaps
        mirrored: Tensor = network(images.flip(-1)).float()
    return model.codec.average_flipped(heatmaps, mirrored, flip_indices)
