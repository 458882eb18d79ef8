"""The fixed real transforms: z = P x Q with P and Q of a basis that is not learned.

Source: SRL (Chi et al., 2019), section 3.2, names the DCT, Walsh-Hadamard, Haar and Slant bases.

What we do differently: ours exist at any size. Walsh-Hadamard and Slant are made for powers of two;
for N = 2^k m with m odd they are theirs of 2^k kron the DCT of m. Haar splits odd pieces unevenly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from keypoint.blocks.precision import at_least_float32
from keypoint.blocks.spectral.bases import (
    dct_matrix,
    haar_matrix,
    slant_matrix,
    walsh_hadamard_matrix,
    with_dct,
)
from keypoint.blocks.spectral.separable import from_spectrum, to_spectrum

BASES: dict[str, Callable[[int], Tensor]] = {
    "dct": lambda size: dct_matrix(size, torch.empty(0, dtype=torch.float64, device="cpu")),
    "wht": partial(with_dct, walsh_hadamard_matrix),
    "haar": haar_matrix,
    "slant": partial(with_dct, slant_matrix),
}


class FixedOrthogonal(nn.Module):
    """z = P x Q with the orthogonal P (H, H) and Q (W, W) of a fixed basis, for all channels.

    Args:
        size: (height, width) of the map; another resolution is resampled through the DCT.
        basis: "dct", "wht", "haar" or "slant".
    """

    parts = 1
    transposed = False
    P: Tensor
    Q: Tensor

    def __init__(self, size: tuple[int, int], *, basis: str) -> None:
        super().__init__()
        self.size = self.spectral_size = size
        self.basis = basis
        # Not in the state dict: there is nothing to load that the size does not say.
        self.register_buffer("P", torch.empty(size[0], size[0]), persistent=False)
        self.register_buffer("Q", torch.empty(size[1], size[1]), persistent=False)
        self._fill()

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H' W'."""
        if self.P.is_meta and not x.is_meta:
            self._fill(x.device)  # built there and loaded by load_state_dict(assign=True)
        return to_spectrum(self.P, x, self.Q)

    def inverse(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """B C H' W' -> B C size."""
        return from_spectrum(self.P, z, self.Q, size)

    def _fill(self, device: torch.device | None = None) -> None:
        """Exact in the buffers' dtype, which is never below float32."""
        device, dtype = device or self.P.device, at_least_float32(self.P).dtype
        self.P = BASES[self.basis](self.size[0]).to(device, dtype)
        self.Q = BASES[self.basis](self.size[1]).mT.contiguous().to(device, dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FixedOrthogonal:
        """Module's own conversion (`.half()`, `.double()`, `.to_empty(...)`), then filled again."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._fill()
        return self
