"""The local-to-global transforms f of spectral residual learning and their inverses.

Source: SRL (Chi et al., 2019), sections 3.1 and 3.2, equations 2 to 5: f(X) = P X Q per channel.

A transform is a module with
    parts            real spectral maps per channel: 2 (real and imaginary) or 1
    spectral_size    their (height, width), fixed at build
    forward(x)       B C H W, any resolution  ->  B parts*C H' W'
    inverse(z, size) B parts*C H' W'  ->  B C size
and computes in float32 (float64 for a float64 map) even under autocast: half-precision FFTs exist
for powers of two only. The real transforms (the learned one in `orthogonal`) have the same face.

What we do differently for Fourier:
* the paper divides by N and calls that unitary; it is 1/sqrt(N) that is ("ortho");
* the map is real, so half of the columns say everything: W//2 + 1 of them are kept;
* real and imaginary parts are neighbouring channels (2c, 2c+1): one group of a grouped convolution
  sees both parts of a coefficient;
* the paper drops the imaginary part of the result. The same without computing it: after the
  inverse over the rows, the columns that are their own mirror image (0 and W/2) lose their
  imaginary part. `irfft2` leaves to its back end what happens to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from keypoint.blocks.bases import fourier_waves
from keypoint.blocks.precision import at_least_float32, float32_island
from keypoint.blocks.resample import fourier_resampling, resample


class Fourier(nn.Module):
    """The real two-dimensional Fourier transform with its parts as channels; no parameters.

    Args:
        size: (height, width) of the map; another resolution is resampled by its spectrum.
        matmul: multiply by the sine and cosine matrices instead of the FFT. The same numbers to
            1e-6; exports to ONNX as MatMul, which runs up to 25 times faster than its DFT. A plain
            attribute: set it on a trained block before exporting it.
    """

    parts = 2

    def __init__(self, size: tuple[int, int], *, matmul: bool = False) -> None:
        super().__init__()
        self.size = size
        self.spectral_size = (size[0], size[1] // 2 + 1)
        self.matmul = matmul

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B 2C H' W'//2+1, the real and the imaginary part of a channel side by side."""
        with float32_island(x):
            x = resample(at_least_float32(x), self.size, fourier_resampling)
            if self.matmul:
                rows, cos, sin = self._matrices(x)
                half = torch.cat((x @ cos, -(x @ sin)), dim=-2)  # B C 2H W//2+1
                return (rows @ half).reshape(x.shape[0], -1, *self.spectral_size)
            # In two steps: the gradient of rfft2 transforms all W columns over the rows.
            z = torch.fft.fft(torch.fft.rfft(x, norm="ortho"), dim=-2, norm="ortho")
            return torch.view_as_real(z).movedim(-1, 2).flatten(1, 2)

    def inverse(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """B 2C H' W'//2+1 -> B C size: the real part of the inverse transform."""
        with float32_island(z):
            z = at_least_float32(z)
            parts = z.reshape(z.shape[0], -1, 2, *self.spectral_size)  # B C 2 H W//2+1
            column = torch.arange(self.spectral_size[1], device=z.device)
            mirrored = 2 * column % self.size[1] != 0  # by another column than itself
            if self.matmul:
                rows, cos, sin = self._matrices(parts)
                real, imaginary = (rows.T @ parts.flatten(2, 3)).chunk(2, dim=-2)
                count = 1 + mirrored.to(z.dtype)  # each column stands for its mirror image too
                x = real @ (count * cos).T - imaginary @ (count * sin).T
            else:
                half = torch.view_as_complex(parts.movedim(2, -1).contiguous())
                half = torch.fft.ifft(half, dim=-2, norm="ortho")
                kept = torch.stack((torch.ones_like(mirrored), mirrored), dim=-1)  # W//2+1 2
                half = torch.view_as_complex(torch.view_as_real(half) * kept)
                x = torch.fft.irfft(half, n=self.size[1], norm="ortho")
            return resample(x, size, fourier_resampling)

    def _matrices(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(2H, 2H) for stacked real and imaginary rows, and cos, sin (W, W//2+1); all unitary."""
        height, width = self.size
        cos, sin = (wave / math.sqrt(height) for wave in fourier_waves(height, height, like))
        rows = torch.cat((torch.cat((cos, sin), dim=1), torch.cat((-sin, cos), dim=1)))
        cos, sin = fourier_waves(width, width // 2 + 1, like)
        return rows, cos / math.sqrt(width), sin / math.sqrt(width)
