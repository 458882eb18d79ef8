"""Run a network on an example and record the outputs of its modules, without a trace.

Letters: B batch, N tokens, C channels, T frames, H W size.
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
    """Shape, dtype and device of a map B C H W or B H W C, tokens B N C, or a clip B C T H W."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


# The output of each call of each module: a map, or a description of something else.
Calls = Mapping[nn.Module, list[Map | str]]


def run(net: nn.Module, example: Any) -> tuple[Any, Calls]:
    """Return the network's output for the example, and the calls of all its modules."""
    calls: dict[nn.Module, list[Map | str]] = defaultdict(list)

    def record(module: nn.Module, _: object, output: object) -> None:
        calls[module].append(describe(output))

    args = copy.deepcopy(example)  # a network may write into it
    with at_rest(net), register_module_forward_hook(record):
        output = net(*args) if isinstance(args, tuple) else net(args)
    return output, dict(calls)


@contextmanager
def at_rest(net: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients and the same random numbers each time; restores everything."""
    modes = {module: module.training for module in net.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    gpus = {p.device.index for p in net.parameters() if p.is_cuda}
    eager = torch.compiler.set_stance("force_eager")  # compiled code may round differently
    with eager, torch.no_grad(), torch.random.fork_rng(gpus):
        generators = [torch.cuda.default_generators[gpu] for gpu in gpus]
        for generator in [torch.default_generator, *generators]:
            generator.manual_seed(0)
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


def describe(output: object) -> Map | str:
    """Return an output that is a map, or a description of anything else."""
    if isinstance(output, Tensor):
        shape = tuple(output.shape)
        if output.ndim in (3, 4, 5) and output.is_floating_point():
            return Map(shape, output.dtype, output.device)
        return f"a tensor {shape} {output.dtype}"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"{kind} with the keys {list(output)}"
    return f"{kind} of {len(output)}" if isinstance(output, list | tuple) else kind


def same(a: object, b: object) -> bool:
    """Return whether two outputs are bitwise equal, even NaN; meta tensors: shape and dtype."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
            return False
        return a.is_meta or bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b)
