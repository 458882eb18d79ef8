"""Run a network on an example and see what comes out of each of its modules, without a trace.

`insert` learns channels and sizes of maps here, and whether the network is still the same function.

Letters: B batch, C channels, H W size, N tokens.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook


class Map(NamedTuple):
    """What is kept of a map B C H W."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


# What came out of each call of each module: a map, or in words what is none.
Calls = Mapping[nn.Module, list[Map | str]]


def run(net: nn.Module, example: Any) -> tuple[Any, Calls]:
    """The output for the example, and what came out of every module; the network stays as it is."""
    calls: dict[nn.Module, list[Map | str]] = defaultdict(list)

    def note(module: nn.Module, _: object, output: object) -> None:
        calls[module].append(described(output))

    args = copy.deepcopy(example)  # a network may write into it
    with at_rest(net), register_module_forward_hook(note):
        output = net(*args) if isinstance(args, tuple) else net(args)
    return output, dict(calls)


@contextmanager
def at_rest(net: nn.Module) -> Iterator[None]:
    """Inside: eval mode, no gradients, the same random numbers each time. Afterwards: as before."""
    modes = {module: module.training for module in net.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    gpus = {p.device.index for p in net.parameters() if p.is_cuda}
    eager = torch.compiler.set_stance("force_eager")  # compiled code may round differently
    with eager, torch.no_grad(), torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(0)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(0)
        try:
            for module in modes:  # not net.eval(), which may be overridden and do more
                module.training = False
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for buffer, value in buffers:
                if not same(buffer, value):  # observers and counters work in eval mode too
                    buffer.copy_(value)


def described(output: object) -> Map | str:
    """A map's shape, dtype and device, or in words what is no map."""
    if isinstance(output, Tensor):
        shape = tuple(output.shape)
        if output.ndim == 4 and output.is_floating_point():
            return Map(shape, output.dtype, output.device)
        kind = "tokens B N C," if output.ndim == 3 else "a tensor"
        return f"{kind} {shape} {output.dtype}"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"{kind} with the keys {list(output)}"
    if isinstance(output, list | tuple):
        return f"{kind} of {len(output)}"
    return kind


def same(a: object, b: object) -> bool:
    """Whether two outputs are equal to the bit, NaN too; on meta only shape and dtype can say."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
            return False
        return a.is_meta or bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b)
