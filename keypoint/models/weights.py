"""Fill a network from ImageNet weights or from a file, by name, strictly; say what was loaded.

Names: SimpleBaseline's pose_resnet (our own too) and torchvision's ResNet. A file may be a bare
state dict, carry the `module.` prefix of DataParallel, or hold the state dict under `state_dict`
or `model`, as training checkpoints do.
"""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from keypoint.errors import CheckpointError
from keypoint.models.encoder import IMAGENET_WEIGHTS, STAGES

logger = logging.getLogger(__name__)

CLASSIFIER = ("fc.weight", "fc.bias")  # of an ImageNet file; a pose network has none
ENCODER_PREFIXES = tuple(f"{stage}." for stage in STAGES)


def load_imagenet_encoder(model: nn.Module, encoder: str) -> None:
    """Fill the encoder with torchvision's ImageNet weights, downloaded at the first use.

    Raises:
        CheckpointError: The download failed; the text says where a copy can be put by hand.
    """
    weights = torchvision.models.get_model_weights(encoder)[IMAGENET_WEIGHTS]
    cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{weights.url}: ImageNet weights of {encoder} could not be downloaded ({error}); "
            f"put the file at {cache}, give model.weights=FILE, "
            "or train from scratch with model.weights=none"
        ) from None
    load_state(model, state, source=str(cache))


def load_weights_file(model: nn.Module, path: Path) -> None:
    """Fill the network, or its encoder, from a file.

    Raises:
        CheckpointError: The file cannot be read without running code, or its tensors do not fit.
    """
    load_state(model, read_state_dict(path), source=str(path))


def read_file(path: Path) -> Any:
    """What a torch file holds, tensors and plain types only; no code of the file is ever run.

    Raises:
        CheckpointError: Missing, not a torch file, damaged (a zip record whose checksum is wrong),
            or holding objects.
    """
    if not path.is_file():
        hint = "; it is a folder" if path.is_dir() else ""
        raise CheckpointError(f"{path}: no such file{hint}")
    if path.stat().st_size == 0:
        raise CheckpointError(
            f"{path}: the file is empty; it was not saved completely, use another copy"
        )
    try:
        if zipfile.is_zipfile(path):  # torch itself reads past a flipped bit
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged:
                raise CheckpointError(
                    f"{path}: corrupt, wrong checksum (CRC) of {damaged}; use another copy"
                )
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: not a file of tensors, or unsafe: it holds objects that only running its "
            f"code could build ({first}); save the state dict alone and load that"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path}: truncated, corrupt or no torch file ({first}); use another copy"
        ) from None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, out of its wrapping, without a `module.` prefix."""
    content = read_file(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    entries = list(content.values()) if isinstance(content, Mapping) else []
    if not entries or not all(torch.is_tensor(entry) for entry in entries):
        raise CheckpointError(
            f"{path}: holds no state dict (a mapping from names to tensors); nothing to load"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def load_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into the network: all of it, or the encoder if there is nothing else.

    Args:
        model: The network; filled in place.
        state: Names of SimpleBaseline or torchvision; the ImageNet classifier `fc` is left out.
        source: Named in log and errors.

    Raises:
        CheckpointError: Names or shapes that do not fit, or values that are not finite. Nothing is
            loaded then.
    """
    given = {name: tensor for name, tensor in state.items() if name not in CLASSIFIER}
    wanted = model.state_dict()
    encoder_only = all(name.startswith(ENCODER_PREFIXES) for name in given)
    if encoder_only:
        wanted = {k: v for k, v in wanted.items() if k.startswith(ENCODER_PREFIXES)}
    # Files from before torch 0.4.1 lack this counter, and nothing reads it while momentum is set.
    missing = [
        name for name in wanted if name not in given and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} {tuple(given[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    not_finite = [name for name, tensor in given.items() if not torch.isfinite(tensor).all()]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:4])}{' ..' if len(names) > 4 else ''}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
            ("with nan or inf (not finite)", not_finite),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{source}: does not match this network; {'; '.join(faults)}. "
            "Use the encoder, blocks, input size and keypoints that the file was made with"
        )
    model.load_state_dict(given, strict=False)
    logger.info(
        "%s: %d tensors loaded%s", source, len(given), " into the encoder" if encoder_only else ""
    )
