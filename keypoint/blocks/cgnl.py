"""The compact generalized non-local block: all channels of all positions attend to each other.

Source: Yue, Sun, Yuan, Zhou, Ding, Xu, "Compact Generalized Non-local Network", NeurIPS 2018, its
"compact representation" in groups of channels. In each group i and j run over channels and
positions alike:

    y_i = sum_j f(theta_i, phi_j) g_j;          out = x + GroupNorm(conv(y)), gamma 0 at the start

    dot   f = theta phi
    rbf   f = exp(-GAMMA (theta - phi)^2), expanded as sum_p alpha_p (theta phi)^p for p = 0 .. P
          with alpha_p = BETA (2 GAMMA)^p / p!

As f is a sum of products, y_i = sum_p [sum_j alpha_p phi_j^p g_j] theta_i^p: P + 1 numbers for each
sample and group, then a polynomial in theta.

What we do differently: the paper splits sqrt(alpha_p) between theta^p and phi^p, we multiply once
by alpha_p. As in the authors' code BETA = exp(-2 GAMMA), which is exact for |theta| = |phi| = 1,
and the norm has the groups of the convolution. All after the first convolution is float32, under
autocast too: sums over K N / G numbers leave the range of float16, and theta is a small change to a
large constant, which bfloat16 would round away.

Letters: B batch, C channels, K inner channels, G groups, N positions, P order. Stored for the
backward pass: theta, phi, g and 2 P maps of K channels; nothing grows faster than N.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from keypoint.blocks.pointwise import mix
from keypoint.blocks.precision import at_least_float32, float32_island

KERNELS = ("rbf", "dot")
GAMMA = 1e-4  # of the authors' code
BETA = math.exp(-2 * GAMMA)


class CGNL(nn.Module):
    """A compact generalized non-local block for B C L, B C H W or B C T H W; the same out.

    Args:
        channels: C.
        inner: K; None is C / 2.
        groups: G, of the attention, the output convolution and the norm.
        kernel: the function f, "rbf" or "dot".
        order: P of the "rbf" kernel; None is 3.
        dims: 1, 2 or 3 dimensions of positions.

    Raises:
        ValueError: an argument that does not fit or would have no effect; in forward, a map with
            another number of channels or dimensions.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        groups: int = 8,
        kernel: str = "rbf",
        order: int | None = None,
        dims: int = 2,
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise ValueError(f"dims={dims} must be 1, 2 or 3: the dimensions of positions")
        if kernel not in KERNELS:
            raise ValueError(f"kernel={kernel!r} must be one of {', '.join(KERNELS)}")
        if kernel == "dot" and order is not None:
            raise ValueError(
                f"order={order} has no effect with kernel='dot', which is not expanded: leave it "
                "out, or use kernel='rbf'"
            )
        order = 3 if order is None else order
        if order < 1:
            raise ValueError(f"order={order} must be at least 1: order 0 does not use theta")
        inner = channels // 2 if inner is None else inner
        if groups < 1 or channels < 1 or inner < 1 or channels % groups or inner % groups:
            raise ValueError(
                f"channels={channels} and inner={inner} must be positive multiples of "
                f"groups={groups} (inner is channels // 2 unless given): use other groups or inner"
            )
        self.channels, self.groups, self.dims = channels, groups, dims
        self.kernel, self.order = kernel, order

        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.theta_phi_g = conv(channels, 3 * inner, 1, bias=False)  # three in one read of x
        self.out = conv(inner, channels, 1, groups=groups, bias=False)
        self.norm = nn.GroupNorm(groups, channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B C ... -> B C ..."""
        if x.ndim != 2 + self.dims or x.shape[1] != self.channels:
            raise ValueError(
                f"CGNL takes B x {self.channels} and {self.dims} dimensions of positions, got "
                f"{tuple(x.shape)}: build it with the channels and dims of the map it follows"
            )
        maps = self.theta_phi_g(x)  # B 3K ...
        with float32_island(x):
            maps = torch.unflatten(at_least_float32(maps), 1, (3, self.groups, -1))  # B 3 G K/G ...
            theta, phi, g = maps.unbind(1)  # B G K/G ...
            if self.kernel == "dot":
                y = theta * sum_of_group(phi * g)
            else:
                y = rbf(theta, phi, g, order=self.order)
            y = y.flatten(1, 2).to(self.out.weight.dtype)  # B K ...
            residual: Tensor = self.norm(mix(y, self.out))  # B C ...
            return x + residual.to(x.dtype)


def sum_of_group(terms: Tensor) -> Tensor:
    """Over the channels and positions of a group: B G K/G ... -> B G 1 ..."""
    return terms.sum(dim=tuple(range(2, terms.ndim)), keepdim=True)


def rbf(theta: Tensor, phi: Tensor, g: Tensor, *, order: int) -> Tensor:
    """sum_p alpha_p <phi^p, g> theta^p, B G K/G ..., the polynomial by Horner's rule."""
    terms = g
    attention = [sum_of_group(terms)]
    for _ in range(order):
        terms = terms * phi  # phi^p g
        attention.append(sum_of_group(terms))  # B G 1 ...
    attention = [alpha * a for alpha, a in zip(taylor(order), attention, strict=True)]
    y = attention.pop()
    while attention:
        y = torch.addcmul(attention.pop(), theta, y)
    return y


def taylor(order: int) -> list[float]:
    """alpha_0 .. alpha_P."""
    return [BETA * (2 * GAMMA) ** p / math.factorial(p) for p in range(order + 1)]
