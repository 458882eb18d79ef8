"""The section of a model card that describes the network: what it is, expects and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keypoint.config.load import Config
from keypoint.config.schema import ModelConfig
from keypoint.errors import ConfigError
from keypoint.models.complexity import Count, count_model
from keypoint.models.names import NETWORKS, is_timm
from keypoint.models.timm_encoder import DEFAULT_STRIDE
from keypoint.pose.codec import Codec
from keypoint.pose.names import DECODING_WORDS
from keypoint.pose.skeleton import Skeleton

Rows = dict[str, Any]


def network_section(config: Config, skeleton: Skeleton, colors: Mapping[str, Any]) -> Rows:
    """Return the facts of a network.

    Args:
        config: Its `model` section counts, and test.decoding.
        skeleton: Its keypoints.
        colors: `color_order`, `mean` and `std` that the weights expect.

    Raises:
        ConfigError: There is no such network, or its codec lacks the decoding.
    """
    network = config.model
    codec = Codec(network.input_size, network.codec)
    return {
        **_architecture(network),
        "input_size": list(network.input_size),
        "color_order": colors["color_order"],
        "mean": [round(value, 4) for value in colors["mean"]],
        "std": [round(value, 4) for value in colors["std"]],
        "codec": network.codec,
        "decoding": DECODING_WORDS[codec.decoding(config.test.decoding)],
        "skeleton": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "oks_sigmas": "uniform, not measured"
        if skeleton.uniform_sigmas
        else list(skeleton.oks_sigmas),
        **_cost(network, skeleton.num_keypoints),
    }


def _architecture(network: ModelConfig) -> Rows:
    """Return the keys of a config that make the network, without those of other networks."""
    rows: Rows = {"network": network.network}
    if network.network == "simple_baseline":
        rows["encoder"] = network.encoder
        if not is_timm(network.encoder):
            rows |= {"encoder_stride": network.encoder_stride, "dilated": network.dilated}
        elif network.encoder_stride != DEFAULT_STRIDE:
            rows["encoder_stride"] = network.encoder_stride
    elif network.options:
        rows["options"] = network.options
    return rows


def _cost(network: ModelConfig, num_keypoints: int) -> Rows:
    """Return blocks by site, parameters and multiply-adds."""
    try:
        parts = count_model(**network.arguments(num_keypoints))
    except ConfigError as error:
        if network.network in NETWORKS:
            raise
        return {"blocks": network.blocks, "parameters": f"unknown here: {error}"}
    total = sum(parts.values(), Count.zero()).true
    sites = [name.removeprefix("block at ") for name in parts if name.startswith("block at ")]
    blocks = network.blocks
    return {
        "blocks": {s: blocks if isinstance(blocks, str) else (blocks or {})[s] for s in sites}
        or None,
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
    }
