"""Sampled waves: the fixed bases that the transforms and the change of resolution are made of.

Source: SRL (Chi et al., 2019), section 3.2 and equation 4; DCT-II: Ahmed, Natarajan, Rao (1974).

Phases are reduced as integers before they become floating point, so that an entry is exact to the
last bits at every size. The tables are small and made where they are used, in the dtype and on the
device of the map they meet: a buffer would be rounded by `.half()` and sent around by DDP.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fourier_waves(positions: int, frequencies: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Give cos and sin of 2 pi p f / positions, each (positions, frequencies), not scaled."""
    position = torch.arange(positions, device=like.device)
    frequency = torch.arange(frequencies, device=like.device)
    turns = (position[:, None] * frequency) % positions
    phase = turns.to(like.dtype) * (2 * math.pi / positions)
    return phase.cos(), phase.sin()


def dct_matrix(size: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II, (frequency, position): `dct_matrix(n) @ v` are v's coefficients."""
    frequency = torch.arange(size, device=like.device)
    odd = 2 * frequency + 1
    turns = (frequency[:, None] * odd) % (4 * size)
    waves = (turns.to(like.dtype) * (math.pi / (2 * size))).cos()
    squared_norm = (1 + (frequency > 0)).to(like.dtype) / size
    return squared_norm.sqrt()[:, None] * waves
