"""A user's network, built by a function that a config or a checkpoint names: `package.module:name`.

The function takes `num_keypoints` and `input_size` by name, and the config's `model.options`; it
returns a module that maps normalised images (B, 3, H, W) to heatmaps.

    def build(num_keypoints, input_size, width=64): return MyNetwork(...)

A checkpoint contains the name, not the code. Loading it imports that module, so the code must be
installed on this machine, outside Python's own library, and the function must name both parameters:
a file cannot call any other function.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.errors import ConfigError
from keypoint.models.names import OWN_NETWORK
from keypoint.models.pose_network import PoseNetwork
from keypoint.pose.codec import Codec

TAKEN = ("num_keypoints", "input_size")


class OwnNetwork(PoseNetwork):
    """A module that returns heatmaps, as a `PoseNetwork`; its parameters are under `network.`.

    The heatmap's stride is that of the module's output for the input size.

    Args:
        network: Normalised images (B, 3, H, W) to heatmaps (B, K, H/s, W/s).
        source: Its name, for errors.
        input_size: (height, width).
        num_keypoints: K.
        codec, heatmap_sigma: Of the heatmaps, see `PoseNetwork`.

    Raises:
        ConfigError: The module fails on images of this size, or its output is not K heatmaps.
    """

    HEAD = ""
    WITHIN = "network."

    def __init__(
        self,
        network: nn.Module,
        source: str,
        *,
        input_size: tuple[int, int],
        num_keypoints: int,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        stride = heatmap_stride(network, source, input_size, num_keypoints)
        super().__init__(
            input_size=input_size,
            num_keypoints=num_keypoints,
            multiple=stride,
            stride=stride,
            codec=codec,
            heatmap_sigma=heatmap_sigma,
        )
        self.network = network
        self.blocks = nn.ModuleDict()

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/s, W/s)."""
        heatmaps: Tensor = self.network(images)
        return heatmaps

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The children of the user's module."""
        yield from self.network.named_children()


def build_own_network(
    name: str,
    options: Mapping[str, Any],
    *,
    input_size: tuple[int, int],
    num_keypoints: int,
    codec: str = "heatmap",
    heatmap_sigma: float | None = None,
) -> PoseNetwork:
    """Build the network of a function; a `PoseNetwork` keeps its own colors, stride and sites.

    Args:
        name: `package.module:function`.
        options: Further arguments of the function.
        input_size: (height, width).
        num_keypoints: K.
        codec: Of the heatmaps, see `PoseNetwork`.
        heatmap_sigma: Of the heatmaps, see `PoseNetwork`.

    Raises:
        ConfigError: There is no such function, it does not take these keywords, fails, or its
            result does not fit.
    """
    build = find_function(name)
    keywords: dict[str, Any] = {"num_keypoints": num_keypoints, "input_size": input_size}
    known = inspect.signature(build).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    unknown = [key for key in options if key not in known and not takes_any]
    if unknown or set(options) & set(TAKEN):
        taken = [key for key in known if key not in TAKEN]
        wrong = unknown or sorted(set(options) & set(TAKEN))
        raise ConfigError(
            f"model.options: {name} has no option {wrong[0]!r}; it takes "
            f"{', '.join(taken) or 'none'}"
        )
    try:
        network = build(**keywords, **options)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(
            f"model.network={name}: fails with num_keypoints={num_keypoints}, "
            f"input_size={list(input_size)}, options {dict(options)} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"model.network={name}: returns {type(network).__name__}; return a torch.nn.Module "
            "that maps images (B, 3, H, W) to heatmaps (B, K, H/s, W/s)"
        )
    if isinstance(network, PoseNetwork):
        made = {"num_keypoints": network.num_keypoints, "input_size": network.input_size}
        if made != keywords:
            raise ConfigError(
                f"model.network={name}: was called with {keywords} and returned {made}"
            )
        network.codec = Codec(network.input_size, codec, heatmap_sigma, network.codec.stride)
        return network
    return OwnNetwork(
        network,
        name,
        input_size=input_size,
        num_keypoints=num_keypoints,
        codec=codec,
        heatmap_sigma=heatmap_sigma,
    )


def find_function(name: str) -> Callable[..., Any]:
    """The function or class called `package.module:function`.

    Raises:
        ConfigError: The name has another form, the module or the function does not exist or is
            part of Python, or the function does not name `num_keypoints` and `input_size`.
    """
    if not OWN_NETWORK.fullmatch(name):
        raise ConfigError(f"model.network={name!r}: write package.module:function")
    module_name, _, attribute = name.partition(":")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise ConfigError(f"model.network={name}: {module_name} is part of Python, not a network")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # including the module's own errors
        raise ConfigError(
            f"model.network={name}: {module_name} cannot be imported "
            f"({type(error).__name__}: {_first_line(error)}); the network's code must be installed "
            "on this machine, or its folder be on PYTHONPATH"
        ) from error
    build = getattr(module, attribute, None)
    if not callable(build):
        raise ConfigError(f"model.network={name}: {module_name} has no function {attribute!r}")
    try:
        parameters = inspect.signature(build).parameters
    except (TypeError, ValueError):
        parameters = {}  # type: ignore[assignment]
    lacking = [key for key in TAKEN if key not in parameters]
    if lacking:
        raise ConfigError(
            f"model.network={name}: does not take {' and '.join(lacking)}; write it as "
            f"def {attribute}(num_keypoints, input_size, ...)"
        )
    found: Callable[..., Any] = build
    return found


def heatmap_stride(
    network: nn.Module, source: str, input_size: tuple[int, int], num_keypoints: int
) -> int:
    """Find input pixels per output pixel by running the module on an image of zeros.

    Raises:
        ConfigError: It fails, or its output is not (1, K, H/s, W/s) with an integer s.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            output = network(torch.zeros(1, 3, *input_size))
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(
            f"model.network={source}: fails on images of (1, 3, {input_size[0]}, {input_size[1]}) "
            f"({type(error).__name__}: {_first_line(error)}); does it take this model.input_size?"
        ) from error
    finally:
        network.train(was_training)
    wanted = f"return heatmaps (1, {num_keypoints}, H/s, W/s) of input {list(input_size)}"
    if not isinstance(output, Tensor):
        raise ConfigError(
            f"model.network={source}: returns {type(output).__name__}; {wanted}, one tensor"
        )
    shape = tuple(output.shape)
    if len(shape) != 4 or shape[1] != num_keypoints or not shape[2] or not shape[3]:
        raise ConfigError(f"model.network={source}: returns {shape}; {wanted}")
    stride = input_size[0] // shape[2]
    if (shape[2] * stride, shape[3] * stride) != tuple(input_size):
        raise ConfigError(
            f"model.network={source}: returns {shape}, not the input's size over one integer s in "
            f"both directions; {wanted}"
        )
    return stride


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:200]
