"""The row of one query position: the weights of all positions of a block's map.

Letters: T frames, H W size of the block's map; n h w size of the regions attended to, which are
pixels of the map unless the block pools first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scale = tuple[
    float, float, float
]  # frames, rows and columns of the input per frame, row and column of the map
ONE: Scale = (1.0, 1.0, 1.0)


class Distance(NamedTuple):
    """Mean distance from the query: in pixels, and in frames."""

    pixels: float
    frames: float


@dataclass(frozen=True)
class Row:
    """One row of a block's attention matrix: N numbers, not N x N.

    Attributes:
        name: Name of the row, such as "scale 1" or "2 passes"; "" if the block has only one.
        kind: "softmax" (at least 0, sum 1), "signed" or "gradient" (at least 0).
        weights: (n, h, w) float64; n is 1 for images.
        map_size: (T, H, W) of the block's map.
        at: (frame, row, column) of the query in the block's map.
        step: (rows, columns) of the map in a region.
        first_frame: Frame of the map for weights[0], if the block processes frames separately.
        response: (K,) float64, the weighted sum of the values, before the block's last convolution;
            None for a gradient.
    """

    name: str
    kind: str
    weights: Floats
    map_size: tuple[int, int, int]
    at: tuple[int, int, int]
    step: tuple[float, float] = (1.0, 1.0)
    first_frame: int = 0
    response: Floats | None = None

    @cached_property
    def shares(self) -> Floats:
        """|weights| divided by their sum, (n, h, w); 0 if all are 0."""
        strength = np.abs(self.weights)
        return np.asarray(strength / (strength.sum() or 1.0), np.float64)

    @property
    def entropy(self) -> float:
        """Entropy of the shares divided by log N: 0 for one position alone, 1 if uniform.

        nan if all weights are 0.
        """
        p = self.shares[self.shares > 0]
        if not len(p):
            return math.nan
        return float(-(p * np.log(p)).sum() / math.log(self.shares.size)) if len(p) > 1 else 0.0

    def distance(self, scale: Scale = ONE) -> Distance:
        """Return the mean distance between query and regions, weighted by the shares.

        Args:
            scale: Frames, rows and columns of the network's input per frame, row and column of the
                block's map.
        """
        n, h, w = self.weights.shape
        frames = np.arange(n) + self.first_frame - self.at[0]
        rows = self._middles(h, 0) - self.at[1]
        columns = self._middles(w, 1) - self.at[2]
        pixels = np.hypot(rows[:, None] * scale[1], columns * scale[2])  # h w
        return Distance(
            float((self.shares * pixels).sum()),
            float((self.shares.sum(axis=(1, 2)) * abs(frames)).sum() * scale[0]),
        )

    def _middles(self, count: int, axis: int) -> Floats:
        """Return the middle of each region, in pixels of the map; the first pixel's middle is 0."""
        edges = np.minimum(np.arange(count + 1) * self.step[axis], self.map_size[1 + axis])
        return np.asarray((edges[1:] + edges[:-1] - 1) / 2, np.float64)

    def strongest(self, number: int = 5) -> list[tuple[int, int, int]]:
        """Return (frame, row, column) of the regions with the largest |weights|, largest first."""
        order = np.argsort(-np.abs(self.weights), axis=None, kind="stable")[:number]
        places = np.stack(np.unravel_index(order, self.weights.shape), axis=1).tolist()
        return [(t, y, x) for t, y, x in places]

    def box(self, region: tuple[int, int, int]) -> tuple[float, float, float, float]:
        """Return x1, y1, x2, y2 of a region, relative to the map's width and height."""
        _, y, x = region
        _, height, width = self.map_size
        last_x = min((x + 1) * self.step[1], width)
        last_y = min((y + 1) * self.step[0], height)
        return x * self.step[1] / width, y * self.step[0] / height, last_x / width, last_y / height

    def on_map(self) -> Floats:
        """Return the weights at the resolution of the block's map, (T, H, W)."""
        n, h, w = self.weights.shape
        _, height, width = self.map_size
        rows, columns = (  # plus half a pixel, away from the borders between regions
            np.minimum(((np.arange(side) + 0.5) / step).astype(int), count - 1)
            for side, step, count in zip((height, width), self.step, (h, w), strict=True)
        )
        spread = np.zeros(self.map_size)
        spread[self.first_frame : self.first_frame + n] = self.weights[:, rows][:, :, columns]
        return spread
