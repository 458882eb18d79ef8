"""Compose a network from its parts and load weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keypoint.errors import ConfigError
from keypoint.models.hrnet import HRNet
from keypoint.models.names import HRNET_WIDTHS, NETWORKS, TIMM_DECONV_SITES, TINY, is_timm
from keypoint.models.own_network import build_own_network
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.simple_baseline import SimpleBaseline
from keypoint.models.timm_baseline import TimmBaseline
from keypoint.models.weights.load import load_imagenet_encoder, load_weights_file, require_file_for

DEFAULT_ENCODER = ("resnet50", 32, False)  # with stride and dilation


def create_model(
    encoder: str = "resnet50",
    *,
    network: str = "simple_baseline",
    options: Mapping[str, Any] | None = None,
    blocks: str | Mapping[str, Any] | None = None,
    input_size: tuple[int, int] = (256, 192),
    num_keypoints: int = 17,
    encoder_stride: int = 32,
    dilated: bool = False,
    weights: str | Path | None = None,
    codec: str = "heatmap",
    heatmap_sigma: float | None = None,
    partial_weights: bool = False,
    new_head: bool = False,
) -> PoseNetwork:
    """Build a network and load its weights.

    The arguments are the keys of a config's section `model`.

    Args:
        encoder: resnet18, resnet34, resnet50, resnet101 or resnet152, torchvision's, or
            `timm/<name>`, any backbone of timm with feature maps; only for simple_baseline.
        network: simple_baseline, hrnet_w32, hrnet_w48, or `package.module:function` for your own
            (own_network.py).
        options: Keyword arguments of your own function.
        blocks: None, a block's name for the network's default sites (all deconvolutions), or a
            mapping from site to name or options. A site is one of the network's own or any
            submodule's name, as for `insert_blocks`.
        input_size: (height, width), multiples of the encoder's stride (of 32 for HRNet).
        num_keypoints: K, the number of heatmaps.
        encoder_stride: 32, 16 or 8, before 3, 2 or 1 deconvolutions. With timm's encoders 32 means
            their own stride.
        dilated: Dilation instead of the omitted strides; not with timm's encoders.
        weights: None (random), "imagenet" (the encoder's weights of torchvision or timm, HRNet's of
            timm, downloaded once), or a file: a whole network of this toolkit, SimpleBaseline,
            HRNet's repository or mmpose, or an encoder of torchvision or timm. The network adopts
            its color order, mean and std.
        codec: "heatmap" or "udp", see codec.py.
        heatmap_sigma: Sigma of the targets in heatmap pixels; None for that of the references.
        partial_weights: The file may lack blocks; they start as the identity.
        new_head: Do not load the file's head, which is for other keypoints.

    Raises:
        ConfigError: A part does not exist or does not fit.
        CheckpointError: A weights file cannot be read or does not fit.
    """
    heatmaps: dict[str, Any] = {
        "input_size": input_size,
        "num_keypoints": num_keypoints,
        "codec": codec,
        "heatmap_sigma": heatmap_sigma,
    }
    if options and ":" not in network:
        raise ConfigError(f"options have no effect with network={network}; remove them")
    if network != "simple_baseline" and (encoder, encoder_stride, dilated) != DEFAULT_ENCODER:
        raise ConfigError(
            f"encoder, encoder_stride and dilated have no effect with network={network}; leave "
            "them out"
        )
    model: PoseNetwork
    others: Mapping[str, Any]
    if network == "simple_baseline" and is_timm(encoder):
        if dilated:
            raise ConfigError(f"dilated=true has no effect with encoder={encoder}; remove it")
        own, others = split_sites(blocks, TIMM_DECONV_SITES)
        model = TimmBaseline(encoder, encoder_stride=encoder_stride, blocks=own, **heatmaps)
    elif network == "simple_baseline":
        own, others = split_sites(blocks, SimpleBaseline.SITES)
        model = SimpleBaseline(
            encoder, encoder_stride=encoder_stride, dilated=dilated, blocks=own, **heatmaps
        )
    elif network in HRNET_WIDTHS:
        own, others = split_sites(blocks, HRNet.SITES)
        model = HRNet(HRNET_WIDTHS[network], blocks=own, **heatmaps)
    elif ":" in network:
        model = build_own_network(network, options or {}, **heatmaps)
        others = model.describe_blocks(blocks)
    else:
        raise ConfigError(
            f"network={network!r} is unknown; choose one of {list(NETWORKS)}, or "
            "package.module:function for your own"
        )
    model.insert(model.describe_blocks(others))
    require_file_for(weights, partial_weights=partial_weights, new_head=new_head)
    if weights == "imagenet":
        if ":" in network:
            raise ConfigError(
                f"weights='imagenet' is for built-in encoders; {network} loads its own; give "
                "weights=None or a file"
            )
        if encoder == TINY and network == "simple_baseline":
            raise ConfigError(
                f"weights='imagenet': encoder={TINY!r} has no such weights; give weights=None or a "
                "file"
            )
        load_imagenet_encoder(model, network if network in HRNET_WIDTHS else encoder)
    elif weights is not None:
        load_weights_file(model, Path(weights), partial=partial_weights, new_head=new_head)
    return model


def split_sites(
    blocks: str | Mapping[str, Any] | None, sites: tuple[str, ...]
) -> tuple[str | dict[str, Any] | None, dict[str, Any]]:
    """The blocks at a network's own sites, and those after other submodules."""
    if blocks is None or isinstance(blocks, str):
        return blocks, {}
    return (
        {site: choice for site, choice in blocks.items() if site in sites},
        {site: choice for site, choice in blocks.items() if site not in sites},
    )
