"""Recurrent criss-cross attention: every position attends to its row and column, twice.

Source: Huang, Wang, Huang, Huang, Wei, Liu, "CCNet: Criss-Cross Attention for Semantic
Segmentation", arXiv 1811.11721 (2018), sections 3.2 and 3.3.

    attention(h)_u = gamma * sum_{v in cross(u)} softmax_v(q_u . k_v) value_v + h_u
    h = reduce(x);   R times: h = attention(h), with the same weights;   out = x + expand(h)
    reduce, expand = 3x3 convolution -> BN -> LeakyReLU          from C to C/4 channels and back

After R = 2 passes information of every position can reach every other.

What we do differently: the block is a residual branch, as the SRL paper compares it, and the last
BN's gamma is 0, so that a new block is the identity (the attention's own gamma is 0 as well, as in
the paper). Until that BN has changed, the LeakyReLU passes a hundredth of its gradient. No CUDA
extension: rows and columns are two batched matrix products. The position itself is on its row and
on its column, and is counted once, on the row.

Letters: B batch, C channels, H W size, N = H W, K channels of query and key, D = C / 4 channels of
value. Stored for the backward pass: some N (H + W) numbers a pass, nowhere N x N.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.01


class RCCA(nn.Module):
    """A recurrent criss-cross attention block for B C H W; same shape, dtype and format out.

    Args:
        channels: C.
        inner: D; None is C / 4.
        key: K; None is D / 8, at least 1.
        recurrence: R, how often the attention is applied.

    Raises:
        ValueError: an argument that does not fit; in forward, a map of another shape than B C H W.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        key: int | None = None,
        recurrence: int = 2,
    ) -> None:
        super().__init__()
        inner = channels // 4 if inner is None else inner
        key = max(inner // 8, 1) if key is None else key
        if channels < 1 or inner < 1 or key < 1:
            raise ValueError(
                f"channels={channels}, inner={inner} and key={key} must be at least 1 (inner is "
                "channels // 4 and key is inner // 8 unless given)"
            )
        if recurrence < 1:
            raise ValueError(f"recurrence={recurrence} must be at least 1; the paper has 2")
        self.channels, self.recurrence = channels, recurrence
        self.reduce = ConvNormReLU(channels, inner)
        self.attention = CrissCross(inner, key)
        self.expand = ConvNormReLU(inner, channels)
        nn.init.zeros_(self.expand.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f"RCCA takes B x {self.channels} x H x W, got {tuple(x.shape)}: build it with the "
                "number of channels of the map it follows"
            )
        h = self.reduce(x)  # B D H W
        for _ in range(self.recurrence):
            h = self.attention(h)
        residual: Tensor = self.expand(h)  # B C H W
        return x + residual


class ConvNormReLU(nn.Module):
    """3x3 convolution, batch norm, leaky ReLU with the authors' slope."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """B I H W -> B O H W."""
        return F.leaky_relu(self.norm(self.conv(x)), SLOPE)


class CrissCross(nn.Module):
    """One pass of criss-cross attention, B D H W -> B D H W (section 3.2)."""

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.widths = [key, key, channels]
        self.query_key_value = nn.Conv2d(channels, 2 * key + channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """B D H W -> B D H W."""
        query, key, value = self.parts(h)
        along_row, along_column = shares(query, key)
        of_column = along_column.transpose(1, 2) @ value.transpose(1, 2)  # B W H D
        y = along_row @ value + of_column.transpose(1, 2)  # B H W D
        return self.gamma * y.permute(0, 3, 1, 2) + h

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value: B H W K, B H W K, B H W D."""
        rows = self.query_key_value(h).permute(0, 2, 3, 1)  # B H W 2K+D
        query, key, value = torch.split(rows, self.widths, dim=3)
        return query, key, value


def shares(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of each position to its row and its column, with sum 1.

    B H W K twice -> B H W W and B H W H.
    """
    height, width = query.shape[1:3]
    along_row = query @ key.transpose(2, 3)  # B H W W
    along_column = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # B W H H
    itself = torch.eye(height, dtype=torch.bool, device=query.device)
    along_column = along_column.masked_fill(itself, float("-inf")).transpose(1, 2)  # B H W H
    energy = torch.cat((along_row, along_column), dim=3)  # B H W W+H
    attention = energy.softmax(dim=3)  # in float32 under autocast
    along_row, along_column = torch.split(attention, [width, height], dim=3)
    return along_row, along_column
