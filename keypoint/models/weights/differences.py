"""Compare the network of a checkpoint with the one that loads its weights, by config key.

A checkpoint contains its config, so all keys to set can be reported at once.
"""

from __future__ import annotations

import shlex
from typing import Any

from keypoint.models.names import architecture_of
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.simple_baseline import SimpleBaseline
from keypoint.models.timm_baseline import TimmBaseline
from keypoint.models.weights.formats import Weights
from keypoint.models.weights.report import network_of
from keypoint.strict_yaml import one_line_yaml

DEFAULTS = {"network": "simple_baseline", "encoder": None, "encoder_stride": 32, "dilated": False}


def keys_to_set(model: PoseNetwork, weights: Weights, *, partial: bool, new_head: bool) -> str:
    """Return the config keys to set so that a checkpoint's weights fit, with their values.

    Args:
        model: The network to train.
        weights: A checkpoint's.
        partial: model.partial_weights is set.
        new_head: model.new_head is set.

    Returns:
        `trained with KEY=VALUE ..; set these`, or an empty text: nothing differs, or it is a
        user's network.
    """
    found = differences(model, weights)
    if not found:
        return ""
    values = [shlex.quote(f"model.{key}={one_line_yaml(value)}") for key, value in found.items()]
    text = f"trained with {' '.join(values)}; set {'these' if len(values) > 1 else 'this'}"
    if not new_head and weights.keypoints and len(weights.keypoints) != model.num_outputs:
        text += ", and model.new_head=true for other keypoints"
    lacking = set(model.block_options) - set(model.blocks_of(weights.trained))
    if lacking and not partial and "blocks" not in found:
        text += ", and model.partial_weights=true to add blocks"
    return text


def differences(model: PoseNetwork, weights: Weights) -> dict[str, Any]:
    """Return the checkpoint's values of the keys that must be equal, but are not.

    Blocks that only the network has are not a difference, because model.partial_weights adds them.
    """
    ours = _network(model)
    theirs = DEFAULTS | dict(weights.trained)
    if not ours or ":" in str(theirs["network"]):
        return {}
    keys = DEFAULTS if theirs["network"] == "simple_baseline" else ("network",)
    found = {key: theirs[key] for key in keys if _plain(theirs[key]) != _plain(ours[key])}
    blocks = model.blocks_of(theirs)
    if any(model.block_options.get(site) != options for site, options in blocks.items()):
        found["blocks"] = theirs["blocks"]
    size = list(theirs["input_size"])
    # Most blocks fit any size: then it is no reason by itself.
    if blocks and size != list(model.input_size) and (found or _blocks_misfit(model, weights)):
        found["input_size"] = size
    return found


def _network(model: PoseNetwork) -> dict[str, Any]:
    """Return the keys of `DEFAULTS` of a network; empty for a user's."""
    if isinstance(model, TimmBaseline):
        return DEFAULTS | {"encoder": model.encoder_name, "encoder_stride": model.encoder_stride}
    built: dict[str, Any] = {**network_of(model.state_dict())}
    if isinstance(model, SimpleBaseline):
        built |= {"encoder_stride": model.encoder_stride, "dilated": model.dilated}
    return DEFAULTS | built if model.SITES else {}


def _plain(value: Any) -> Any:
    """Return a value to compare: an encoder's name without the tag of timm's weights."""
    return architecture_of(value) if isinstance(value, str) else value


def _blocks_misfit(model: PoseNetwork, weights: Weights) -> bool:
    """Return whether a block's tensor has another shape, since it was built for another size."""
    blocks = tuple(f"{path}." for path in model.block_paths().values())
    return any(
        name in weights.state and weights.state[name].shape != tensor.shape
        for name, tensor in model.state_dict().items()
        if name.startswith(blocks)
    )
