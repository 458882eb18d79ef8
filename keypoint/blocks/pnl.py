"""Pyramid non-local: pixels attend to pixels and regions to regions, one channel group per scale.

Source: Xu, Cao, Yang, Mao, Yin, See, "PNL: Efficient Long-Range Dependencies Extraction with
Pyramid Non-Local Module for Action Recognition", 2020, section 3.2, equations 2 and 3.

    X_k = pool(X'_k) to H / 2^k x W / 2^k       X'_0 .. X'_(n-1): the channels of x in n chunks
    Y_k = non-local operation on X_k            one set of parameters for all scales
    Y   = softmax(q k^T / sqrt(C')) stack(Y_k)  q, k: linear, on each scale's spatial mean
    out = x + Y, the chunks side by side again

What we do differently: Y_k is up-sampled to H x W, which stacking needs and the paper does not
mention. The paper shares "the parameters of the non-local operations" but does not define the
statistics of the final batch norm. If it were called once per scale, each scale would be normalised
by its own statistics in training and by a mixture at test time, and a coarse scale of two values
would always become +1 and -1. Ours is called once, on the up-sampled maps of all scales.

The width of q and k is not printed. C' / 2 is the default; `share=False, ratio=8` gives the paper's
numbers of parameters (7.92 M and 8.12 M of its table 5, 24.46 M of table 6).

Letters: B batch, C channels, T frames, H W size, n scales, C' = C / n, d = C' / ratio.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from keypoint.blocks.non_local import NonLocal

POOLS = ("average", "max")
COMBINATIONS = ("attention", "concatenation")
UPSAMPLINGS = ("nearest", "bilinear")


class PNL(nn.Module):
    """A pyramid non-local block for B C H W or B C T H W; same shape, dtype, memory format out.

    Args:
        channels: C, a multiple of `scales`.
        dims: 2, or 3 with time, which is neither pooled nor up-sampled.
        scales: n, from 2 to 4.
        pairwise: the function f of `NonLocal`, one of its four.
        pool: "average" or "max"; every pixel counts, whatever the size, and a map keeps at least
            one.
        share: one non-local operation for all scales; False: one for each.
        upsample: "nearest" or "bilinear".
        combine: how the scales are combined: by "attention", or only by "concatenation".
        ratio: of "attention" only: C' / d, d being the width of q and k; None is 2.

    Raises:
        ValueError: an argument that does not fit or would have no effect; in forward, a map with
            another number of channels or dimensions.
    """

    def __init__(
        self,
        channels: int,
        *,
        dims: int = 2,
        scales: int = 4,
        pairwise: str = "embedded_gaussian",
        pool: str = "average",
        share: bool = True,
        upsample: str = "nearest",
        combine: str = "attention",
        ratio: int | None = None,
    ) -> None:
        super().__init__()
        if dims not in (2, 3):
            raise ValueError(f"dims={dims} must be 2 (height, width) or 3 (time as well)")
        if not 2 <= scales <= 4:
            raise ValueError(f"scales={scales} must be 2, 3 or 4; for a single scale use NonLocal")
        if channels < 2 * scales or channels % scales:
            raise ValueError(
                f"channels={channels} must be a multiple of scales={scales} and at least twice it, "
                "as the non-local operation halves the channels of a scale"
            )
        for name, given, known in (
            ("pool", pool, POOLS),
            ("upsample", upsample, UPSAMPLINGS),
            ("combine", combine, COMBINATIONS),
        ):
            if given not in known:
                raise ValueError(f"{name}={given!r} must be one of {', '.join(known)}")
        if combine == "concatenation" and ratio is not None:
            raise ValueError(
                f"ratio={ratio} has no effect with combine='concatenation', which has no q and k: "
                "leave it out, or use combine='attention'"
            )
        per_scale = channels // scales  # C'
        ratio = 2 if ratio is None else ratio
        if not 1 <= ratio <= per_scale:
            raise ValueError(f"ratio={ratio} must be from 1 to the {per_scale} channels of a scale")
        self.channels, self.dims, self.scales = channels, dims, scales
        self.pool, self.upsample = pool, upsample
        # Biases, as the paper's numbers of parameters have them.
        self.non_local = nn.ModuleList(
            NonLocal(per_scale, dims=dims, pairwise=pairwise, conv_bias=True)
            for _ in range(1 if share else scales)
        )
        self.query: nn.Linear | None = None
        if combine == "attention":
            self.query = nn.Linear(per_scale, per_scale // ratio)
            self.key = nn.Linear(per_scale, per_scale // ratio)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W or B C T H W -> the same shape."""
        if x.ndim != 2 + self.dims or x.shape[1] != self.channels:
            raise ValueError(
                f"PNL takes B x {self.channels} and {self.dims} dimensions of positions, got "
                f"{tuple(x.shape)}: build it with the channels and dims of the map it follows"
            )
        size = (x.shape[-2], x.shape[-1])
        responses = [
            self._upsampled(self.operation(k).response(regions), size)
            for k, regions in enumerate(self.regions(x))
        ]
        y = self._normalised(responses)  # B n C' ...
        if self.query is not None:
            means = y.flatten(3).mean(3)  # B n C'
            scores = self.query(means) @ self.key(means).transpose(1, 2)  # B n n
            weights = (scores / means.shape[2] ** 0.5).softmax(dim=2)
            y = (weights @ y.flatten(2)).reshape(y.shape)
        return x + y.flatten(1, 2).to(x.dtype)  # B C ...

    def regions(self, x: Tensor) -> list[Tensor]:
        """X_k of all scales: B C' (T) H >> k W >> k, a side at least 1."""
        return [
            self._pooled(chunk, (max(x.shape[-2] >> k, 1), max(x.shape[-1] >> k, 1)))
            for k, chunk in enumerate(x.chunk(self.scales, dim=1))
        ]

    def operation(self, k: int) -> NonLocal:
        """The non-local operation of a scale, the same for all with `share`."""
        operation = self.non_local[k % len(self.non_local)]
        assert isinstance(operation, NonLocal)
        return operation

    def _normalised(self, responses: list[Tensor]) -> Tensor:
        """B C' ... for each scale -> B n C' ...; a batch norm for all scales, or one for each."""
        if len(self.non_local) > 1:
            normed = [self.operation(k).norm(y) for k, y in enumerate(responses)]
            return torch.stack(normed, dim=1)
        together = torch.stack(responses, dim=1).flatten(0, 1)  # Bn C' ...
        normed = self.operation(0).norm(together)
        return torch.unflatten(normed, 0, (responses[0].shape[0], self.scales))

    def _pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if size == tuple(x.shape[-2:]):
            return x
        if self.pool == "max":
            return _max_of_regions(_max_of_regions(x, -2, size[0]), -1, size[1])
        frames = x.flatten(1, -3)  # B C' H W or B C'T H W
        return F.adaptive_avg_pool2d(frames, size).reshape(*x.shape[:-2], *size)

    def _upsampled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if size == tuple(x.shape[-2:]):
            return x
        frames = x.flatten(1, -3)
        return F.interpolate(frames, size, mode=self.upsample).reshape(*x.shape[:-2], *size)


def _max_of_regions(x: Tensor, dim: int, length: int) -> Tensor:
    """Adaptive max pooling along one dimension: the ONNX export lacks PyTorch's own."""
    old = x.shape[dim]
    place = torch.arange(length, device=x.device)[:, None]
    start, end = place * old // length, -(-(place + 1) * old // length)  # the latter rounded up
    within = torch.arange(-(-old // length) + 1, device=x.device)  # no region is longer
    index = torch.minimum(start + within, end - 1)  # a shorter one repeats its last pixel
    regions = x.index_select(dim, index.flatten())
    shape = (*x.shape[:dim], *index.shape, *x.shape[x.ndim + dim + 1 :])
    return regions.reshape(shape).amax(dim)
