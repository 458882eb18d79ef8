"""Spectral residual learning for video: the spectrum of each frame, mixed over channels and time.

Source: Chi et al., "Fast Non-Local Neural Networks with Spectral Residual Learning", ACM MM 2019,
section 3.3 "Spectral Convolution", figure 3, tables 8 and 9 (the C2D network).

    y = x + alpha * f^-1( phi( f(x) ) )          f per frame, alpha = 0 at the start
    phi = conv_c -> BN -> spectral ReLU -> conv_t -> BN

conv_c is a grouped 1x1 convolution over the channels, the same for all frames; conv_t a 1x1
convolution over the frames, the same for all channels and frequencies; neither has a bias. Channels
are not reduced, which gives exactly the paper's numbers of parameters.

With only one of the two (table 9) the block is that convolution -> BN -> spectral ReLU. The paper
does not define it; this is the first half of the image block, and keeps the non-linearity.

Letters: B batch, C channels, T frames, H W size, M = 2C (Fourier) or C (real) spectral maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keypoint.blocks.pointwise import mix
from keypoint.blocks.spectral.relu import SpectralReLU
from keypoint.blocks.spectral.srl import build_transform, check_groups, default_groups

OPS = ("channel", "time", "channel+time")


class SRLVideo(nn.Module):
    """A spectral residual block for clips B C T H W; same shape, dtype and memory format out.

    Args:
        channels: C.
        frames: T, fixed: conv_t has a weight for each pair of frames. Without it (ops="channel") a
            clip may have any other T.
        size: (height, width) the spectral grid is built for; it runs at any, as `SRL`.
        transform: "fft", "lo" (learned orthogonal matrices), "dct", "wht", "haar" or "slant".
        ops: "channel", "time" or "channel+time".
        groups: of conv_c; None is 8 for "fft" and 2 for the real transforms.
        retraction: of "lo" only: "qr" (None) or "polar".
        matmul: of "fft" only: the Fourier transform as matrix products, for export.

    Raises:
        ValueError: an argument that does not fit or would have no effect; in forward, a clip of
            another shape than B C T H W, or of another T with conv_t.
    """

    def __init__(
        self,
        channels: int,
        *,
        frames: int,
        size: tuple[int, int],
        transform: str = "fft",
        ops: str = "channel+time",
        groups: int | None = None,
        retraction: str | None = None,
        matmul: bool = False,
    ) -> None:
        super().__init__()
        if ops not in OPS:
            raise ValueError(f"ops={ops!r} must be one of {', '.join(OPS)}")
        if ops == "time" and groups is not None:
            raise ValueError(
                f"groups={groups} has no effect with ops='time', which mixes no channels: leave it "
                "out, or use ops='channel+time'"
            )
        if channels < 1 or frames < 1:
            raise ValueError(f"channels={channels} and frames={frames} must be at least 1")
        self.channels, self.frames = channels, frames
        self.transform = build_transform(transform, size, retraction=retraction, matmul=matmul)
        maps = self.transform.parts * channels  # M
        self.channel: nn.Sequential | None = None
        self.conv_t: nn.Conv1d | None = None
        if "channel" in ops:
            groups = default_groups(transform) if groups is None else groups
            check_groups(groups, maps)
            self.channel = nn.Sequential(
                nn.Conv2d(maps, maps, 1, groups=groups, bias=False), nn.BatchNorm2d(maps)
            )
        if "time" in ops:
            self.conv_t = nn.Conv1d(frames, frames, 1, bias=False)
            self.norm_t = nn.BatchNorm2d(maps)
        self.relu = SpectralReLU(self.transform.spectral_size, transposed=self.transform.transposed)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """B C T H W -> B C T H W."""
        if x.ndim != 5 or x.shape[1] != self.channels or not x.is_floating_point():
            raise ValueError(
                f"SRLVideo takes B x {self.channels} x {self.frames} x H x W of floating point, "
                f"got {tuple(x.shape)} of {x.dtype}: build it with the channels of the clip it "
                "follows"
            )
        batch, _, frames, *size = x.shape
        if self.conv_t is not None and frames != self.frames:
            raise ValueError(
                f"SRLVideo takes clips of {self.frames} frames, got {tuple(x.shape)} of {frames}: "
                f"its conv_t has a weight for each pair of {self.frames} frames. In a network, "
                "insert the blocks with an example as long as its clips; alone, cut the clip to "
                f"{self.frames} frames, or build the block again with frames={frames}"
            )
        z = self.transform(x.transpose(1, 2).flatten(0, 1))  # BT M V H, or BT M H W
        z = z.to(self.alpha.dtype)
        if self.channel is not None:
            conv, norm = self.channel
            z = self.relu(norm(mix(z, conv)))
        if self.conv_t is not None:
            maps = z.unflatten(0, (batch, frames)).flatten(2)  # B T MH'W'
            mixed = self.conv_t(maps)
            z = self.norm_t(mixed.reshape(z.shape))
            if self.channel is None:
                z = self.relu(z)
        y = self.alpha * self.transform.inverse(z, (size[0], size[1]))  # BT C H W
        residual: Tensor = y.to(x.dtype).unflatten(0, (batch, frames))  # B T C H W
        return x + residual.transpose(1, 2)
