"""Checkpoints: written whole or not at all, read without running code, complete in themselves.

A file holds tensors and plain types only (`torch.load(weights_only=True)` opens it):

    format, versions          of this layout, and of the packages that wrote it
    model, ema                state dicts; ema is None without averaging, else what evaluation uses
    optimizer, scaler         their state dicts; the learning rate is a function of epoch and step
    epoch, batch, step        next epoch and batch in it, optimiser steps so far
    batch_persons             in a batch of all processes
    loss_sum, losses          of this epoch: the sum, and of how many
    world_size                how many processes trained
    data                      fingerprints of the persons trained and tested on
    random                    torch's generators; ours, keyed by seed, epoch, index, have no state
    best, history             the best AP so far; the numbers of each epoch and what they hold for
    config, skeleton          as plain dicts
    color_order, mean, std    what the weights eat
    card                      what of its model card nothing above tells (model_card.py)
"""

from __future__ import annotations

import contextlib
import os
import reprlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from keypoint.checkpoint.content import check_content
from keypoint.config.load import Config, config_from_dict
from keypoint.config.recipe import recipe_card
from keypoint.errors import CheckpointError
from keypoint.models import SimpleBaseline, create_model
from keypoint.models.weights.load import load_state, read_file
from keypoint.models.weights.safetensors_reader import is_safetensors
from keypoint.models.weights.tensor_reader import check_file
from keypoint.pose.skeleton import Skeleton, skeleton_from_dict

FORMAT = 1
KEYS = (
    "format", "versions", "model", "ema", "optimizer", "scaler", "epoch", "batch", "step",
    "batch_persons", "loss_sum", "losses", "world_size", "data", "random", "best", "history",
    "config", "skeleton", "color_order", "mean", "std", "card",
)  # fmt: skip
OTHER_WEIGHTS = (
    "  weights of another toolkit: give keypoint test --cfg too, or make a checkpoint of them with "
    "keypoint import-weights"
)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; whenever the process dies, the file is the old one or the new one.

    Args:
        path: The file; a temporary one beside it is written, synced and renamed.
        content: The keys of this file's head.

    Raises:
        CheckpointError: The file cannot be written (disk full, no permission); the old one is
            untouched.
    """
    missing = [key for key in KEYS if key not in content]
    assert not missing, f"checkpoint content lacks {missing}"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)  # the rename itself lives in the folder
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        with contextlib.suppress(OSError):
            temporary.unlink()
        disk = os.statvfs(path.parent)
        free = disk.f_bavail * disk.f_frsize
        raise CheckpointError(
            f"{path}: cannot write the checkpoint ({error}; {free} bytes free there); "
            "the old one is untouched: free some space and resume"
        ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of one of our checkpoints.

    Raises:
        CheckpointError: Unreadable, damaged, or not written by this toolkit.
    """
    _require_form(path)
    content = read_file(path)
    if isinstance(content, dict):
        content = {"card": None} | content  # files from before there were cards are as good
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise CheckpointError(
            f"{path}: no checkpoint of this toolkit, missing {missing[:4]}\n{OTHER_WEIGHTS}"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: layout {reprlib.repr(content['format'])}, this version reads {FORMAT}; "
            "use a matching version"
        )
    check_content(path, content)
    return dict(content)


def _require_form(path: Path) -> None:
    """Refuse what `save_checkpoint` cannot have written, in place of torch's guesses at it.

    Raises:
        CheckpointError: No such file, cut off, or no zip file of torch.save.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head[:1] == b"\x80":  # a pickle: torch's form before 1.6, which others' weights may have
            raise CheckpointError(
                f"{path}: no checkpoint of this toolkit, but a bare pickle, which is unsafe and "
                f"was not opened\n{OTHER_WEIGHTS}"
            )
        if is_safetensors(path):
            raise CheckpointError(
                f"{path}: no checkpoint of this toolkit, but safetensors\n{OTHER_WEIGHTS}"
            )
        if not b"PK\x03\x04".startswith(head):
            raise CheckpointError(
                f"{path}: is no checkpoint, nor another file of torch.save; give best.pt "
                "or last.pt of a run (keypoint import-weights makes one of other weights)"
            )
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged directory of the zip can fail in several ways
        reason = getattr(error, "strerror", None) or "its zip end is missing or not at the end"
        raise CheckpointError(
            f"{path}: truncated or corrupt ({reason}); use another copy"
        ) from None
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(
            f"{path}: is no checkpoint but another zip file; give best.pt or last.pt of a run"
        )


@dataclass
class Restored:
    """A network as it was trained, with what it needs to be used."""

    model: SimpleBaseline
    config: Config
    skeleton: Skeleton
    epoch: int
    best: dict[str, Any] | None


def load_model(path: Path) -> Restored:
    """Build the network of a checkpoint and fill it, with the averaged weights if there are any.

    Raises:
        CheckpointError: The file cannot be used.
    """
    content = read_checkpoint(path)
    config = config_from_dict(content["config"], source=str(path))
    skeleton = skeleton_from_dict(content["skeleton"], source=str(path))
    model = create_model(**config.model.arguments(skeleton.num_keypoints))
    model.set_colors(content["color_order"], tuple(content["mean"]), tuple(content["std"]))
    load_state(model, content["ema"] or content["model"], source=str(path))
    model.eval()
    return Restored(model, config, skeleton, content["epoch"], content["best"])


# What of a config is told of a training, besides what differs from its recipe.
TOLD = ("optimizer", "lr", "weight_decay", "batch_size", "accumulate", "amp", "ema")


def describe_training(path: Path) -> str:
    """How a checkpoint was trained, as one line; "unknown" of weights that came from elsewhere.

    Raises:
        CheckpointError: The file is not ours.
    """
    content = read_checkpoint(path)
    imported = (content["versions"] or {}).get("imported")
    if imported:
        return f"unknown: imported from {imported}"
    config = config_from_dict(content["config"], source=str(path))
    train = config.to_dict()["train"]
    values = [f"{key} {train[key]}" for key in TOLD if train[key] is not None]
    if content["world_size"]:
        values.append(f"{content['world_size']} processes")
    parts = [
        f"{Path(config.output or 'unknown').name}: {content['epoch']} of {train['epochs']} epochs",
        f"recipe {recipe_card(config)}",
        ", ".join([*values, f"seed {config.seed}"]),
        f"began with weights {config.model.weights or 'none'}",
    ]
    return "; ".join(parts)


def checkpoint_of(
    model: SimpleBaseline,
    config: Config,
    skeleton: Skeleton,
    versions: dict[str, str],
    card: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What `save_checkpoint` takes, of a network that was not trained here.

    There is no state of a training in it, so nothing resumes from it.

    Args:
        model: Its weights, colour order, mean and std are stored.
        config: Of the network; the rest decides how it is tested.
        skeleton: Of its keypoints.
        versions: What wrote it, and where the weights came from.
        card: Where they came from (model_card.py).
    """
    return dict.fromkeys(KEYS) | {
        "format": FORMAT,
        "versions": versions,
        "model": dict(model.state_dict()),
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
        **model.colors(),
        "card": card,
    }
