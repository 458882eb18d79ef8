"""Spectral residual learning: a residual branch that works on the whole map's spectrum.

Source: Chi, Tian, Mu, Xie, Tian, "Fast Non-Local Neural Networks with Spectral Residual Learning",
ACM MM 2019: equations 1 and 6, figure 2.

    y = x + alpha * f^-1( phi( f(x) ) )        alpha = 0 at the start: a new block is the identity
    phi = reduce 1x1 -> BN -> spectral ReLU -> expand 1x1 -> BN      convolutions grouped, no bias

What we do differently: the paper says K = C/4 with 8 groups, which costs half of what its tables
print. K = C/2 with 8 groups reproduces every printed number and is the default; `ratio` and
`groups` are arguments. `variant="single"` is the block of the authors' released code: one grouped
convolution with bias that starts as the identity, BN and a plain ReLU; same cost, same count.

This code runs in training. In eval mode `folded` computes the same function in fewer passes over
memory.

Letters: B batch, C channels, H W size, K = C / ratio, V = W//2 + 1; there are M spectral maps:
M = 2C of V x H (Fourier, see `transforms`) or M = C of H x W (real transforms).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from keypoint.blocks.pointwise import mix
from keypoint.blocks.spectral.compiled_training import train, trainer_for
from keypoint.blocks.spectral.fixed import BASES, FixedOrthogonal
from keypoint.blocks.spectral.folded import evaluate, folds
from keypoint.blocks.spectral.memory import order_of
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal
from keypoint.blocks.spectral.relu import SpectralReLU
from keypoint.blocks.spectral.transforms import Fourier

TRANSFORMS = ("fft", "lo", *BASES)
VARIANTS = ("bottleneck", "single")


class SRL(nn.Module):
    """A spectral residual block for maps B C H W; same shape, dtype and memory format out.

    Args:
        channels: C.
        size: (height, width) the spectral grid is built for. The block runs at any resolution; at
            another one it acts on the frequencies of this grid, with unchanged parameters.
        transform: "fft", "lo" (learned orthogonal matrices) or a fixed real one: "dct", "wht"
            (Walsh-Hadamard), "haar", "slant".
        variant: "bottleneck" (figure 2) or "single" (the released code).
        ratio: C / K of the bottleneck; None is 2.
        groups: of the convolutions; None is 8 for "fft" and 2 for the real transforms.
        spectral_relu: False for a plain ReLU; None is True for "bottleneck", False for "single".
        retraction: of "lo" only: "qr" (None) or "polar".
        matmul: of "fft" only: the Fourier transform as matrix products, for export (see `Fourier`).

    Raises:
        ValueError: an argument that does not fit or would have no effect; in forward, a map of
            another shape than B C H W.
    """

    def __init__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        transform: str = "fft",
        variant: str = "bottleneck",
        ratio: int | None = None,
        groups: int | None = None,
        spectral_relu: bool | None = None,
        retraction: str | None = None,
        matmul: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r} must be one of {', '.join(VARIANTS)}")
        if variant == "single" and ratio is not None:
            raise ValueError(
                f"ratio={ratio} has no effect with variant='single', which does not reduce "
                "channels: remove it, or use variant='bottleneck'"
            )
        if ratio is None:
            ratio = 2 if variant == "bottleneck" else 1
        if channels < 1 or ratio < 1 or channels % ratio:
            raise ValueError(f"channels={channels} must be a positive multiple of ratio={ratio}")
        self.channels = channels
        self.transform = build_transform(transform, size, retraction=retraction, matmul=matmul)

        maps = self.transform.parts * channels  # 2C or C
        inner = maps // ratio  # 2K or K
        groups = default_groups(transform) if groups is None else groups
        check_groups(groups, inner)
        spectral_relu = variant == "bottleneck" if spectral_relu is None else spectral_relu
        relu: nn.Module = nn.ReLU()
        if spectral_relu:
            relu = SpectralReLU(self.transform.spectral_size, transposed=self.transform.transposed)
        layers: dict[str, nn.Module]
        if variant == "bottleneck":
            layers = {
                "reduce": nn.Conv2d(maps, inner, 1, groups=groups, bias=False),
                "reduce_norm": nn.BatchNorm2d(inner),
                "relu": relu,
                "expand": nn.Conv2d(inner, maps, 1, groups=groups, bias=False),
                "expand_norm": nn.BatchNorm2d(maps),
            }
        else:
            conv = nn.Conv2d(maps, maps, 1, groups=groups)
            nn.init.dirac_(conv.weight, groups)
            layers = {"conv": conv, "norm": nn.BatchNorm2d(maps), "relu": relu}
        self.phi = nn.Sequential(OrderedDict(layers))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        if x.ndim != 4 or x.shape[1] != self.channels or not x.is_floating_point():
            raise ValueError(
                f"SRL takes B x {self.channels} x H x W of floating point, got {tuple(x.shape)} of "
                f"{x.dtype}: build it with the number of channels of the map it follows"
            )
        if folds(self.phi):
            return evaluate(x, self.transform, self.phi, self.alpha)
        library = trainer_for(x, self.transform, self.phi)
        if library is not None and isinstance(self.transform, Fourier):
            return train(library, x, self.transform, self.phi, self.alpha)
        z = self.transform(x).to(self.alpha.dtype)  # B M V H, or B M H W
        for layer in self.phi:
            z = mix(z, layer) if isinstance(layer, nn.Conv2d) else layer(z)
        y = self.transform.inverse(z, (x.shape[-2], x.shape[-1]))  # B C H W
        return torch.addcmul(
            x, self.alpha.to(x.dtype), y.to(x.dtype).contiguous(memory_format=order_of(x))
        )


def build_transform(
    transform: str, size: tuple[int, int], *, retraction: str | None, matmul: bool
) -> Fourier | LearnedOrthogonal | FixedOrthogonal:
    """The transform of this name; an option that belongs to the other one is a ValueError."""
    if transform not in TRANSFORMS:
        raise ValueError(f"transform={transform!r} must be one of {', '.join(TRANSFORMS)}")
    if not isinstance(size, Sequence) or len(size) != 2 or min(size) < 1:
        raise ValueError(f"size={size!r} must be (height, width) of the map, each at least 1")
    size = (int(size[0]), int(size[1]))
    if retraction is not None and transform != "lo":
        raise ValueError(
            f"retraction={retraction!r} has no effect with transform={transform!r}, which learns "
            "no matrix: remove it, or use transform='lo'"
        )
    if matmul and transform != "fft":
        raise ValueError(
            f"matmul=True has no effect with transform={transform!r}, which is a matrix product "
            "already: remove it, or use transform='fft'"
        )
    if transform == "fft":
        return Fourier(size, matmul=matmul)
    if transform in BASES:
        return FixedOrthogonal(size, basis=transform)
    return LearnedOrthogonal(size, retraction="qr" if retraction is None else retraction)


def default_groups(transform: str) -> int:
    """The paper's choice, section 3.3."""
    return 8 if transform == "fft" else 2


def check_groups(groups: int, *maps: int) -> None:
    """Raise ValueError unless every number of spectral maps can be cut into `groups`."""
    for number in maps:
        if groups < 1 or number % groups:
            raise ValueError(
                f"groups={groups} must divide the {number} spectral maps of the block: use "
                "another `groups`, `ratio` or number of channels"
            )
