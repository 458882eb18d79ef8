"""The fixed bases that the transforms and the change of resolution are made of.

Source: SRL (Chi et al., 2019), section 3.2 and equation 4; DCT-II: Ahmed, Natarajan, Rao (1974).
All are orthonormal, with one frequency per row.

Phases are reduced as integers before the conversion to floating point, so that entries are exact to
the last bits at every size. Waves and DCT are small, and are computed when needed in the dtype and
on the device of the map: `.half()` would round a buffer, and DDP would broadcast it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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


def walsh_hadamard_matrix(size: int) -> Tensor:
    """Walsh-Hadamard, rows by their number of sign changes; float64, 2^k x 2^k."""
    rows = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    while len(rows) < size:
        sign = torch.ones(len(rows), 1, dtype=rows.dtype, device="cpu")
        sign[1::2] = -1  # a row that ends negative continues without a change when negated
        even = torch.cat((rows, sign * rows), dim=1)
        odd = torch.cat((rows, -sign * rows), dim=1)
        rows = torch.stack((even, odd), dim=1).flatten(0, 1) / math.sqrt(2)
    return rows


def haar_matrix(size: int) -> Tensor:
    """Unbalanced Haar of any size, float64: halves, or nearly, against each other, coarse to fine.

    Source: Fryzlewicz (2007), with every split in the middle.
    """
    rows = torch.zeros(size, size, dtype=torch.float64, device="cpu")
    rows[0] = 1 / math.sqrt(size)
    pieces, row = [(0, size)], 1
    for start, length in pieces:  # grows while it is read: breadth first
        if length == 1:
            continue
        left = (length + 1) // 2
        right = length - left
        middle = start + left
        rows[row, start:middle] = math.sqrt(right / (left * length))
        rows[row, middle : start + length] = -math.sqrt(left / (right * length))
        pieces += [(start, left), (middle, right)]
        row += 1
    return rows


def slant_matrix(size: int) -> Tensor:
    """Slant, rows by their number of sign changes; the second one falls linearly. Float64, 2^k.

    Source: Pratt, Chen, Welch, "Slant Transform Image Coding", 1974, the recursion.
    """
    s = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    while (n := len(s)) < size:
        rows = torch.cat((torch.cat((s, s), dim=1), torch.cat((s, -s), dim=1))) / math.sqrt(2)
        if n > 1:  # turn the pair "linear in each half" and "step" until one is linear throughout
            a, b = math.sqrt(3 * n * n / (4 * n * n - 1)), math.sqrt((n * n - 1) / (4 * n * n - 1))
            linear, step = rows[1].clone(), rows[n].clone()
            rows[1], rows[n] = a * step + b * linear, a * linear - b * step
        changes = (rows[:, 1:] * rows[:, :-1] < 0).sum(dim=1)
        s = rows[changes.argsort(stable=True)]
    return s


def with_dct(matrix: Callable[[int], Tensor], size: int) -> Tensor:
    """(size, size), float64: a basis for powers of two only, kron the DCT of the odd factor."""
    power = size & -size
    exact = torch.empty(0, dtype=torch.float64, device="cpu")
    return torch.kron(matrix(power), dct_matrix(size // power, exact))
