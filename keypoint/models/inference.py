"""From crops to heatmaps and keypoints: the network and the flip average, on the device.

Source: SimpleBaseline's `lib/core/function.py` (validate). Letters: B batch, K keypoints, H W the
crop's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from keypoint.models import SimpleBaseline


def predict_heatmaps(
    model: SimpleBaseline,
    crops: Tensor,
    flip_indices: Tensor | None = None,
    amp_dtype: torch.dtype | None = None,
) -> Tensor:
    """Heatmaps of crops, averaged with those of the mirrored crops.

    Args:
        model: In eval mode, on the crops' device.
        crops: (B, H, W, 3) uint8 RGB.
        flip_indices: (K,) mirror image of each keypoint; None for no flip average.
        amp_dtype: Autocast the network to this dtype.

    Returns:
        (B, K, H/4, W/4) float32.
    """
    heatmaps, mirrored = _run(model, crops, flip_indices is not None, amp_dtype)
    if flip_indices is None or mirrored is None:
        return heatmaps
    return model.codec.average_flipped(heatmaps, mirrored, flip_indices)


def predict_keypoints(
    model: SimpleBaseline,
    crops: Tensor,
    flip_indices: Tensor | None = None,
    amp_dtype: torch.dtype | None = None,
    decoding: str | None = "codec",
) -> tuple[Tensor, Tensor]:
    """Keypoints of crops; what the codec decodes from `predict_heatmaps`.

    Args:
        model: In eval mode, on the crops' device.
        crops: (B, H, W, 3) uint8 RGB.
        flip_indices: As in `predict_heatmaps`.
        amp_dtype: The same.
        decoding: As `Codec.decode` takes it.

    Returns:
        Keypoints (B, K, 2), heatmap frame (a quarter of the crop's pixels), and scores (B, K).

    Raises:
        ConfigError: A decoding that the codec lacks.
    """
    heatmaps, mirrored = _run(model, crops, flip_indices is not None, amp_dtype)
    if flip_indices is None or mirrored is None:
        return model.codec.decode(heatmaps, decoding)
    return model.codec.decode_flipped(heatmaps, mirrored, flip_indices, decoding)


def _run(
    model: SimpleBaseline, crops: Tensor, flip: bool, amp_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor | None]:
    """Heatmaps of crops, and of the mirrored crops if `flip`; (B, K, H/4, W/4) float32."""
    images = model.normalize(crops)
    with torch.autocast(crops.device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        heatmaps: Tensor = model(images).float()
        return heatmaps, model(images.flip(-1)).float() if flip else None
