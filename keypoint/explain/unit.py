"""One unit of a network: a submodule's output at one position, its gradient, a block's input.

A hook ends the forward pass at the submodule, so that no later layer overwrites its output.
Letters: B batch, C channels, T frames, H W size of the network's input; n
h w of a map inside.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class _Reached(Exception):  # noqa: N818 (not an error; it ends the forward pass)
    """The submodule has been called."""


def map_at(net: nn.Module, inputs: Tensor, site: str) -> Tensor:
    """Return the output of a submodule for one input, as a map.

    Args:
        net: Any module, called as `net(inputs)`; in eval mode while it runs.
        inputs: (1, C, H, W), or a clip (1, C, T, H, W).
        site: Name of the submodule, as in `net.named_modules()`; "" for the network. If it is
            called several times, the first call is used.

    Returns:
        (C, h, w); for a clip (C, n, h, w), also if the network folds frames into the batch.

    Raises:
        ValueError: The submodule does not exist or is not called, or its output is not one map.
    """
    if inputs.ndim not in (4, 5) or len(inputs) != 1:
        raise ValueError(f"inputs are {tuple(inputs.shape)}; give one, 1 C H W or 1 C T H W")

    def take(output: Any) -> Tensor:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if isinstance(output, Tensor) and output.ndim == inputs.ndim and len(output) == 1:
            return output[0]
        if isinstance(output, Tensor) and output.ndim == 4 and inputs.ndim == 5:
            return output.transpose(0, 1)  # n C h w: folded frames
        raise ValueError(
            f"{site or 'the network'} gives {shape}; name a submodule that gives a map 1 C H W, "
            "of a clip also 1 C T H W or T C H W"
        )

    taken: list[Tensor] = []

    def hook(_: nn.Module, __: object, output: Any) -> None:
        taken.append(take(output))
        raise _Reached

    _run_to(net, inputs, site, submodule(net, site).register_forward_hook(hook))
    return taken[0]


def input_of(net: nn.Module, inputs: Tensor, block: str) -> Tensor:
    """Return the input of a submodule, such as a block, for one input of the network.

    Args:
        net: Any module, called as `net(inputs)`; in eval mode while it runs.
        inputs: (1, C, H, W), or a clip (1, C, T, H, W).
        block: Name of the submodule. If it is called several times, the first call is used.

    Returns:
        Its first argument, without gradient.

    Raises:
        ValueError: The submodule does not exist or is not called.
    """
    taken: list[Tensor] = []

    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        taken.append(arguments[0])
        raise _Reached

    with torch.no_grad():
        _run_to(net, inputs, block, submodule(net, block).register_forward_pre_hook(hook))
    return taken[0]


def _run_to(net: nn.Module, inputs: Tensor, site: str, hook: RemovableHandle) -> None:
    """Run a network until a hook ends the pass, and remove the hook."""
    try:
        with in_eval_mode(net):
            net(inputs)
    except _Reached:
        return
    finally:
        hook.remove()
    raise ValueError(f"{site!r} is not called for this input in eval mode; name another submodule")


def submodule(net: nn.Module, site: str) -> nn.Module:
    """Return the submodule of this name.

    Raises:
        ValueError: There is none; the message suggests similar names.
    """
    modules: dict[str, nn.Module] = dict(net.named_modules(remove_duplicate=False))
    if site not in modules:
        near = difflib.get_close_matches(site, modules, n=3)
        hint = f"did you mean one of {near}?" if near else f"it has {list(net._modules)}"
        raise ValueError(f"{type(net).__name__} has no submodule {site!r}; {hint}")
    return modules[site]


@contextmanager
def in_eval_mode(net: nn.Module) -> Iterator[None]:
    """Context in eval mode; each module's mode is restored afterwards."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def values_at(x: Tensor, at: Sequence[int]) -> Tensor:
    """Return all channels of a map C ... at a position, (C,)."""
    for index in at:
        x = x[:, index]
    return x


def centre_of(size: Sequence[int]) -> tuple[int, ...]:
    """Return the position in the middle of a map; for even sizes, the later of the two."""
    return tuple(length // 2 for length in size)


def check_position(at: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """Check that a position consists of whole numbers within a map of this size.

    Raises:
        ValueError: It has another number of axes, or is outside the map.
    """
    inside = len(at) == len(size) and all(
        0 <= i < length for i, length in zip(at, size, strict=True)
    )
    if not inside:
        names = ("frame", "row", "column")[-len(size) :]
        raise ValueError(
            f"at={tuple(at)} must be ({', '.join(names)}) of a map of {tuple(size)}, from 0"
        )
    return tuple(int(i) for i in at)
