"""DARK: the position of a peak between pixels, by a Taylor expansion of the logarithm around it.

Source: Zhang et al. 2020, "Distribution-Aware Coordinate Representation", section 3.2, and UDP's
form of it (Huang et al. 2020), with the kernels of their repositories: Gaussian of 6 sigma - 1
pixels, 11 at sigma 2 and 17 at sigma 3. They blur whole maps person by person; only the 5 x 5
blurred values around a peak are read, so only these are computed, from a patch, for all maps at
once. The references rescale a blurred map to its old maximum; here the 5 x 5 values are rescaled,
which changes no derivative of the logarithm, only the level of its floor. Also different: a step of
more than two pixels is not taken, because the expansion does not hold there; the references may
move the peak anywhere.

Letters: B batch, K keypoints, H W the heatmap's height and width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

REACH = 2  # pixels around a peak whose blurred values are read; also the longest step


def dark_offset(heatmaps: Tensor, peaks: Tensor, sigma: float, udp: bool = False) -> Tensor:
    """Move each peak to the maximum of the Gaussian that the blurred map shows around it.

    Args:
        heatmaps: (B, K, H, W), finite.
        peaks: (B, K, 2) int64, the highest pixels.
        sigma: Sigma of the targets in heatmap pixels; it decides the width of the blur.
        udp: Use UDP's second derivatives, over one pixel and up to the border. DARK's are over two
            pixels, and peaks next to the border stay.

    Returns:
        (B, K, 2) float32, heatmap frame.
    """
    height, width = heatmaps.shape[2:]
    kernel = gaussian_kernel(sigma).to(heatmaps.device)
    radius = len(kernel) // 2
    x, y = peaks.unbind(2)  # B K
    patches = _patches(heatmaps, x, y, REACH + radius)  # B K N N, with zeros outside the map
    blur = kernel.new_zeros(2 * REACH + 1, patches.shape[3])
    for row in range(len(blur)):
        blur[row, row : row + len(kernel)] = kernel
    blurred = blur @ patches @ blur.T  # B K 5 5
    if udp:  # the references repeat the map's border pixels
        blurred = _repeat_border(blurred, x, y, height, width)

    center = REACH + radius
    rescale = patches[..., center, center] / blurred.amax((2, 3)).clamp(min=1e-10)
    floor = 1e-3 if udp else 1e-10
    v = torch.log((blurred * rescale[..., None, None]).clamp(min=floor))  # B K 5 5, rows are y
    m, p = REACH - 1, REACH + 1
    c = REACH
    dx, dy = (v[..., c, p] - v[..., c, m]) / 2, (v[..., p, c] - v[..., m, c]) / 2
    if udp:
        dxx = v[..., c, p] - 2 * v[..., c, c] + v[..., c, m]
        dyy = v[..., p, c] - 2 * v[..., c, c] + v[..., m, c]
        dxy = (
            v[..., p, p] - v[..., c, p] - v[..., p, c] + 2 * v[..., c, c]
            - v[..., c, m] - v[..., m, c] + v[..., m, m]
        ) / 2  # fmt: skip
        movable = torch.ones_like(x, dtype=torch.bool)
    else:
        dxx = (v[..., c, c + 2] - 2 * v[..., c, c] + v[..., c, c - 2]) / 4
        dyy = (v[..., c + 2, c] - 2 * v[..., c, c] + v[..., c - 2, c]) / 4
        dxy = (v[..., p, p] - v[..., m, p] - v[..., p, m] + v[..., m, m]) / 4
        movable = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    determinant = dxx * dyy - dxy.square()
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=2) / determinant[..., None]
    taken = movable & (step.abs() <= REACH).all(2)  # false for the nan of a flat map
    return peaks + torch.where(taken[..., None], step, 0.0)


def gaussian_kernel(sigma: float) -> Tensor:
    """The blur's weights, float32, sum 1: 11 at sigma 2, 17 at sigma 3.

    Their standard deviation follows from their number by OpenCV's rule for a Gaussian without a
    given sigma: 2.0 for 11 weights, 2.9 for 17.
    """
    radius = max(1, round(3 * sigma) - 1)
    std = 0.3 * (radius - 1) + 0.8
    weights = torch.tensor([math.exp(-(i**2) / (2 * std**2)) for i in range(-radius, radius + 1)])
    return weights / weights.sum()


def _patches(heatmaps: Tensor, x: Tensor, y: Tensor, radius: int) -> Tensor:
    """(B, K, 2 radius + 1, 2 radius + 1) float32 around each (x, y), zero outside the map."""
    padded = pad(heatmaps.float(), (radius,) * 4)
    width = padded.shape[3]
    window = torch.arange(2 * radius + 1, device=heatmaps.device)
    offsets = (window[:, None] * width + window).flatten()  # of the patch's pixels
    index = (y * width + x)[..., None] + offsets  # B K NN
    side = len(window)
    patches: Tensor = padded.flatten(2).gather(2, index).unflatten(2, (side, side))
    return patches


def _repeat_border(blurred: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Values of the 5 x 5 that lie outside the map, replaced by the nearest inside."""
    window = torch.arange(-REACH, REACH + 1, device=x.device)
    columns = (x[..., None] + window).clamp(0, width - 1) - x[..., None] + REACH  # B K 5
    rows = (y[..., None] + window).clamp(0, height - 1) - y[..., None] + REACH
    side = len(window)
    index = (rows[..., :, None] * side + columns[..., None, :]).flatten(2)  # B K 25
    repeated: Tensor = blurred.flatten(2).gather(2, index).unflatten(2, (side, side))
    return repeated
