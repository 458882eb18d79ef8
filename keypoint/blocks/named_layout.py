"""The layout of a network's maps given by the caller of `insert_blocks`.

Nothing is guessed: by default a map is B C H W or B C T H W. Tokens B N C do not show the size, and
B H W C and a folded batch B*T C H W have four axes like B C H W.

Letters: B batch, C channels, T frames, H W size, N tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from keypoint.blocks.build import CLIP_BLOCKS
from keypoint.blocks.layout import (
    CONVOLUTIONS,
    ChannelsFirst,
    ChannelsLast,
    FoldedFrames,
    Layout,
    Shape,
    Tokens,
)
from keypoint.blocks.trial import Calls, Map


def layout_of(
    block: str, grid: Sequence[int] | None, layout: str | None, frames: int | None
) -> Layout:
    """Return the layout that the caller gives, for this block.

    Raises:
        ValueError: Two of the arguments are given, the layout is unknown, the grid is not two
            integers, or `frames` is not an integer.
    """
    if frames is not None:
        if grid is not None or layout is not None:
            raise ValueError(
                f"frames={frames} is for maps B*T C H W: remove "
                + (f"grid={grid}" if grid is not None else f"layout={layout!r}")
            )
        if not isinstance(frames, int) or frames < 1:
            raise ValueError(
                f"frames={frames!r} must be the number of frames of a clip at this block, "
                "an integer of at least 1"
            )
        return FoldedFrames(frames, alone=block not in CLIP_BLOCKS)
    if grid is not None and layout is not None:
        raise ValueError(
            f"grid={grid} is for tokens B N C and layout={layout!r} for channels last: give one"
        )
    if layout is not None:
        if layout not in ("bhwc", "bthwc"):
            raise ValueError(
                f"layout={layout!r} must be 'bhwc', or 'bthwc' for clips; remove it for maps "
                "B C H W and clips B C T H W, and give grid=(height, width) for tokens B N C"
            )
        return ChannelsLast(layout)
    if grid is None:
        return ChannelsFirst()
    if not (
        isinstance(grid, Sequence)
        and len(grid) == 2
        and all(isinstance(n, int) and n >= 1 for n in grid)
    ):
        raise ValueError(
            f"grid={grid!r} must be (height, width) of the token map, two integers of at "
            "least 1: image size / patch size in a ViT"
        )
    return Tokens((int(grid[0]), int(grid[1])))


def compared_with_example(layout: Layout, net: nn.Module, calls: Calls) -> Layout:
    """Return the layout, after its grid was searched in the network's outputs for the example.

    Raises:
        ValueError: Convolutions return maps of the grid's width x height, but not height x width.
    """
    if not isinstance(layout, Tokens):
        return layout
    sizes: dict[Shape, str] = {}
    counts = set()
    for name, module in net.named_modules():
        for output in calls.get(module, ()):
            if isinstance(output, Map) and len(output.shape) == 3:
                counts.add(output.shape[1])
            elif isinstance(output, Map) and isinstance(module, CONVOLUTIONS):
                sizes.setdefault(output.shape[2:], name)
    swapped = layout.grid[::-1]
    if swapped in sizes and layout.grid not in sizes:
        raise ValueError(
            f"grid={layout.grid} is (height, width), but the map of {sizes[swapped]!r} has height "
            f"{swapped[0]} and width {swapped[1]}: write grid={swapped}"
        )
    return replace(layout, shown=layout.grid in sizes or math.prod(layout.grid) in counts)
