"""From crops to heatmaps: the network and the flip average, on the device.

Source: SimpleBaseline's `lib/core/function.py` (validate). Letters: B batch, K keypoints, H W the
crop's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keypoint.codec import Codec
from keypoint.models import SimpleBaseline

PIECE_BYTES = 2**20  # of heatmaps averaged at a time on a CPU; about what its second cache holds


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
    return average_flipped(heatmaps, mirrored, model.codec, flip_indices)


def average_flipped(
    heatmaps: Tensor, mirrored: Tensor, codec: Codec, flip_indices: Tensor
) -> Tensor:
    """The mean of a crop's heatmaps and of those of its mirrored crop, brought back.

    Args:
        heatmaps: (B, K, H, W).
        mirrored: (B, K, H, W), of the mirrored crop.
        codec: Knows how they lie to each other.
        flip_indices: (K,) mirror image of each keypoint.
    """
    average = torch.empty_like(heatmaps)
    # A CPU works a few maps at a time, which stay in its cache between the steps (measured: a
    # third of the time of whole batches); a GPU works them all at once.
    on_cpu = heatmaps.device.type == "cpu"
    bytes_of_one = heatmaps[:1].numel() * heatmaps.element_size()
    step = max(1, PIECE_BYTES // max(1, bytes_of_one)) if on_cpu else max(1, len(heatmaps))
    for first in range(0, len(heatmaps), step):
        some = slice(first, first + step)
        back = codec.flip_back(mirrored[some], flip_indices)
        torch.add(heatmaps[some], back, out=average[some]).div_(2)
    return average
