"""z = P X Q and back for every channel X, for all real transforms (SRL, section 3.2).

The matrices act only along H and W, so they do not require a memory order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from keypoint.blocks.precision import at_least_float32, float32_island
from keypoint.blocks.spectral.memory import order_of
from keypoint.blocks.spectral.resample import cosine_resampling


def separable(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """The product left X right for every channel X of B C H W, in x's memory order.

    A channels_last map is H x WC to the left matrix and W x C, row by row, to the right one: larger
    products than one per channel, and nothing is copied.
    """
    batch, channels, height, width = x.shape
    rows, columns = left.shape[0], right.shape[1]  # H' W'
    if order_of(x) == torch.channels_last:
        z = _from_left(left, x.permute(0, 2, 3, 1).flatten(2))  # B H' WC
        z = _from_left(right.mT, z.view(batch * rows, width, channels))  # BH' W' C
        return z.view(batch, rows, columns, channels).permute(0, 3, 1, 2)
    z = x.flatten(0, 2) @ right  # BCH W'
    return _from_left(left, z.view(-1, height, columns)).view(batch, channels, rows, columns)


def _from_left(matrix: Tensor, batch: Tensor) -> Tensor:
    """(n', n) times each of (b, n, m); `@` copies the matrix b times or transposes the batch."""
    return torch.bmm(matrix.expand(batch.shape[0], *matrix.shape), batch)


def to_spectrum(p: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """P X Q for every channel; another resolution is resampled by matrices merged into P and Q."""
    with float32_island(x):
        x = at_least_float32(x)
        p, q = p.to(x.dtype), q.to(x.dtype)
        height, width = x.shape[-2:]
        if height != p.shape[1]:
            p = p @ cosine_resampling(height, p.shape[1], x)
        if width != q.shape[0]:
            q = cosine_resampling(width, q.shape[0], x).mT @ q
        return separable(p, x, q)


def from_spectrum(p: Tensor, z: Tensor, q: Tensor, size: tuple[int, int]) -> Tensor:
    """P^T Z Q^T for every channel, resampled to `size` in the same way."""
    with float32_island(z):
        z = at_least_float32(z)
        left, right = p.to(z.dtype).mT, q.to(z.dtype).mT
        if size[0] != p.shape[1]:
            left = cosine_resampling(p.shape[1], size[0], z) @ left
        if size[1] != q.shape[0]:
            right = right @ cosine_resampling(q.shape[0], size[1], z).mT
        return separable(left, z, right)
