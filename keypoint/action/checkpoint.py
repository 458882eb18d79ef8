"""Checkpoints of action recognition: loading the network, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.action.config import ActionConfig
from keypoint.action.data.videos import Videos
from keypoint.action.networks.build import create_model
from keypoint.action.networks.count import count_action_model
from keypoint.action.networks.names import is_c2d
from keypoint.action.networks.network import ActionNetwork
from keypoint.checkpoint.card import (
    Card,
    Rows,
    card_of_file,
    count_entries,
    measured_sections,
    training_section,
)
from keypoint.checkpoint.file import read_checkpoint, require_task
from keypoint.checkpoint.generated import has_seen_only_generated
from keypoint.config.load import from_dict_as
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models.complexity import Count
from keypoint.models.weights.formats import recognise
from keypoint.models.weights.load import load_state

ONLY_GENERATED = (
    "this network was trained only on generated videos; on real ones its classes are meaningless"
)


@dataclass
class RestoredAction:
    """A trained network with its config and classes.

    Attributes:
        model: The network in eval mode, on the CPU; with the averaged weights if there are any.
        config: Config of its training.
        classes: Names in the order of the network's outputs.
        epoch: Number of epochs trained.
        best: The best evaluation, {"epoch": .., "metrics": {..}}, or None.
        only_generated: Whether it was trained only on generated videos.
    """

    model: ActionNetwork
    config: ActionConfig
    classes: tuple[str, ...]
    epoch: int
    best: dict[str, Any] | None
    only_generated: bool = False


def load_action(path: Path) -> RestoredAction:
    """Build the network of a checkpoint and load its weights.

    Raises:
        CheckpointError: The file cannot be used, or is of another task.
        ConfigError: Its config is not valid.
    """
    content = read_checkpoint(path)
    require_task(content, "action", str(path))
    config = from_dict_as(ActionConfig, content["config"], str(path))
    classes = tuple(content["classes"])
    try:
        model = create_model(**config.model.arguments(len(classes), config.clips.frames))
    except ConfigError as error:
        raise CheckpointError(f"{path}: its network cannot be built ({error})") from error
    model.set_colors(content["color_order"], tuple(content["mean"]), tuple(content["std"]))
    load_state(model, recognise(content, str(path)), str(path))
    return RestoredAction(
        model.eval(),
        config,
        classes,
        content["epoch"],
        content["best"],
        has_seen_only_generated(content),
    )


def count_videos(videos: Videos) -> Rows:
    """Return the counts of a split's videos, for `keypoint.checkpoint.card.trained_on`."""
    return count_entries(videos.report, videos.generated)


def read_action_card(path: Path) -> Card:
    """Return the card of a checkpoint: rows by section, in JSON types.

    Raises:
        CheckpointError: The file cannot be used, or is of another task.
        ConfigError: Its config is not valid.
    """
    content = read_checkpoint(path)
    require_task(content, "action", str(path))
    return card_of_file(path, action_sections(content, str(path)))


def action_sections(content: Mapping[str, Any], source: str) -> Card:
    """Return the sections of a card that describe a checkpoint's content.

    Args:
        content: As `read_checkpoint` returns it.
        source: The file, named in errors.

    Raises:
        CheckpointError: Its network cannot be built.
        ConfigError: Its config is not valid.
    """
    config = from_dict_as(ActionConfig, content["config"], source)
    generated = has_seen_only_generated(content)
    return {
        "network": network_section(config, tuple(content["classes"]), content, source),
        "training": training_section(content, config),
        **measured_sections(content, "videos"),
        "use": {
            "limits": (f"{ONLY_GENERATED.capitalize()}. " if generated else "")
            + "It gives one of its classes for every video, even if the video shows none of them; "
            "videos unlike the training data were not tested.",
            "licence": "unknown, not in the file; the toolkit's licence does not cover the weights",
        },
    }


def network_section(
    config: ActionConfig, classes: Sequence[str], colors: Mapping[str, Any], source: str
) -> Rows:
    """Return the facts of a network.

    Args:
        config: Its sections `model` and `clips` are used.
        classes: Names of the classes.
        colors: `color_order`, `mean` and `std` that the weights expect.
        source: The file, named in errors.

    Raises:
        CheckpointError: The network cannot be built.
    """
    network, clips = config.model, config.clips
    try:
        parts = count_action_model(**network.arguments(len(classes), clips.frames))
    except ConfigError as error:
        raise CheckpointError(f"{source}: its network cannot be built ({error})") from error
    total = sum(parts.values(), Count.zero()).true
    sites = [name.removeprefix("block at ") for name in parts if name.startswith("block at ")]
    dense = clips.sampling == "dense"
    return {
        "network": network.network,
        **({"form": network.form} if is_c2d(network.network) else {}),
        "frames": clips.frames,
        "sampling": clips.sampling,
        **({"stride": clips.stride} if dense else {}),
        **({"fps": clips.fps} if clips.fps else {}),
        "input_size": list(network.input_size),
        "color_order": colors["color_order"],
        "mean": [round(value, 4) for value in colors["mean"]],
        "std": [round(value, 4) for value in colors["std"]],
        "classes": list(classes),
        "blocks": network.blocks,
        "blocks_after": sites or None,
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
    }
