"""Resample by the spectrum, so that a block built for one size runs at any other.

A block's spectral grid is fixed when it is built; its frequency-wise parameters are never resized.
At another resolution the map is resampled to the grid's size by keeping its low frequencies, and
the result is resampled back the same way. The matrices below do both along one axis, in space: they
equal "transform, crop or zero-pad by integer frequency, transform back", with the Nyquist frequency
merged when cropping and split in half when padding, and amplitudes kept (the area ratio). Because
the map between the two is real, nothing that is not Hermitian ever reaches the padding.

Up-sampling and then down-sampling returns the same map, so a block commutes with up-sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from keypoint.blocks.spectral.bases import dct_matrix, fourier_waves


def fourier_resampling(length: int, new_length: int, like: Tensor) -> Tensor:
    """(new_length, length): trigonometric interpolation, or its low-pass counterpart."""
    kept = min(length, new_length) // 2 + 1
    cos, sin = fourier_waves(length, kept, like)
    new_cos, new_sin = fourier_waves(new_length, kept, like)
    # A frequency counts for itself and its negative, except zero and the input's Nyquist.
    frequency = torch.arange(kept, device=like.device)
    weight = (1 + (2 * frequency % length != 0)).to(like.dtype) / length
    return (new_cos * weight) @ cos.T + (new_sin * weight) @ sin.T


def cosine_resampling(length: int, new_length: int, like: Tensor) -> Tensor:
    """(new_length, length): the same through the orthonormal DCT, for the real transforms."""
    kept = min(length, new_length)
    down, up = dct_matrix(length, like)[:kept], dct_matrix(new_length, like)[:kept]
    return math.sqrt(new_length / length) * (up.T @ down)


def resample(
    x: Tensor, size: tuple[int, int], matrix: Callable[[int, int, Tensor], Tensor]
) -> Tensor:
    """Resample x (..., H, W) to `size` with one of the two matrices; x itself if it fits."""
    height, width = x.shape[-2:]
    if height != size[0]:
        x = matrix(height, size[0], x) @ x
    if width != size[1]:
        x = x @ matrix(width, size[1], x).T
    return x
