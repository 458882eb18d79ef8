"""The SRL paper's count, layer by layer and block by block; `__init__.py` has the rule.

A block is counted by its modules, not by the operations of its forward pass, which may join
convolutions, fold norms or choose another form of a transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from keypoint.blocks.cgnl import CGNL
from keypoint.blocks.double_attention import DoubleAttention
from keypoint.blocks.non_local import NonLocal
from keypoint.blocks.pnl import PNL
from keypoint.blocks.rcca import RCCA
from keypoint.blocks.spectral.srl import SRL
from keypoint.blocks.spectral.srl_video import SRLVideo

LAYERS = (_ConvNd, _BatchNorm, nn.Linear)  # all layers that the paper counts


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass of one image or clip."""

    parameters: int
    multiply_adds: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.multiply_adds + other.multiply_adds)


def counted_modules(module: nn.Module) -> list[nn.Module]:
    """Modules for `paper_cost`: blocks, and layers outside of them; each once."""
    if type(module) in BLOCKS or isinstance(module, LAYERS):
        return [module]
    found = [part for child in module.children() for part in counted_modules(child)]
    return list(dict.fromkeys(found))


def paper_cost(module: nn.Module, x: Tensor, output: Tensor) -> Cost:
    """Cost of a block or layer that computed `output` from `x`."""
    if type(module) in BLOCKS:
        return BLOCKS[type(module)](module, x.shape[2:])
    multiply_adds = 0
    if isinstance(module, _ConvNd):
        multiply_adds = module.weight.numel() * math.prod(output.shape[2:])
    elif isinstance(module, nn.Linear):
        multiply_adds = module.weight.numel() * math.prod(output.shape[1:-1])
    return Cost(layer_parameters(module), multiply_adds)


def layer_parameters(module: nn.Module) -> int:
    """Parameters of all its Conv, BatchNorm and Linear modules."""
    layers = (part for part in module.modules() if isinstance(part, LAYERS))
    return sum(p.numel() for part in layers for p in part.parameters(recurse=False))


def convolutions(module: nn.Module, positions: int) -> int:
    """Multiply-adds of all its convolutions at a number of positions."""
    convs = (part for part in module.modules() if isinstance(part, _ConvNd))
    return positions * sum(conv.weight.numel() for conv in convs)


def transforms(block: SRL | SRLVideo) -> float:
    """Multiply-adds of f and its inverse on one frame, at the block's size."""
    height, width = block.transform.size
    positions = block.channels * height * width
    if block.transform.parts == 2:
        return 2 * positions * math.log2(height * width)
    return 2 * positions * (height + width)  # P x Q


def srl(block: SRL, size: Sequence[int]) -> Cost:
    """The convolutions act on the spectrum, for Fourier on its half."""
    spectrum = math.prod(block.transform.spectral_size)
    multiply_adds = convolutions(block.phi, spectrum) + transforms(block)
    return Cost(layer_parameters(block), round(multiply_adds))


def srl_video(block: SRLVideo, size: Sequence[int]) -> Cost:
    """conv_t acts on each spectral map and position, and P and Q count."""
    spectrum = math.prod(block.transform.spectral_size)
    multiply_adds = block.frames * transforms(block)
    if block.channel is not None:
        multiply_adds += convolutions(block.channel, block.frames * spectrum)
    if block.conv_t is not None:
        maps = block.transform.parts * block.channels
        multiply_adds += convolutions(block.conv_t, maps * spectrum)
    raw = sum(p.numel() for p in block.transform.parameters())
    return Cost(layer_parameters(block) + raw, round(multiply_adds))


def nl(block: NonLocal, size: Sequence[int]) -> Cost:
    """N M pairs, once for their affinity and once for the sum over them."""
    positions = math.prod(size)
    seen = math.prod(_subsampled(block, size))
    convolved = seen if block.subsample_before else positions
    inner = block.g.out_channels
    compared = block.channels if block.pairwise == "gaussian" else inner
    if block.pairwise == "concatenation":
        compared = 2 * inner  # a Linear on each pair
    multiply_adds = (
        (convolutions(block.theta, 1) + convolutions(block.out, 1)) * positions
        + (convolutions(block.phi, 1) + convolutions(block.g, 1)) * convolved
        + positions * seen * (compared + inner)
    )
    return Cost(layer_parameters(block), multiply_adds)


def _subsampled(block: NonLocal, size: Sequence[int]) -> list[int]:
    if isinstance(block.pool, nn.Identity):
        return list(size)
    window = block.pool.kernel_size
    assert isinstance(window, tuple)
    return [-(-side // step) for side, step in zip(size, window, strict=True)]  # rounded up


def pnl(block: PNL, size: Sequence[int]) -> Cost:
    """The operation of each scale, also if it is shared, and the attention over scales."""
    *time, height, width = size
    total = Cost(0, 0)
    for k in range(block.scales):
        operation = block.non_local[k % len(block.non_local)]
        assert isinstance(operation, NonLocal)
        total += nl(operation, (*time, max(height >> k, 1), max(width >> k, 1)))
    if block.query is None:
        return total
    linears = nn.ModuleList((block.query, block.key))
    scales, width_of_query = block.scales, block.query.out_features
    multiply_adds = (
        scales * (block.query.weight.numel() + block.key.weight.numel())
        + scales**2 * width_of_query
        + scales * block.channels * math.prod(size)
    )
    return total + Cost(layer_parameters(linears), multiply_adds)


def a2(block: DoubleAttention, size: Sequence[int]) -> Cost:
    """Gather and distribute: m n a position each."""
    positions = math.prod(size)
    inner, maps, _ = block.widths
    multiply_adds = convolutions(block, positions) + 2 * inner * maps * positions
    return Cost(layer_parameters(block), multiply_adds)


def cgnl(block: CGNL, size: Sequence[int]) -> Cost:
    """<phi^p, g> and its product with theta^p, for each order p (for "dot" there is one)."""
    positions = math.prod(size)
    terms = block.order + 1 if block.kernel == "rbf" else 1
    inner = block.out.in_channels
    multiply_adds = convolutions(block, positions) + 2 * terms * inner * positions
    return Cost(layer_parameters(block), multiply_adds)


def rcca(block: RCCA, size: Sequence[int]) -> Cost:
    """The attention's convolution is called R times; a position attends to H + W others."""
    height, width = size
    positions = height * width
    again = block.recurrence - 1
    key, _, value = block.attention.widths
    multiply_adds = (
        convolutions(block, positions)
        + again * convolutions(block.attention, positions)
        + block.recurrence * (key + value) * positions * (height + width)
    )
    return Cost(layer_parameters(block) + again * layer_parameters(block.attention), multiply_adds)


BLOCKS: dict[type[nn.Module], Callable[[Any, Sequence[int]], Cost]] = {
    SRL: srl,
    SRLVideo: srl_video,
    NonLocal: nl,
    PNL: pnl,
    DoubleAttention: a2,
    CGNL: cgnl,
    RCCA: rcca,
}
