"""Checkpoints: written whole or not at all, read without running code, self-contained.

A file holds tensors and plain types only (`torch.load(weights_only=True)` opens it):

    format, versions          of this layout, and of the packages that wrote it
    model, ema                state dicts; ema is None without averaging, else what evaluation uses
    optimizer, scaler         their state dicts; the learning rate is a function of epoch and step
    epoch, batch, step        next epoch and batch in it, optimizer steps so far
    batch_persons             persons in a batch of all processes
    loss_sum, losses          sum and number of the losses of this epoch
    world_size                number of processes that trained
    data                      fingerprints of the training and test persons and of the ground truth
    random                    torch's generators; ours, keyed by seed, epoch, index, have no state
    best, history             the best AP so far; the numbers of each epoch and their conditions
    config, skeleton          as plain dicts; skeleton is None in a network of action recognition
    classes                   the names of its classes, in their order; None in other networks
    color_order, mean, std    of the input that the weights expect
    card                      facts of its card that no key above contains (card.py)
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import keypoint
from keypoint.checkpoint.content import check_content, task_of_content
from keypoint.checkpoint.generated import has_seen_only_generated
from keypoint.config.load import Config, config_from_dict
from keypoint.errors import CheckpointError, ConfigError
from keypoint.files import sha256_of, whole_file
from keypoint.models import PoseNetwork, create_model
from keypoint.models.weights.by_name import find_by_file
from keypoint.models.weights.formats import Weights, read_weights, recognise
from keypoint.models.weights.load import load_state
from keypoint.models.weights.read import file_form, read_tensors
from keypoint.pose.names import OF_CHECKPOINT
from keypoint.pose.skeleton import Skeleton, load_skeleton, skeleton_from_dict

FORMAT = 1
KEYS = (
    "format", "versions", "model", "ema", "optimizer", "scaler", "epoch", "batch", "step",
    "batch_persons", "loss_sum", "losses", "world_size", "data", "random", "best", "history",
    "config", "skeleton", "classes", "color_order", "mean", "std", "card",
)  # fmt: skip
# Keys that the first checkpoints did not have.
LATER: dict[str, Any] = {"card": None, "classes": None}
OTHER_WEIGHTS = (
    "  weights of another toolkit: give keypoint test --cfg too, or make them a checkpoint with "
    "keypoint import-weights"
)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; if the process dies, the file is either the old one or the new one.

    Args:
        path: The file.
        content: The keys listed at the top of this module.

    Raises:
        CheckpointError: The file cannot be written (disk full, no permission, the folder is gone);
            the text says what is there now.
    """
    content = LATER | content
    missing = [key for key in KEYS if key not in content]
    assert not missing, f"checkpoint content lacks {missing}"
    with whole_file(path, "checkpoint", CheckpointError, again="resume") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # Torch's writer raises its own error on top of the original one: an error of the
            # system, of a signal, or about a lost worker process.
            first: BaseException = error
            while first.__context__ is not None:
                first = first.__context__
            raise first from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint of this toolkit, or of a file of weights by name.

    Raises:
        CheckpointError: Unreadable, damaged, or neither of the two.
    """
    if find_by_file(path.name):
        return _published_content(path)
    form = file_form(path)
    if form != "zip":
        found = "safetensors" if form == "safetensors" else "torch.save's form before 1.6"
        raise CheckpointError(
            f"{path}: not a checkpoint of this toolkit, but {found}\n{OTHER_WEIGHTS}"
        )
    content = read_tensors(path, objects=False)
    if isinstance(content, dict):
        content = LATER | content
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise CheckpointError(
            f"{path}: not a checkpoint of this toolkit, missing {missing[:4]}\n{OTHER_WEIGHTS}"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: layout {reprlib.repr(content['format'])}, this version reads {FORMAT}; "
            "use a matching version"
        )
    check_content(path, content)
    return dict(content)


def task_of_checkpoint(path: Path) -> str:
    """Return "keypoints" or "action".

    Raises:
        CheckpointError: Not a checkpoint of this toolkit.
    """
    return task_of_content(read_checkpoint(path))


def require_task(content: Mapping[str, Any], task: str, source: str) -> None:
    """Refuse a checkpoint of another task.

    Raises:
        CheckpointError: The text names both tasks.
    """
    theirs = task_of_content(content)
    if theirs != task:
        raise CheckpointError(
            f"{source}: its network is for {theirs}; give a checkpoint for {task}"
        )


def _published_content(path: Path) -> dict[str, Any]:
    """Return a file of weights by name as the content of a checkpoint."""
    weights = read_weights(path)
    assert weights.published is not None
    config = config_from_dict(weights.published.config(), source=str(path))
    return _untrained(
        weights.state,
        {"color_order": weights.color_order, "mean": weights.mean, "std": weights.std},
        config,
        load_skeleton(weights.published.skeleton),
        {"keypoint": keypoint.__version__, "imported": f"{path} ({weights.format})"},
        {"imported": origin_of(path, weights)},
    )


def origin_of(path: Path, weights: Weights, assumed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the origin of weights that were not trained here, for the key `card`.

    Args:
        path: Their file.
        weights: Its content.
        assumed: Assumptions besides `weights.notes`, as sentences.
    """
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "format": weights.format,
        "assumed": [*weights.notes, *assumed],
        **(weights.published.facts() if weights.published else {}),
    }


@dataclass
class Restored:
    """A trained network with its config and skeleton; generated.py explains `only_generated`."""

    model: PoseNetwork
    config: Config
    skeleton: Skeleton
    epoch: int
    best: dict[str, Any] | None
    only_generated: bool = False

    def decoding(self, chosen: str | None = OF_CHECKPOINT) -> str | None:
        """Return the decoding of its heatmaps: "quarter", "dark" or None.

        Args:
            chosen: "checkpoint" for the config's test.decoding, which its AP was measured with, or
                a decoding that `Codec.decode` accepts.

        Raises:
            ConfigError: The network's codec does not have this decoding.
        """
        return self.model.codec.decoding(
            self.config.test.decoding if chosen == OF_CHECKPOINT else chosen
        )


def load_model(path: Path) -> Restored:
    """Build the network of a checkpoint and load its weights, the averaged ones if there are any.

    Raises:
        CheckpointError: The file cannot be used.
    """
    content = read_checkpoint(path)
    require_task(content, "keypoints", str(path))
    config = config_from_dict(content["config"], source=str(path))
    skeleton = skeleton_from_dict(content["skeleton"], source=str(path))
    try:
        model = create_model(**config.model.arguments(skeleton.num_keypoints))
    except ConfigError as error:
        raise CheckpointError(f"{path}: its network cannot be built ({error})") from error
    model.set_colors(content["color_order"], tuple(content["mean"]), tuple(content["std"]))
    load_state(model, recognise(content, str(path)), str(path))
    model.eval()
    return Restored(
        model, config, skeleton, content["epoch"], content["best"], has_seen_only_generated(content)
    )


def checkpoint_of(
    model: PoseNetwork,
    config: Config,
    skeleton: Skeleton,
    versions: dict[str, str],
    card: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of a checkpoint for a network that was not trained here.

    It has no training state, so training cannot resume from it.

    Args:
        model: Its weights, color order, mean and std are stored.
        config: The `model` section is the network's; the others decide how it is tested.
        skeleton: Its keypoints.
        versions: The packages that wrote it, and the origin of the weights.
        card: The origin of the weights (card.py).
    """
    return _untrained(model.state_dict(), model.colors(), config, skeleton, versions, card)


def _untrained(
    state: Mapping[str, Tensor],
    colors: Mapping[str, Any],
    config: Config,
    skeleton: Skeleton,
    versions: dict[str, str],
    card: dict[str, Any] | None,
) -> dict[str, Any]:
    return dict.fromkeys(KEYS) | {
        "format": FORMAT,
        "versions": versions,
        "model": dict(state),
        "epoch": 0,
        "batch": 0,
        "batch_persons": 0,
        "step": 0,
        "loss_sum": 0.0,
        "losses": 0,
        "world_size": 1,
        "data": {},
        "history": [],
        "config": config.to_dict(),
        "skeleton": skeleton.to_dict(),
        **colors,
        "card": card,
    }
