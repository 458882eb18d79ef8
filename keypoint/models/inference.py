"""Heatmaps and keypoints of crops: the network and the flip average, on the device.

Source: SimpleBaseline's `lib/core/function.py` (validate). Letters: B batch, K keypoints, H W the
crop's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from keypoint.models import PoseNetwork


def predict_heatmaps(
    model: PoseNetwork,
    crops: Tensor,
    flip_indices: Tensor | None = None,
    amp_dtype: torch.dtype | None = None,
) -> Tensor:
    """Heatmaps of crops, averaged with the heatmaps of the mirrored crops.

    Args:
        model: Network in eval mode, on the crops' device.
        crops: (B, H, W, 3) uint8 RGB.
        flip_indices: (K,) index of each keypoint's mirror image; None for no flip average.
        amp_dtype: Autocast the network to this dtype.

    Returns:
        (B, K, H/s, W/s) float32.
    """
    heatmaps, mirrored = _run(model, crops, flip_indices is not None, amp_dtype)
    if flip_indices is None or mirrored is None:
        return heatmaps
    return model.codec.average_flipped(heatmaps, mirrored, flip_indices)


def predict_keypoints(
    model: PoseNetwork,
    crops: Tensor,
    flip_indices: Tensor | None = None,
    amp_dtype: torch.dtype | None = None,
    decoding: str | None = "codec",
) -> tuple[Tensor, Tensor]:
    """Keypoints of crops, decoded from the heatmaps of `predict_heatmaps`.

    Args:
        model: Network in eval mode, on the crops' device.
        crops: (B, H, W, 3) uint8 RGB.
        flip_indices: (K,) index of each keypoint's mirror image; None for no flip average.
        amp_dtype: Autocast the network to this dtype.
        decoding: A decoding that `Codec.decode` accepts.

    Returns:
        Keypoints (B, K, 2), heatmap frame, and scores (B, K).

    Raises:
        ConfigError: The codec does not have this decoding.
    """
    heatmaps, mirrored = _run(model, crops, flip_indices is not None, amp_dtype)
    if flip_indices is None or mirrored is None:
        return model.codec.decode(heatmaps, decoding)
    return model.codec.decode_flipped(heatmaps, mirrored, flip_indices, decoding)


def _run(
    model: PoseNetwork, crops: Tensor, flip: bool, amp_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor | None]:
    """Heatmaps of crops, and of the mirrored crops if `flip`; (B, K, H/s, W/s) float32."""
    images = model.normalize(crops)
    with torch.autocast(crops.device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        heatmaps: Tensor = model(images).float()
        return heatmaps, model(images.flip(-1)).float() if flip else None
