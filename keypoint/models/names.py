"""Networks, encoders, sites and strides, shared by networks, weights files and configs.

It does not import torch, so that reading a config does not load it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, get_args

from keypoint.errors import ConfigError

EncoderStride = Literal[32, 16, 8]  # input pixels per pixel of layer4's map

HRNET_WIDTHS = {"hrnet_w32": 32, "hrnet_w48": 48}  # channels of the map of stride 4
NETWORKS = ("simple_baseline", *HRNET_WIDTHS)
OWN_NETWORK = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
TIMM = "timm/"  # before the name of an encoder of timm, which may have the tag of its weights
TINY = "tiny"  # a small ResNet for experiments on a CPU
ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", TINY)
ENCODER_STRIDES: tuple[int, ...] = get_args(EncoderStride)

# Strides of timm's encoders that deconvolutions can undo, by their number, and their sites.
TIMM_STRIDES = (4, 8, 16, 32, 64, 128)
TIMM_DECONV_SITES = ("deconv1", "deconv2", "deconv3", "deconv4", "deconv5")

# Residual blocks per stage, and whether they are bottlenecks: He et al. 2016, table 1, and ours.
DEPTHS = {
    "resnet18": (2, 2, 2, 2, False),
    "resnet34": (3, 4, 6, 3, False),
    "resnet50": (3, 4, 6, 3, True),
    "resnet101": (3, 4, 23, 3, True),
    "resnet152": (3, 8, 36, 3, True),
    TINY: (1, 1, 1, 1, False),
}

# By the encoder's stride: input pixels per pixel of the map at each site, in the order of the
# forward pass. The last map has the heatmap's stride, so smaller strides need fewer deconvolutions.
SITES = ("layer1", "layer2", "layer3", "layer4", "deconv1", "deconv2", "deconv3")
DECONV_SITES = SITES[4:]
STRIDES_OF_SITES = {
    32: dict(zip(SITES, (4, 8, 16, 32, 16, 8, 4), strict=True)),
    16: dict(zip(SITES[:6], (4, 8, 16, 16, 8, 4), strict=True)),
    8: dict(zip(SITES[:5], (4, 8, 8, 8, 4), strict=True)),
}

# HRNet's: of its stages several maps each, at the end of their branches.
STRIDES_OF_HRNET_SITES = {
    "stage2": (4, 8),
    "stage3": (4, 8, 16),
    "stage4": (4, 8, 16, 32),
    "head": (4,),
}
HRNET_SITES = tuple(STRIDES_OF_HRNET_SITES)


def architecture_of(encoder: str) -> str:
    """An encoder's name without the tag of timm's weights, which does not change the network."""
    return encoder.partition(".")[0]


def encoder_of(state: Collection[str]) -> str | None:
    """Name the ResNet of a state dict by its blocks per stage; None if it is not one of ours."""
    counts = []
    for stage in ("layer1.", "layer2.", "layer3.", "layer4."):
        blocks = {name.split(".")[1] for name in state if name.startswith(stage)}
        counts.append(len(blocks))
    found = (*counts, "layer1.0.conv3.weight" in state)
    return next((name for name, depth in DEPTHS.items() if depth == found), None)


def is_timm(encoder: str) -> bool:
    """Return whether an encoder's name is one of timm's."""
    return encoder.startswith(TIMM) and len(encoder) > len(TIMM)


def check_dilation(encoder: str, encoder_stride: int) -> None:
    """Refuse dilation that replaces no stride, or that the encoder does not support.

    Raises:
        ConfigError: The encoder's stride is 32, or its residual blocks are not bottlenecks.
    """
    if encoder_stride == 32:
        raise ConfigError(
            f"dilated=true has no effect with encoder_stride={encoder_stride}, as no stride is "
            "left out"
        )
    if not DEPTHS[encoder][-1] and encoder != TINY:
        raise ConfigError(
            f"dilated=true is not possible with {encoder}: of torchvision's only bottlenecks "
            f"dilate; use encoder=resnet50 or deeper, or {TINY}"
        )
