"""Double attention: gather the map into a few descriptors, then distribute them to all positions.

Source: Chen, Kalantidis, Li, Yan, Feng, "A2-Nets: Double Attention Networks", NeurIPS 2018, the
two attention steps "feature gathering" and "feature distribution".

    G = A softmax(B)^T          gather: over the positions, one descriptor for each attention map
    Z = G softmax(V)            distribute: over the maps, a mix of descriptors for each position
    out = x + conv(Z)           A, B, V are 1x1 convolutions of x; conv is 0 at the start

What we do differently: no biases and no norm, as counted in the SRL paper's tables. Common ports
take the softmax of V over the positions or even over the batch; here, as in the paper, it is over
the maps, so that the shares of a position sum to 1.

Letters: B batch, C channels, m channels of A, n attention maps, N positions. Stored for the
backward pass: a few maps of m or n channels; nothing grows faster than N.
"""

from __future__ import annotations

from torch import Tensor, nn


class DoubleAttention(nn.Module):
    """A double attention block for B C L, B C H W or B C T H W; same shape, dtype and format out.

    Args:
        channels: C.
        inner: m, the channels of A; None is C / 4.
        maps: n, the number of attention maps; None is C / 4.
        dims: 1, 2 or 3 dimensions of positions (3: space and time attended as one, as the paper).

    Raises:
        ValueError: an argument that does not fit; in forward, a map with another number of channels
            or dimensions.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        maps: int | None = None,
        dims: int = 2,
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise ValueError(f"dims={dims} must be 1, 2 or 3: the dimensions of positions")
        inner = channels // 4 if inner is None else inner
        maps = channels // 4 if maps is None else maps
        if channels < 1 or inner < 1 or maps < 1:
            raise ValueError(
                f"channels={channels}, inner={inner} and maps={maps} must be at least 1 (inner and "
                "maps are channels // 4 unless given)"
            )
        self.channels, self.dims = channels, dims
        self.widths = [inner, maps, maps]

        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.a_b_v = conv(channels, inner + 2 * maps, 1, bias=False)  # three in one read of x
        self.out = conv(inner, channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B C ... -> B C ..."""
        if x.ndim != 2 + self.dims or x.shape[1] != self.channels:
            raise ValueError(
                f"DoubleAttention takes B x {self.channels} and {self.dims} dimensions of "
                f"positions, got {tuple(x.shape)}: build it with the channels and dims of the map "
                "it follows"
            )
        a, b, v = self.a_b_v(x).flatten(2).split(self.widths, dim=1)  # B m N, B n N, B n N
        descriptors = a @ b.softmax(dim=2).transpose(1, 2)  # B m n; autocast keeps softmax float32
        z = descriptors @ v.softmax(dim=1)  # B m N
        residual: Tensor = self.out(z.unflatten(2, x.shape[2:]))  # B C ...
        return x + residual
