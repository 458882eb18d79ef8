"""The two operations on spectral maps: channels mixed alike at all frequencies, and a ReLU.

Source: SRL (Chi et al., 2019), section 3.3, equation 6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer is what its class says, and no hook or parametrization changes its call."""
    return type(layer) is kind and not layer._forward_hooks and not layer._forward_pre_hooks


def mix(z: Tensor, conv: nn.Module) -> Tensor:
    """A grouped 1x1 convolution of B M H' W'.

    Of planar maps as one matrix product per group: PyTorch's own grouped convolution takes 1.1 to 6
    times as long on a CPU, most of all from few channels to many.
    """
    if not z.is_contiguous() or not is_plain(conv, nn.Conv2d):
        mixed: Tensor = conv(z)
        return mixed
    assert isinstance(conv, nn.Conv2d)
    return mix_groups(z, grouped(conv), conv.bias)


def grouped(conv: nn.Conv2d, scale: Tensor | None = None) -> Tensor:
    """A 1x1 convolution's weight, each output scaled, as one matrix per group: G M'/G M/G."""
    weight = conv.weight.flatten(1)
    if scale is not None:
        weight = weight * scale[:, None]
    return torch.unflatten(weight, 0, (conv.groups, -1))


def mix_groups(z: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """B M ... -> B M' ... with one matrix per group, plus the bias (M')."""
    batch, groups = z.shape[0], len(weight)  # len() would fix the batch in an exported graph
    maps = z.flatten(2).unflatten(1, (groups, -1)).flatten(0, 1)  # BG M/G N
    weight = weight.expand(batch, *weight.shape).flatten(0, 1)  # BG M'/G M/G
    if bias is None:
        mixed = torch.bmm(weight, maps)
    else:
        mixed = torch.baddbmm(
            bias.view(1, groups, -1, 1).expand(batch, -1, -1, -1).flatten(0, 1), weight, maps
        )
    return mixed.view(batch, groups * weight.shape[1], *z.shape[2:])


class SpectralReLU(nn.Module):
    """max(w * z + b, 0) with one w and one b per frequency, shared by all channels (equation 6).

    Args:
        spectral_size: (rows, columns) of frequencies: the shape of w and b.
        transposed: the maps lie with columns before rows.
    """

    def __init__(self, spectral_size: tuple[int, int], *, transposed: bool = False) -> None:
        super().__init__()
        self.transposed = transposed
        self.weight = nn.Parameter(torch.ones(spectral_size))
        self.bias = nn.Parameter(torch.zeros(spectral_size))

    def forward(self, z: Tensor) -> Tensor:
        """... H' W' (transposed: ... W' H') -> the same shape."""
        if self.transposed:
            weight, bias = self.weight.mT.contiguous(), self.bias.mT.contiguous()
        else:
            weight, bias = self.weight, self.bias
        return F.relu(torch.addcmul(bias, weight, z))
