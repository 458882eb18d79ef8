"""The Fourier transform f of spectral residual learning and its inverse.

Source: SRL (Chi et al., 2019), sections 3.1 and 3.2, equations 2 to 5.

A transform is a module with
    parts            real spectral maps per channel: 2 (real and imaginary) or 1
    spectral_size    (rows, columns) of frequencies, fixed at build
    transposed       whether its maps lie with columns before rows in memory
    forward(x)       B C H W, any resolution  ->  B parts*C and the frequencies
    inverse(z, size) the other way  ->  B C size
and computes in float32 (float64 for a float64 map) even under autocast: half-precision FFTs exist
for powers of two only. The real transforms (`orthogonal`, `fixed`) have the same interface.

What we do differently:
* the paper divides by N and calls that unitary; the unitary factor is 1/sqrt(N) ("ortho"). Both
  directions can omit that factor (`scaled=False`) for a caller that folds it into a weight;
* the map is real, so half of the columns suffice: V = W//2 + 1 of them are kept;
* real and imaginary parts are adjacent channels (2c, 2c+1): one group of a grouped convolution
  gets both parts of a coefficient;
* the paper drops the imaginary part of the result. This is done without computing it: after the
  inverse over the rows, the imaginary part of the columns that are their own mirror image (0 and
  W/2) is dropped. With `irfft2` this would depend on the back end.

Time (CPU, float32): an FFT library transforms the last axis, and all other axes are copied. So the
spectrum stays in the order of the FFT over the rows, column by column (V H in memory), and the
inverse starts from it: this saves two of four transposing copies. The others run on a piece of the
map at a time that stays in cache, which is up to four times faster.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.blocks.precision import at_least_float32, float32_island
from keypoint.blocks.spectral.bases import fourier_waves
from keypoint.blocks.spectral.memory import is_traced, order_of, pieces
from keypoint.blocks.spectral.resample import fourier_resampling, resample


class Fourier(nn.Module):
    """The real two-dimensional Fourier transform with its parts as channels; no parameters.

    Args:
        size: (height, width) of the map; another resolution is resampled by its spectrum.
        matmul: multiply by the sine and cosine matrices instead of the FFT. The same numbers to
            1e-6; exports to ONNX as MatMul, which runs up to 25 times faster than its DFT. A plain
            attribute: set it on a trained block before exporting it.
    """

    parts = 2
    transposed = True

    def __init__(self, size: tuple[int, int], *, matmul: bool = False) -> None:
        super().__init__()
        self.size = size
        self.spectral_size = (size[0], size[1] // 2 + 1)
        self.gain = 1 / math.sqrt(size[0] * size[1])
        self.matmul = matmul

    def forward(self, x: Tensor, *, scaled: bool = True) -> Tensor:
        """B C H W -> B 2C V H', with adjacent real and imaginary parts of a channel."""
        with float32_island(x):
            x = resample(at_least_float32(x), self.size, fourier_resampling)
            if self.matmul:
                z = spectrum_by_matrices(x) * (self.gain if scaled else 1.0)
            elif is_traced():
                z = spectrum(x, scaled=scaled)
            else:
                z = _Spectrum.apply(x, scaled, 1.0)
            return z.flatten(1, 2)

    def inverse(self, z: Tensor, size: tuple[int, int], *, scaled: bool = True) -> Tensor:
        """B 2C V H' -> B C size: the real part of the inverse transform."""
        with float32_island(z):
            z = at_least_float32(z).unflatten(1, (-1, 2))  # B C 2 V H'
            width = self.size[1]
            if self.matmul:
                x = map_by_matrices(z, width) * (self.gain if scaled else 1.0)
            elif is_traced():
                x = from_spectrum(z, width, scaled=scaled)
            else:
                x = _FromSpectrum.apply(z, width, scaled, 1.0)
            return resample(x, size, fourier_resampling)


def spectrum(x: Tensor, *, scaled: bool, weight: float = 1.0, out: Tensor | None = None) -> Tensor:
    """... H W -> ... 2 V H; columns that also count for a mirror image are multiplied by weight."""
    norm = "ortho" if scaled else "backward"
    # In two steps: rfft2 is no faster, and its gradient transforms all W columns over the rows.
    z = torch.fft.fft(torch.fft.rfft(x, norm=norm), dim=-2, norm=norm).mT  # ... V H
    parts = torch.stack((z.real, z.imag), dim=-3, out=out)
    if weight != 1:
        parts[..., 1 : (x.shape[-1] + 1) // 2, :] *= weight
    return parts


def from_spectrum(
    parts: Tensor, width: int, *, scaled: bool, weight: float = 1.0, out: Tensor | None = None
) -> Tensor:
    """... 2 V H -> ... H W, the real part of the inverse; `weight` as in `spectrum`."""
    norm = "ortho" if scaled else "forward"
    z = torch.complex(*parts.unbind(-3))  # ... V H
    if weight != 1:
        z[..., 1 : (width + 1) // 2, :] *= weight
    z = torch.fft.ifft(z, norm=norm)
    alone = max(1, width // 2) if width % 2 == 0 else width  # step: columns 0 and, if even, W/2
    torch.view_as_real(z)[..., ::alone, :, 1] = 0
    x: Tensor = torch.fft.irfft(z.mT, n=width, norm=norm, out=out)
    return x


class _Spectrum(torch.autograd.Function):
    """`spectrum` of B C H W in pieces, with its adjoint as gradient.

    PyTorch differentiates rfft by a complex transform of all W columns. But as real-linear maps the
    two directions are adjoint, up to the columns that also count for a mirror image.
    """

    @staticmethod
    def forward(x: Tensor, scaled: bool, weight: float) -> Tensor:
        z = x.new_empty(*x.shape[:2], 2, x.shape[3] // 2 + 1, x.shape[2])
        for piece in pieces(x):
            spectrum(x[piece], scaled=scaled, weight=weight, out=z[piece])
        return z

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool, float], output: Tensor) -> None:
        x, ctx.scaled, ctx.weight = inputs
        ctx.width, ctx.order = x.shape[-1], order_of(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x = _FromSpectrum.apply(grad, ctx.width, ctx.scaled, ctx.weight / 2)
        # In the order of the rest of x's gradient: adding two orders is slow.
        return x.contiguous(memory_format=ctx.order), None, None

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int, ...], x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        return _batched(_Spectrum, x.movedim(in_dims[0], 0), rest)


class _FromSpectrum(torch.autograd.Function):
    """`from_spectrum` to B C H W in pieces, with its adjoint as gradient."""

    @staticmethod
    def forward(z: Tensor, width: int, scaled: bool, weight: float) -> Tensor:
        x = z.new_empty(*z.shape[:2], z.shape[4], width)
        for piece in pieces(x):
            from_spectrum(z[piece], width, scaled=scaled, weight=weight, out=x[piece])
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, _, ctx.scaled, ctx.weight = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        z = _Spectrum.apply(grad, ctx.scaled, 2 * ctx.weight)
        return z, None, None, None

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int, ...], z: Tensor, *rest: Any) -> tuple[Tensor, int]:
        return _batched(_FromSpectrum, z.movedim(in_dims[0], 0), rest)


def _batched(function: Any, x: Tensor, rest: tuple[Any, ...]) -> tuple[Tensor, int]:
    """For torch.func.vmap: the mapped axis is one more axis of samples."""
    return torch.unflatten(function.apply(x.flatten(0, 1), *rest), 0, x.shape[:2]), 0


def spectrum_by_matrices(x: Tensor) -> Tensor:
    """... H W -> ... 2 V H, not scaled: `spectrum` as products with cosines and sines."""
    height, width = x.shape[-2:]
    cos, sin = fourier_waves(width, width // 2 + 1, x)  # W V
    real, imaginary = (x @ cos).mT, -(x @ sin).mT  # ... V H
    cos, sin = fourier_waves(height, height, x)
    return torch.stack(
        (real @ cos + imaginary @ sin, imaginary @ cos - real @ sin), dim=-3
    )  # ... 2 V H


def map_by_matrices(parts: Tensor, width: int) -> Tensor:
    """... 2 V H -> ... H W, not scaled: `from_spectrum` as products with cosines and sines."""
    real, imaginary = parts.unbind(-3)  # ... V H
    cos, sin = fourier_waves(parts.shape[-1], parts.shape[-1], parts)
    real, imaginary = real @ cos - imaginary @ sin, imaginary @ cos + real @ sin
    cos, sin = fourier_waves(width, width // 2 + 1, parts)  # W V
    column = torch.arange(width // 2 + 1, device=parts.device)
    count = 1 + (2 * column % width != 0).to(parts.dtype)  # each stands for its mirror image too
    return real.mT @ (count * cos).mT - imaginary.mT @ (count * sin).mT
