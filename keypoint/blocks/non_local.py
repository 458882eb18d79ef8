"""The non-local block: every position attends to every other.

Source: Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, equations 1 to 6.

    y_i = sum_j f(x_i, x_j) g(x_j) / normaliser;   out = x + BN(conv(y)), gamma 0 at the start

    gaussian           f = exp(x_i . x_j)                    normalised: a softmax over j
    embedded_gaussian  f = exp(theta_i . phi_j)              normalised: a softmax over j
    dot                f = theta_i . phi_j                   divided by N
    concatenation      f = ReLU(w . [theta_i, phi_j])        divided by N

What we do differently: the N x N matrix f is never built, for any of the four (at 96 x 72 it takes
182 MB per sample). As counted in the SRL paper's tables, the convolutions have no biases; the
released code has them: `conv_bias`. Pooling rounds the size up, so that no border is ignored and a
map of one pixel works.

Letters: B batch, C channels, K inner channels, N positions, M positions after sub-sampling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from keypoint.blocks.pointwise import grouped, is_convolution, mix_groups
from keypoint.blocks.precision import at_least_float32, float32_island

PAIRWISE = ("embedded_gaussian", "gaussian", "dot", "concatenation")


class NonLocal(nn.Module):
    """A non-local block for B C L, B C H W or B C T H W; same shape, dtype and memory format out.

    Args:
        channels: C.
        inner: K; None is C / 2.
        dims: 1, 2 or 3 dimensions of positions.
        pairwise: the function f: "embedded_gaussian", "gaussian", "dot" or "concatenation".
        scale: divide the exponent by sqrt(K); None is True for the two Gaussian kinds. The others
            have no exponent.
        subsample: max-pool the attended positions (phi and g) by this factor; 1 is off. Time (of
            `dims=3`) is never pooled.
        subsample_before: pool before the convolutions phi and g, like the original; False: after
            them, like common ports.
        conv_bias: biases in the 1x1 convolutions.

    Raises:
        ValueError: an argument that does not fit or would have no effect; in forward, a map with
            another number of channels or dimensions.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        dims: int = 2,
        pairwise: str = "embedded_gaussian",
        scale: bool | None = None,
        subsample: int = 1,
        subsample_before: bool = True,
        conv_bias: bool = False,
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise ValueError(f"dims={dims} must be 1, 2 or 3: the dimensions of positions")
        if pairwise not in PAIRWISE:
            raise ValueError(f"pairwise={pairwise!r} must be one of {', '.join(PAIRWISE)}")
        inner = channels // 2 if inner is None else inner
        if channels < 1 or inner < 1:
            raise ValueError(
                f"channels={channels} and inner={inner} must be at least 1 (inner is channels // 2 "
                "unless given)"
            )
        if scale is not None and pairwise in ("dot", "concatenation"):
            raise ValueError(
                f"scale={scale} has no effect with pairwise={pairwise!r}, which divides by N: "
                "leave it out, or use one of the Gaussian kinds"
            )
        if subsample < 1:
            raise ValueError(f"subsample={subsample} must be at least 1, which is off")
        if subsample == 1 and not subsample_before:
            raise ValueError(
                "subsample_before=False has no effect with subsample=1: give a factor of at least 2"
            )
        self.channels, self.dims, self.pairwise = channels, dims, pairwise
        self.subsample_before = subsample_before
        self.scale = scale is not False

        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        max_pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dims - 1]
        self.theta: nn.Module = nn.Identity()
        self.phi: nn.Module = nn.Identity()
        if pairwise != "gaussian":
            self.theta = conv(channels, inner, 1, bias=conv_bias)
            self.phi = conv(channels, inner, 1, bias=conv_bias)
        if pairwise == "concatenation":
            self.pair = nn.Linear(2 * inner, 1, bias=False)
        self.g = conv(channels, inner, 1, bias=conv_bias)
        self.pool: nn.Module = nn.Identity()
        if subsample > 1:
            window = (1, subsample, subsample) if dims == 3 else (subsample,) * dims
            self.pool = max_pool(window, ceil_mode=True)
        self.out = conv(inner, channels, 1, bias=conv_bias)
        self.norm = norm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B C ... -> B C ..."""
        if x.ndim != 2 + self.dims or x.shape[1] != self.channels:
            raise ValueError(
                f"NonLocal takes B x {self.channels} and {self.dims} dimensions of positions, got "
                f"{tuple(x.shape)}: build it with the channels and dims of the map it follows"
            )
        y = self.attended(x)  # B K ...
        if x.is_contiguous() and is_convolution(self.out):
            # y is channels last. A convolution would keep that, and batch norm and sum would mix
            # two memory formats; a matrix product converts it at no cost.
            response = mix_groups(y, grouped(self.out), self.out.bias)
        else:
            response = self.out(y)
        residual: Tensor = self.norm(response)  # B C ...
        return x + residual

    def response(self, x: Tensor) -> Tensor:
        """conv(y), which is then normalised and added to x; B C ... -> B C ..."""
        response: Tensor = self.out(self.attended(x))
        return response

    def attended(self, x: Tensor) -> Tensor:
        """y, the sum over all attended positions; B C ... -> B K ..."""
        theta = positions(self.theta(x))  # B N K
        if self.subsample_before:
            seen = self.pool(x)
            phi, g = positions(self.phi(seen)), positions(self.g(seen))  # B M K
        else:
            phi, g = positions(self.pool(self.phi(x))), positions(self.pool(self.g(x)))
        if self.pairwise == "dot":
            y = theta @ (phi.transpose(1, 2) @ (g / g.shape[1]))  # B N K, by way of B K K
        elif self.pairwise == "concatenation":
            y = concatenation(theta, phi, g, self.pair.weight)
        else:
            y = gaussian(theta, phi, g, scale=self.scale)
        return torch.unflatten(y.transpose(1, 2), 2, x.shape[2:])


def positions(x: Tensor) -> Tensor:
    """B K ... -> B N K, contiguous: only then does the fused attention save its memory."""
    return x.flatten(2).transpose(1, 2).contiguous()


def gaussian(theta: Tensor, phi: Tensor, g: Tensor, *, scale: bool) -> Tensor:
    """softmax(theta phi^T) g, B N K."""
    inner = g.shape[2]
    if inner < theta.shape[2]:  # the fused kernels want one width, which plain "gaussian" lacks
        g = F.pad(g, (0, theta.shape[2] - inner))
    y = F.scaled_dot_product_attention(
        theta[:, None], phi[:, None], g[:, None], scale=None if scale else 1.0
    )
    return y[:, 0, :, :inner]


def concatenation(theta: Tensor, phi: Tensor, g: Tensor, weight: Tensor) -> Tensor:
    """sum_j max(a_i + b_j, 0) g_j / M with a = theta w_1 and b = phi w_2, exactly, B N K.

    max(a_i + b_j, 0) is a_i + b_j if b_j > -a_i, otherwise 0. With all b_j and -a_i sorted together
    in descending order, running sums of g and of b g contain the result at the position of -a_i.
    O((N + M) K) memory instead of O(N M).
    """
    dtype, seen = g.dtype, g.shape[1]
    with float32_island(g):  # running sums over thousands of positions
        theta, phi, g = (at_least_float32(part) for part in (theta, phi, g))
        w_theta, w_phi = weight.to(g.dtype).chunk(2, dim=1)  # 1 K each
        threshold, b = -(theta @ w_theta.T), phi @ w_phi.T  # B N 1, B M 1
        order = torch.cat((b, threshold), dim=1).argsort(dim=1, descending=True)  # B M+N 1
        terms = torch.cat((g, b * g), dim=2) / seen  # B M 2K
        terms = F.pad(terms, (0, 0, 0, threshold.shape[1]))  # B M+N 2K
        sums = terms.gather(1, order.expand_as(terms)).cumsum(dim=1)
        place = order.argsort(dim=1)[:, seen:]  # B N 1, where each -a_i stands
        above, weighted = sums.gather(1, place.expand(-1, -1, sums.shape[2])).chunk(2, dim=2)
        return (weighted - threshold * above).to(dtype)
