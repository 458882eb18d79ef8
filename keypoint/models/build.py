"""Compose a network of its parts and fill in weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keypoint.errors import ConfigError
from keypoint.models.simple_baseline import SimpleBaseline
from keypoint.models.weights.load import load_imagenet_encoder, load_weights_file


def create_model(
    encoder: str = "resnet50",
    *,
    blocks: str | Mapping[str, Any] | None = None,
    input_size: tuple[int, int] = (256, 192),
    num_keypoints: int = 17,
    encoder_stride: int = 32,
    dilated: bool = False,
    weights: str | Path | None = None,
    codec: str = "heatmap",
    heatmap_sigma: float | None = None,
    partial_weights: bool = False,
) -> SimpleBaseline:
    """Build a network and fill in its weights.

    The keywords are the keys of a config's section `model`.

    Args:
        encoder: resnet18, resnet34, resnet50, resnet101 or resnet152.
        blocks: None, a block's name for all deconvolutions, or a mapping from site to name or
            options.
        input_size: (height, width), multiples of the encoder's stride.
        num_keypoints: K, the number of heatmaps.
        encoder_stride: 32, 16 or 8, before 3, 2 or 1 deconvolutions.
        dilated: Dilation instead of the strides that are left out.
        weights: None (random), "imagenet" (torchvision's encoder weights, downloaded once), or a
            file: a whole network of this toolkit, SimpleBaseline or mmpose, or an encoder of
            torchvision or timm. The network takes over its color order, mean and std.
        codec: "heatmap" or "udp", see codec.py.
        heatmap_sigma: Of the targets, heatmap pixels; None for the references'.
        partial_weights: The file may lack blocks; they start as the identity.

    Raises:
        ConfigError: A part that does not exist or does not fit.
        CheckpointError: A weights file that cannot be read or does not fit.
    """
    model = SimpleBaseline(
        encoder,
        input_size=input_size,
        num_keypoints=num_keypoints,
        encoder_stride=encoder_stride,
        dilated=dilated,
        blocks=blocks,
        codec=codec,
        heatmap_sigma=heatmap_sigma,
    )
    if partial_weights and weights in (None, "imagenet"):
        raise ConfigError(f"partial_weights has no effect with weights={weights!r}; give a file")
    if weights == "imagenet":
        load_imagenet_encoder(model, encoder)
    elif weights is not None:
        load_weights_file(model, Path(weights), partial=partial_weights)
    return model
