"""Effective receptive field: how much a unit of a network depends on each pixel.

Sources: Luo, Li, Urtasun, Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NeurIPS 2016 ("luo"); Ding et al., "Scaling Up Your Kernels to 31x31", CVPR 2022,
and its script erf/visualize_erf.py ("replk").

    luo    u = sum_c map_c(centre)            mean over inputs and colors of |d u / d pixel|
    replk  u = sum_c max(map_c(centre), 0)    mean over inputs, sum over colors, of
                                              max(d u / d pixel, 0)

Luo et al. use 20 random inputs and count the pixels above 4.55 % of the largest value, which are
those within about two and a half standard deviations of a Gaussian. RepLKNet uses 50 images and the
smallest centered squares that contain a share of the sum. The network is in eval mode: with batch
statistics in batch norm, every unit would depend on every pixel.

Letters: C channels, T frames, H W size of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keypoint.explain.unit import centre_of, check_position, map_at, values_at

PROTOCOLS = ("luo", "replk")
BELONGS = 0.0455  # of the maximum, Luo et al.; RepLKNet has no such limit
SHARES = (0.2, 0.3, 0.5, 0.99)  # of the sum, RepLKNet

Floats = NDArray[np.float64]


class Square(NamedTuple):
    """The smallest square around the center that contains more than a share of the sum.

    Attributes:
        share: Share of the sum, 0 to 1.
        side: Side in pixels; the square may extend beyond the image.
        area: Share of the image's pixels inside the square, 0 to 1.
    """

    share: float
    side: int
    area: float


@dataclass(frozen=True)
class ReceptiveField:
    """The dependence of one unit on each pixel of the input.

    Attributes:
        scores: (T, H, W) float64, at least 0; T is 1 for images.
        centre: (row, column) of the pixel in the middle of the squares: the image's center, or the
            position of a chosen unit.
        inputs: Number of inputs in the mean.
    """

    scores: Floats
    centre: tuple[int, int]
    inputs: int

    @property
    def image(self) -> Floats:
        """Scores summed over the frames, (H, W)."""
        total: Floats = self.scores.sum(axis=0)
        return total

    @property
    def frames(self) -> Floats:
        """Share of each frame, (T,); 0 if the unit depends on no pixel."""
        of_frame: Floats = self.scores.sum(axis=(1, 2))
        return of_frame / (of_frame.sum() or 1.0)

    @property
    def size(self) -> float:
        """Size by Luo et al.: the root of the number of pixels above 4.55 % of the maximum."""
        image = self.image
        return float(np.sqrt((image > BELONGS * image.max()).sum()))

    @property
    def theoretical_size(self) -> float:
        """The root of the number of pixels that have any influence on the unit.

        This is the theoretical field inside the image, or slightly less if a ReLU is zero for every
        input.
        """
        return float(np.sqrt((self.image > 0).sum()))

    @property
    def ratio(self) -> float:
        """Effective size divided by theoretical size, 0 to 1."""
        return self.size / (self.theoretical_size or 1.0)

    def squares(self, shares: Sequence[float] = SHARES, *, log: bool = False) -> list[Square]:
        """Return RepLKNet's squares around the center.

        Args:
            shares: Shares of the sum, 0 to 1.
            log: Use log10(scores + 1), as RepLKNet's script does. This is nearly linear for scores
                far below 1, so the result depends on the scale of the weights.

        Returns:
            One square for each share; none if the unit depends on no pixel.
        """
        image = np.log10(self.image + 1) if log else self.image
        rows, columns = np.indices(image.shape)
        away = np.maximum(abs(rows - self.centre[0]), abs(columns - self.centre[1])).ravel()
        held = np.bincount(away, weights=image.ravel()).cumsum()  # sums within squares, by radius
        pixels = np.bincount(away).cumsum()
        if held[-1] == 0:
            return []
        radii = [int((held > share * held[-1]).argmax()) for share in shares]
        return [
            Square(share, 2 * radius + 1, float(pixels[radius] / image.size))
            for share, radius in zip(shares, radii, strict=True)
        ]


def receptive_field(
    net: nn.Module,
    inputs: Tensor,
    site: str = "",
    *,
    at: Sequence[int] | None = None,
    protocol: str = "luo",
) -> ReceptiveField:
    """Return the effective receptive field of one unit.

    Args:
        net: Any module, called as `net(inputs)`, trained or not; on the inputs' device.
        inputs: (B, C, H, W), or clips (B, C, T, H, W): images as the network expects them, or
            random numbers; they are processed one at a time.
        site: Name of a submodule whose output is a map, as in `net.named_modules()`; "" for the
            output of the network.
        at: (row, column) of its map, for clips (frame, row, column); None for the center.
        protocol: "luo" or "replk".

    Raises:
        ValueError: The protocol is unknown, the site's output is not a map, the position is outside
            it, or there is no input.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r} must be one of {', '.join(PROTOCOLS)}")
    if inputs.ndim not in (4, 5) or not len(inputs):
        raise ValueError(f"inputs are {tuple(inputs.shape)}; give B C H W or B C T H W")
    total = torch.zeros(inputs.shape[2:], dtype=torch.float64)
    size: tuple[int, ...] = ()
    where: tuple[int, ...] = ()
    for one in inputs.split(1):
        leaf = one.detach().clone().requires_grad_()
        with torch.enable_grad():
            found = map_at(net, leaf, site)  # C h w or C n h w
            size = tuple(found.shape[1:])
            where = centre_of(size) if at is None else check_position(at, size)
            unit = values_at(found, where)  # C
            unit = unit.relu() if protocol == "replk" else unit
            (gradient,) = torch.autograd.grad(unit.sum(), leaf)
        positive = gradient.relu() if protocol == "replk" else gradient.abs()
        colors = positive[0].double().cpu()
        total += colors.mean(dim=0) if protocol == "luo" else colors.sum(dim=0)
    height, width = inputs.shape[-2:]
    centre = height // 2, width // 2
    if at is not None:
        centre = where[-2] * height // size[-2], where[-1] * width // size[-1]
    scores = (total / len(inputs)).reshape(-1, height, width).numpy()
    return ReceptiveField(scores, centre, len(inputs))
