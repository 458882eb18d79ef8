"""Weights of timm's encoders: downloaded by timm, or from a file with timm's names.

A file of timm contains the whole classifier by the names of the plain model (`stages.0.blocks..`).
With feature maps, timm joins the first two levels (`stages_0.blocks..`) or adds the prefix
`model.`, and omits everything after the last map.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from keypoint.errors import CheckpointError
from keypoint.models.names import TIMM
from keypoint.models.timm_baseline import TimmBaseline
from keypoint.models.timm_encoder import import_timm, timm_encoder, timm_model
from keypoint.models.weights.formats import Weights, recognise

WITHIN = "encoder."
HUB_FILE = "model.safetensors"
SECONDS = 5.0  # timeout for the Hub's first answer


def pretrained_of_timm(model: TimmBaseline) -> Weights:
    """Return the encoder's weights downloaded by timm, fitted to the input size, by our names.

    Raises:
        CheckpointError: timm has no weights, or they cannot be downloaded; with what to do.
    """
    cfg = timm_model(model.encoder_name)
    if not cfg.has_weights:
        raise CheckpointError(
            f"{model.encoder_name}: timm has no weights for it; train from scratch with "
            "model.weights=none, or give model.weights=FILE"
        )
    if cfg.hf_hub_id:
        _ask_hub(model.encoder_name, cfg)
    try:
        encoder = timm_encoder(
            model.encoder_name, model.input_size, model.encoder_stride, pretrained=True
        )
    except Exception as error:  # of the Hub's client, of timm, of the file
        raise CheckpointError(_not_downloaded(model.encoder_name, cfg, error)) from error
    state = {f"{WITHIN}{key}": tensor for key, tensor in encoder.module.state_dict().items()}
    return Weights("timm", state, "rgb", tuple(cfg.mean), tuple(cfg.std))


def imagenet_of_hrnet(network: str) -> Weights:
    """Return HRNet's ImageNet weights downloaded by timm, without what a pose network lacks.

    Args:
        network: hrnet_w32 or hrnet_w48, timm's names too.

    Raises:
        ConfigError: timm is not installed.
        CheckpointError: They cannot be downloaded; the text says what to do.
    """
    cfg = timm_model(network)
    _ask_hub(network, cfg)
    try:
        module = import_timm().create_model(network, pretrained=True)
    except Exception as error:  # of the Hub's client, of timm, of the file
        raise CheckpointError(_not_downloaded(network, cfg, error)) from error
    weights = recognise(module.state_dict(), network)
    return replace(weights, mean=tuple(cfg.mean), std=tuple(cfg.std))


def from_timm_file(model: TimmBaseline, weights: Weights) -> Weights:
    """Return weights of a file of timm by our names, without what the encoder lacks.

    timm itself adapts tensors to the input size (position embeddings), and renames those of
    original files that it supports. Mean and std are those of the encoder's tag.

    Args:
        model: The network.
        weights: The file's, with its own names.
    """
    if weights.format == "keypoint" or any(name.startswith(WITHIN) for name in weights.state):
        return weights
    timm, cfg = import_timm(), timm_model(model.encoder_name)
    name = model.encoder_name.removeprefix(TIMM)
    options = {"img_size": model.input_size} if model.sized else {}
    plain = timm.create_model(name, pretrained=False, **options)
    state = _fitted(plain, name, weights.state)
    known, children = set(plain.state_dict()), dict(model.encoder.named_children())
    # A block after a submodule gives it a longer name.
    inside = {key.replace(".site.", ".") for key in model.encoder.state_dict()}
    renamed, left_out = {}, []
    for key, tensor in state.items():
        theirs = _with_features(children, key)
        if key in known and theirs not in inside:
            left_out.append(key)
        else:
            renamed[f"{WITHIN}{theirs}"] = tensor
    return replace(
        weights,
        format="timm",
        state=renamed,
        color_order="rgb",
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        left_out=(*weights.left_out, *left_out),
        notes=(f"mean and std as timm has them for {model.encoder_name}",),
    )


def _fitted(plain: nn.Module, name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors after the filter of the model's family, if it has one."""
    timm = import_timm()
    family = sys.modules[timm.models.model_entrypoint(name.partition(".")[0]).__module__]
    convert = getattr(family, "checkpoint_filter_fn", None)
    if convert is None:
        return dict(state)
    try:
        return dict(convert(dict(state), plain))
    except Exception:  # the filter does not know some names; the report will list them
        return dict(state)


def _with_features(children: Mapping[str, Any], name: str) -> str:
    """The name of a plain model's tensor in the model with feature maps."""
    first, _, rest = name.partition(".")
    second, _, rest_of_second = rest.partition(".")
    if first not in children and f"{first}_{second}" in children:
        return f"{first}_{second}.{rest_of_second}"
    if first not in children and list(children) == ["model"]:
        return f"model.{name}"
    return name


def _ask_hub(encoder: str, cfg: Any) -> None:
    """Check within seconds whether the Hub answers: its client tries for half a minute.

    Raises:
        CheckpointError: It does not, and the weights were not downloaded before.
    """
    import huggingface_hub as hub

    repository, _, revision = cfg.hf_hub_id.partition("@")
    options: dict[str, Any] = {"revision": revision or None}
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else [HUB_FILE, "pytorch_model.bin"]
    for name in names:
        if isinstance(hub.try_to_load_from_cache(repository, name, **options), str):
            return
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, names[0], **options), timeout=SECONDS)
    except hub.errors.EntryNotFoundError:
        return  # another file of the repository, which timm knows
    except Exception as error:  # of the client and its network libraries
        raise CheckpointError(_not_downloaded(encoder, cfg, error)) from None


def _not_downloaded(encoder: str, cfg: Any, error: Exception) -> str:
    place = f"https://huggingface.co/{cfg.hf_hub_id}" if cfg.hf_hub_id else cfg.url
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
    return (
        f"{encoder}: timm's weights could not be downloaded ({type(error).__name__}: {reason}); "
        f"fetch {HUB_FILE if cfg.hf_hub_id else 'the file'} of {place} elsewhere and give "
        "model.weights=FILE, or train from scratch with model.weights=none"
    )
