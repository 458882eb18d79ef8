"""The axes of a network's maps, and their conversion to B C H W or B C T H W for a block.

Letters: B batch, C channels, T frames, H W size, N tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from keypoint.blocks.trial import Map

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Conv3d, nn.ConvTranspose3d)
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class ChannelsFirst:
    """B C H W, and clips B C T H W: what blocks take."""

    takes = "one map B C H W or clip B C T H W"

    def fault(self, shape: Shape) -> str | None:
        """Why a block cannot follow an output of this shape, or None."""
        if len(shape) == 3:
            return (
                f"tokens B N C, {shape}, whose grid is unknown: give it with grid=(height, width)"
            )
        return None

    def likely(self, module: nn.Module, _: object) -> bool:
        """Whether a message may name it: attention's B heads N N have four axes too."""
        return any(isinstance(part, CONVOLUTIONS) for part in module.modules())

    def map_shape(self, shape: Shape) -> Shape:
        """Shape of the map that the block gets."""
        return shape

    def of(self, _: Shape) -> ChannelsFirst:
        """The layout of a submodule that gives this shape."""
        return self

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        """The block on a map of this layout."""
        y: Tensor = block(x)
        return y


@dataclass(frozen=True)
class ChannelsLast:
    """B H W C, or of a clip B T H W C."""

    word: str = "bhwc"  # or "bthwc"

    @property
    def takes(self) -> str:
        """The shapes that a block can follow."""
        kind = "map" if self.word == "bhwc" else "clip"
        return f"one {kind} {' '.join(self.word.upper())} with layout={self.word!r}"

    def fault(self, shape: Shape) -> str | None:
        """Why a block cannot follow an output of this shape, or None."""
        if len(shape) == 3:
            return f"tokens B N C, {shape}: give grid=(height, width) instead of layout"
        if len(shape) != len(self.word):
            other = "bhwc" if len(shape) == 4 else "bthwc"
            return (
                f"{len(shape)} axes, {shape}, on which layout={self.word!r} has no effect: write "
                f"layout={other!r} for {' '.join(other.upper())}, or remove it for channels in "
                "front"
            )
        return None

    def likely(self, module: nn.Module, outputs: Sequence[Map | str]) -> bool:
        """Whether a message may name it: with a LayerNorm over as many channels."""
        channels = {x.shape[-1:] for x in outputs if isinstance(x, Map)}
        norms = (part for part in module.modules() if isinstance(part, nn.LayerNorm))
        return any(norm.normalized_shape in channels for norm in norms)

    def map_shape(self, shape: Shape) -> Shape:
        """Shape of the map that the block gets."""
        batch, *size, channels = shape
        return batch, channels, *size

    def of(self, _: Shape) -> ChannelsLast:
        """The layout of a submodule that gives this shape."""
        return self

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        """The block on a map of this layout."""
        y: Tensor = block(x.movedim(-1, 1))  # B C H W or B C T H W
        return laid_out_as(x, y.movedim(1, -1))


@dataclass(frozen=True)
class Tokens:
    """B N C: h*w tokens row by row, after `prefix` others that pass the block unchanged."""

    grid: tuple[int, int]
    shown: bool = False  # the network has a map of this grid, or its h*w tokens alone
    prefix: int = 0

    @property
    def takes(self) -> str:
        """The shapes that a block can follow."""
        return (
            f"tokens B N C with grid={self.grid}: N = {math.prod(self.grid)}, plus a few "
            "class or register tokens before them"
        )

    def fault(self, shape: Shape) -> str | None:
        """Why a block cannot follow an output of this shape, or None."""
        if len(shape) != 3:
            return (
                f"a map of {len(shape)} axes, {shape}, on which grid={self.grid} has no effect: "
                "remove grid for B C H W, or write layout='bhwc' instead for B H W C"
            )
        own = math.prod(self.grid)
        extra = shape[1] - own
        given = f"{shape[1]} tokens, {shape}, but grid={self.grid} has {own}"
        remedy = f"Give the grid (height, width) of this submodule's tokens{self.square(shape[1])}"
        if extra < 0:
            return f"{given}. {remedy}"
        if extra >= own:
            return (
                f"{given}: the other {extra} are too many to be class or register tokens. {remedy}"
            )
        if extra and not self.shown:
            return (
                f"{given}. The other {extra} can be class or register tokens only if a convolution "
                f"returns a map of this grid, or another submodule {own} tokens: none does here. "
                f"{remedy}"
            )
        return None

    def square(self, tokens: int) -> str:
        """A hint with another grid, of a square image with or without a class token; else ""."""
        for extra, sum_ in ((0, ""), (1, "1 + ")):
            side = math.isqrt(max(tokens - extra, 0))
            if side > 1 and side * side + extra == tokens and (side, side) != self.grid:
                return f", such as grid=({side}, {side}): {tokens} = {sum_}{side} x {side}"
        return ""

    def likely(self, _: nn.Module, __: object) -> bool:
        """Whether a message may name it: tokens cannot be taken for anything else."""
        return True

    def map_shape(self, shape: Shape) -> Shape:
        """Shape of the map that the block gets."""
        return shape[0], shape[2], *self.grid

    def of(self, shape: Shape) -> Tokens:
        """The layout of a submodule that gives this shape."""
        return replace(self, prefix=shape[1] - math.prod(self.grid))

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        """The block on the grid's tokens.

        Raises:
            ValueError: The number of tokens differs from the example's.
        """
        expected = self.prefix + math.prod(self.grid)
        if x.ndim != 3 or x.shape[1] != expected:
            raise ValueError(
                f"a block was inserted for tokens B x {expected} x C ({self.prefix} in front of "
                f"grid={self.grid}), got {tuple(x.shape)}: run images of the size of the example, "
                "or build the network again and call insert_blocks with an example and grid of "
                "this size"
            )
        tokens = x[:, self.prefix :]  # B HW C
        y: Tensor = block(tokens.transpose(1, 2).unflatten(2, self.grid))  # B C H W
        y = y.flatten(2).transpose(1, 2)  # B HW C
        if self.prefix:
            y = torch.cat((x[:, : self.prefix], y), dim=1)  # B N C
        return laid_out_as(x, y)


@dataclass(frozen=True)
class FoldedFrames:
    """B*T C H W, the frames of a clip one after another; the block gets B C T H W.

    A block that does not support clips gets the folded map itself (`alone`): each frame alone.
    """

    frames: int
    alone: bool = False

    @property
    def takes(self) -> str:
        """The shapes that a block can follow."""
        return f"one map B*{self.frames} C H W, the frames of a clip folded into the batch"

    def fault(self, shape: Shape) -> str | None:
        """Why a block cannot follow an output of this shape, or None."""
        if len(shape) == 5:
            return f"a clip of five axes, {shape}, which already has its frames: remove frames"
        if len(shape) != 4:
            return f"a tensor {shape}, but frames={self.frames} is for folded maps B*T C H W"
        if shape[0] % self.frames:
            return f"a batch of {shape[0]}, {shape}, not a multiple of frames={self.frames}"
        return None

    def likely(self, module: nn.Module, _: object) -> bool:
        """Whether a message may name it: attention's B heads N N have four axes too."""
        return any(isinstance(part, CONVOLUTIONS) for part in module.modules())

    def map_shape(self, shape: Shape) -> Shape:
        """Shape of the map or clip that the block gets."""
        batch, channels, height, width = shape
        if self.alone:
            return shape
        return batch // self.frames, channels, self.frames, height, width

    def of(self, _: Shape) -> FoldedFrames:
        """The layout of a submodule that gives this shape."""
        return self

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        """The block on the clips of a folded batch.

        Raises:
            ValueError: The batch is not a whole number of clips.
        """
        if x.shape[0] % self.frames:
            raise ValueError(
                f"a block was inserted for clips of {self.frames} frames folded into the batch, "
                f"B*{self.frames} C H W, got {tuple(x.shape)}: {x.shape[0]} is not a multiple of "
                f"{self.frames}; run whole clips of {self.frames} frames, or build the network "
                "again and call insert_blocks with the frames of these"
            )
        if self.alone:
            y: Tensor = block(x)
            return y
        clips = x.unflatten(0, (x.shape[0] // self.frames, self.frames))  # B T C H W
        y = block(clips.transpose(1, 2))  # B C T H W
        return laid_out_as(x, y.transpose(1, 2).flatten(0, 1))


def laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Return y with the strides of x.

    Later layers may `view` it, and strides determine which kernel runs: even those of a batch of
    one, which have no meaning, changed the last bits of a ViT.
    """
    return y if y.stride() == x.stride() else torch.empty_like(x).copy_(y)


Layout: TypeAlias = ChannelsFirst | ChannelsLast | Tokens | FoldedFrames
