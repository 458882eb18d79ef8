"""Encoders of timm: any of its backbones that returns feature maps, by the name `timm/<name>`.

Source: Wightman, timm (pytorch-image-models), `timm.create_model(name, features_only=True)`. timm
declares channels, stride and axis order of each map; one run on zeros checks that. Letters: B
batch, C channels, H W the input's height and width, r the encoder's stride.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from keypoint.errors import ConfigError
from keypoint.models.names import TIMM, TIMM_STRIDES
from keypoint.models.network import check_input_size

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install keypoint[timm]"
DEFAULT_STRIDE = 32  # a config's default, which means the encoder's own stride


@dataclass(frozen=True)
class TimmEncoder:
    """A backbone and its last map.

    Attributes:
        module: Images (B, 3, H, W) to a list of one map.
        channels: C of the map.
        stride: r, input pixels per pixel of the map.
        channels_last: Whether the map is B H/r W/r C instead of B C H/r W/r.
        sized: Whether the module was built for one input size and supports no other.
    """

    module: nn.Module
    channels: int
    stride: int
    channels_last: bool
    sized: bool


def timm_encoder(
    encoder: str,
    input_size: tuple[int, int],
    stride: int = DEFAULT_STRIDE,
    *,
    pretrained: bool = False,
) -> TimmEncoder:
    """Build a backbone of timm as an encoder, and check its last map by running it once.

    Parameters that the last map does not depend on, such as the upper branches at the end of an
    HRNet, are kept under their names, and do not require gradients.

    Args:
        encoder: `timm/<name>`, with or without the tag of its weights (`timm/<name>.<tag>`).
        input_size: (height, width), multiples of the encoder's stride. Transformers are built for
            this size.
        stride: 32 for the encoder's own, even if that differs; another number is passed to timm as
            `output_stride`, which many convolutional networks support.
        pretrained: Load timm's weights, downloaded at the first use.

    Raises:
        ConfigError: timm is not installed, does not know the name, or cannot build it with feature
            maps of this stride for this input size.
    """
    timm, about = import_timm(), timm_model(encoder)
    options: dict[str, Any] = {"output_stride": stride} if stride != DEFAULT_STRIDE else {}
    if about.fixed_input_size:
        options["img_size"] = tuple(input_size)
    try:
        module, taken = _build(timm, encoder.removeprefix(TIMM), options, pretrained)
    except Exception as error:  # timm raises RuntimeError, AssertionError, ValueError ..
        if pretrained:
            raise
        raise ConfigError(
            f"encoder={encoder}: timm does not build it with feature maps for "
            f"input_size={list(input_size)} ({_text(error)}); choose another input size or model, "
            "one that timm.create_model(..., features_only=True) takes"
        ) from error
    info = module.feature_info
    channels, own_stride = info.channels()[-1], info.reduction()[-1]
    if stride not in (DEFAULT_STRIDE, own_stride):
        raise ConfigError(
            f"encoder_stride={stride} is not possible with {encoder}, whose stride is "
            f"{own_stride}; remove encoder_stride"
        )
    if own_stride not in TIMM_STRIDES:
        raise ConfigError(
            f"encoder={encoder}: its map has stride {own_stride}; deconvolutions can reach a "
            f"quarter of the input from a stride of {', '.join(map(str, TIMM_STRIDES))}"
        )
    check_input_size(input_size, own_stride)
    channels_last = _order_of_axes(module) == "NHWC"
    features = _run(module, encoder, input_size)
    shape = tuple(features.shape)
    if channels_last and len(shape) == 4:
        shape = (shape[0], shape[3], shape[1], shape[2])
    wanted = (1, channels, input_size[0] // own_stride, input_size[1] // own_stride)
    if shape != wanted:
        raise ConfigError(
            f"encoder={encoder}: its last map for an input of {list(input_size)} is {shape}, not "
            f"{wanted}, the input's size over its stride; choose another model"
        )
    used = _parameters_behind(features)
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in used)
    return TimmEncoder(module, channels, own_stride, channels_last, "img_size" in taken)


def import_timm() -> ModuleType:
    """The library.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(f"encoders of timm need the package timm ({error}); {INSTALL}") from None
    module: ModuleType = timm
    return module


def timm_model(encoder: str) -> Any:
    """Return timm's `PretrainedCfg` of a model and its weights.

    Raises:
        ConfigError: timm is not installed, or has no such model or tag.
    """
    timm = import_timm()
    name = encoder.removeprefix(TIMM)
    architecture, _, tag = name.partition(".")
    models = timm.list_models()
    if architecture not in models:
        close = difflib.get_close_matches(architecture, models, n=3)
        hint = f"did you mean {' or '.join(TIMM + near for near in close)}?" if close else ""
        raise ConfigError(
            f"encoder={encoder!r}: timm {timm.__version__} has no model {architecture!r}; "
            f"{hint or 'timm.list_models() has the names'}"
        )
    try:
        known = timm.get_pretrained_cfg(name)
    except RuntimeError:
        known = None
    if known is None and tag:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise ConfigError(
            f"encoder={encoder!r}: timm {timm.__version__} has no weights {tag!r} of "
            f"{architecture}; leave the tag out{', or give one of ' if tags else ''}"
            f"{', '.join(tags)}"
        )
    return known or timm.models.PretrainedCfg()  # of a model that a user registered


def _build(
    timm: ModuleType, name: str, options: dict[str, Any], pretrained: bool
) -> tuple[Any, set[str]]:
    """Build the backbone without options that its constructor lacks; return the others."""
    given = dict(options)
    while True:
        try:
            module = timm.create_model(
                name, pretrained=pretrained, features_only=True, out_indices=(-1,), **given
            )
        except (TypeError, AssertionError) as error:
            # HRNet raises only an AssertionError if a stride is given.
            unknown = {key for key in given if key in str(error)}
            if not unknown and isinstance(error, AssertionError):
                unknown = given.keys() & {"output_stride"}
            if not unknown:
                raise
            given = {key: value for key, value in given.items() if key not in unknown}
        else:
            return module, set(given)


def _order_of_axes(module: nn.Module) -> str:
    """The axis order that timm declares; NCHW if it declares none."""
    declared = getattr(module, "output_fmt", "NCHW")
    return str(getattr(declared, "value", declared))


def _run(module: nn.Module, encoder: str, input_size: tuple[int, int]) -> Tensor:
    """The last map of an image of zeros, with its graph."""
    module.eval()
    try:
        with torch.enable_grad():
            features: Tensor = module(torch.zeros(1, 3, *input_size))[-1]
    except Exception as error:  # whatever a backbone raises
        raise ConfigError(
            f"encoder={encoder}: fails on images of (1, 3, {input_size[0]}, {input_size[1]}) "
            f"({_text(error)}); choose another input size or model"
        ) from error
    finally:
        module.train()
    return features


def _parameters_behind(output: Tensor) -> set[int]:
    """The ids of the parameters that a tensor was computed from, found in its graph."""
    found: set[int] = set()
    seen: set[Any] = set()
    waiting: list[Any] = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting.extend(before for before, _ in node.next_functions)
    return found


def _text(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")[:200]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
