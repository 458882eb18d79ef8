"""Base class of networks that classify clips, used by training, evaluation, prediction and export.

Letters: B batch, C channels, T frames, H W the frames' height and width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, zeros

from keypoint.action.networks.places import sites_of_places
from keypoint.blocks import build_block
from keypoint.blocks.named_layout import layout_of
from keypoint.blocks.with_block import WithBlock
from keypoint.errors import ConfigError
from keypoint.models.network import Network, block_name, check_input_size, check_not_nested


@dataclass(frozen=True)
class ClipMap:
    """Size of the map after a unit, for one clip: C, T and (height, width)."""

    channels: int
    frames: int
    size: tuple[int, int]


class ActionNetwork(Network):
    """Base class with input and classes. A subclass adds layers and `forward`.

    Its sites are its units (residual blocks), by submodule names. A block follows a site in a
    `WithBlock`, so the names of all other parameters are the same as without blocks, and weights of
    the network without blocks can be loaded.

    Args:
        name: Name of the network, for messages.
        num_classes: Number of classes.
        frames: T of a clip.
        input_size: (height, width) of the frames.
        frames_multiple: T must be a multiple of it.

    Raises:
        ConfigError: A size or number is not supported.
    """

    HEAD = "fc."
    OUTPUTS = "classes"
    FOLDS_FRAMES = False  # whether maps inside are B*T C H W instead of B C T H W

    # Set by a subclass: the units of stages 2 to 5, the map after each, and the default places.
    stages: Mapping[int, tuple[str, ...]]
    maps: Mapping[str, ClipMap]
    usual_places: str

    def __init__(
        self,
        name: str,
        *,
        num_classes: int,
        frames: int,
        input_size: tuple[int, int],
        frames_multiple: int = 1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ConfigError(f"num_classes={num_classes} must be at least 2")
        if frames < 1 or frames % frames_multiple:
            raise ConfigError(f"frames={frames} must be a positive multiple of {frames_multiple}")
        self.name, self.num_classes, self.frames = name, num_classes, frames
        self._input_size = check_input_size(input_size, 1)

    def forward(self, clips: Tensor) -> Tensor:
        """Map normalised clips (B, 3, T, H, W) to a logit for each class, (B, num_classes)."""
        raise NotImplementedError

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self._input_size

    @property
    def num_outputs(self) -> int:
        """Number of outputs, one for each class."""
        return self.num_classes

    def example(self, batch: int = 1) -> Tensor:
        """Return an input of `forward`: zeros (B, 3, T, H, W)."""
        return zeros(batch, 3, self.frames, *self.input_size)

    def normalize(self, clips: Tensor) -> Tensor:
        """Convert decoded clips to the input of `forward`.

        Maps (B, T, H, W, 3) uint8 RGB to (B, 3, T, H, W) float32, stored frame by frame.
        """
        frames = super().normalize(clips.flatten(0, 1))  # BT 3 H W
        normal: Tensor = frames.unflatten(0, clips.shape[:2]).transpose(1, 2)
        return normal

    def describe_blocks(
        self, blocks: str | Mapping[str, Any] | None, places: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the `blocks` argument as a mapping from site to `type` and options.

        Args:
            blocks: None, a name, a mapping with `type` and options, or a mapping by site.
            places: A key of `PLACES`, the sites of a single block; None for the default ones.

        Raises:
            ConfigError: The places are unknown, or have no effect.
        """
        one = isinstance(blocks, str) or (isinstance(blocks, Mapping) and "type" in blocks)
        if one:
            sites = sites_of_places(places or self.usual_places, self.stages, self.name)
            blocks = dict.fromkeys(sites, blocks)
        elif places is not None:
            why = "blocks that name their sites" if blocks else "no blocks"
            raise ConfigError(f"places={places} has no effect with {why}; leave it out")
        return super().describe_blocks(blocks)

    def blocks_of(self, section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the blocks in section `model` of a config, see `describe_blocks`."""
        return self.describe_blocks(section.get("blocks"), section.get("places"))

    def settings(self) -> dict[str, Any]:
        """Return the network's name."""
        return {"network": self.name}

    def insert(self, blocks: Mapping[str, Mapping[str, Any]]) -> None:
        """Insert blocks after units, whose map sizes are known, or after other submodules.

        Args:
            blocks: By submodule, a mapping with `type` and the block's options.

        Raises:
            ConfigError: A submodule, a block or an option does not exist or does not fit.
        """
        check_not_nested(blocks)
        for site in [site for site in blocks if site in self.maps]:
            self._insert_after_unit(site, blocks[site])
        super().insert({site: choice for site, choice in blocks.items() if site not in self.maps})

    def _insert_after_unit(self, site: str, choice: Mapping[str, Any]) -> None:
        """Do the same as `insert_blocks`, without running the network to find the map's size."""
        name, options = block_name(site, choice)
        unit, of_unit = self.get_submodule(site), self.maps[site]
        c, t = of_unit.channels, of_unit.frames
        layout = layout_of(name, None, None, t if self.FOLDS_FRAMES else None)
        shape = (t, c, *of_unit.size) if self.FOLDS_FRAMES else (1, c, t, *of_unit.size)
        channels, *frames, height, width = layout.map_shape(shape)[1:]
        try:
            of_clip = {"frames": frames[0]} if frames else {}
            with next(unit.parameters()).device:
                block = build_block(name, channels, (height, width), **of_clip, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"blocks at {site}: {error}") from None
        pair = WithBlock(OrderedDict(site=unit, block=block))
        pair.layout = layout
        parent, _, child = site.rpartition(".")
        setattr(self.get_submodule(parent), child, pair.train(unit.training))
        self.block_options[site] = dict(choice)

    def check_clips(self, clips: Tensor) -> None:
        """Refuse clips whose number of frames the blocks were not built for.

        Raises:
            ValueError: The blocks are for another T.
        """
        if self.block_options and clips.shape[2] != self.frames:
            raise ValueError(
                f"{self.name} has blocks for clips of {self.frames} frames, got "
                f"{clips.shape[2]}; cut the clips to {self.frames}, or build the network with "
                f"frames={clips.shape[2]} (weights of other blocks can be loaded then, but not of "
                "SRL blocks: conv_t has a weight for each pair of frames)"
            )


def halved(size: tuple[int, int], times: int) -> tuple[int, int]:
    """Return (height, width) after a number of strides of 2, each rounded up."""
    height, width = (-(-side // 2**times) for side in size)
    return height, width
