"""The ReLU of spectral maps.

Source: SRL (Chi et al., 2019), section 3.3, equation 6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralReLU(nn.Module):
    """max(w * z + b, 0) with one w and one b per frequency, shared by all channels (equation 6).

    Args:
        spectral_size: (rows, columns) of frequencies: the shape of w and b.
        transposed: the maps have columns before rows.
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
