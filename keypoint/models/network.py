"""Base class of all networks, for any task: colors, blocks at sites, parts to count.

`PoseNetwork` (heatmaps of images) and the video classifiers are built on it; weights, complexity
and checkpoints need nothing else. Letters: B batch, H W the input's height and width.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.blocks import build_block, insert_blocks
from keypoint.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixel values in [0, 1]; torchvision's
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module):
    """Base class: colors and blocks. A subclass adds the layers and `forward`.

    A subclass sets `self.blocks`, the blocks at its own sites by site (a ModuleList of several at
    one site), as its last module (so that the order of the other parameters is the same without
    blocks), and applies them in `forward`.
    Blocks after any other submodule are put there by `insert`.
    """

    # The network's own sites: all of them, and those used for a single block's name.
    SITES: tuple[str, ...] = ()
    DEFAULT_SITES: tuple[str, ...] = ()
    # First parts of the names in an ImageNet file of the encoder.
    ENCODER_PREFIXES: tuple[str, ...] = ()
    # First part of the names of the last layer, which has an output for each keypoint or class; ""
    # if it is not known. And the word for these in messages.
    HEAD = ""
    OUTPUTS = "outputs"
    # Prefix, with a dot, of the submodules that `blocks` names; names in files omit it.
    WITHIN = ""

    pixel_mean: Tensor
    pixel_std: Tensor
    blocks: nn.ModuleDict
    block_options: dict[str, dict[str, Any]]  # by site or submodule, with "type"

    def __init__(self) -> None:
        super().__init__()
        self.block_options = {}
        # Not in the state dict, so that other toolkits' files load; checkpoints store them apart.
        self.register_buffer("pixel_mean", torch.zeros(3), persistent=False)
        self.register_buffer("pixel_std", torch.ones(3), persistent=False)
        self.set_colors("rgb", IMAGENET_MEAN, IMAGENET_STD)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images or frames."""
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        """Outputs of the last layer: keypoints, or classes."""
        raise NotImplementedError

    def example(self, batch: int = 1) -> Tensor:
        """An input of `forward`, zeros: (B, 3, H, W)."""
        return torch.zeros(batch, 3, *self.input_size)

    def insertion(self, site: str) -> dict[str, Any]:
        """Additional arguments of `insert_blocks` at a submodule."""
        return {}

    def set_colors(
        self,
        color_order: str,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Set the color order, mean and std that the weights expect; `normalize` applies them.

        Args:
            color_order: "rgb" or "bgr", of the images that they were trained on.
            mean: Of pixel values in [0, 1], always in RGB order.
            std: As the mean.

        Raises:
            ConfigError: The color order is not "rgb" or "bgr".
        """
        if color_order not in ("rgb", "bgr"):
            raise ConfigError(f"color_order={color_order!r} must be 'rgb' or 'bgr'")
        self.color_order = color_order
        self.pixel_mean.copy_(torch.tensor(mean, dtype=torch.float64) * 255)
        self.pixel_std.copy_(torch.tensor(std, dtype=torch.float64) * 255)

    def colors(self) -> dict[str, Any]:
        """The arguments of `set_colors` as plain types; set again, they give the same bits."""
        mean, std = ((v.cpu().double() / 255).tolist() for v in (self.pixel_mean, self.pixel_std))
        return {"color_order": self.color_order, "mean": mean, "std": std}

    def normalize(self, crops: Tensor) -> Tensor:
        """Turn decoded crops into the input of `forward`: (B, H, W, 3) uint8 RGB to (B, 3, H, W)
        float32.

        The result has the memory format channels_last, like the crops.
        """
        width = crops.shape[2]
        mean, std = self.pixel_mean, self.pixel_std
        if self.color_order == "bgr":
            # Swapped as bytes: swapping floats takes 1.5 times as long.
            crops, mean, std = crops.flip(3), mean.flip(0), std.flip(0)
        # Whole rows, in place: a loop over 3 channels is not vectorised (3 times slower).
        rows = crops.to(torch.float32, copy=True).flatten(2)  # B H W*3
        rows = rows.sub_(mean.repeat(width)).div_(std.repeat(width))
        return rows.view(crops.shape).permute(0, 3, 1, 2)  # B 3 H W

    def settings(self) -> dict[str, Any]:
        """Settings that names and shapes of the state dict do not show, by config key."""
        return {}

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules by which the cost is listed; anything else counts as `rest`."""
        for name, child in self.named_children():
            if child is not self.blocks:
                yield name, child

    def foldable(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Each convolution whose output only a BatchNorm takes: parent and both names.

        `fold_norms` folds these. Empty by default: how a network calls its layers is unknown.
        """
        yield from ()

    def describe_blocks(self, blocks: str | Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
        """Return the `blocks` argument in one form: by site, a mapping with `type` and options.

        Raises:
            ConfigError: It is a single name, but the network has no sites of its own.
        """
        if isinstance(blocks, str):
            if not self.DEFAULT_SITES:
                raise ConfigError(
                    f"blocks={blocks!r}: this network has no sites of its own; name the submodules "
                    f"that blocks follow, such as blocks={{layer4: {blocks}}}"
                )
            blocks = dict.fromkeys(self.DEFAULT_SITES, blocks)
        return {
            site: dict(choice) if isinstance(choice, Mapping) else {"type": choice}
            for site, choice in (blocks or {}).items()
        }

    def blocks_of(self, section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the blocks of a config's section `model`, in the form of `describe_blocks`."""
        return self.describe_blocks(section.get("blocks"))

    def insert(self, blocks: Mapping[str, Mapping[str, Any]]) -> None:
        """Put blocks after submodules that are not the network's own sites.

        Args:
            blocks: By submodule, a mapping with `type` and the block's options.

        Raises:
            ConfigError: A submodule, a block or an option does not exist or does not fit.
        """
        check_not_nested(blocks)
        example = self.example()
        for site, choice in blocks.items():
            name, options = block_name(site, choice)
            try:
                insert_blocks(
                    self,
                    name,
                    after=[f"{self.WITHIN}{site}"],
                    example=example,
                    **self.insertion(site),
                    **options,
                )
            except (TypeError, ValueError) as error:
                unknown = f"{self.WITHIN}{site}" not in dict(self.named_modules())
                own = f"; its own sites are {list(self.SITES)}" if unknown and self.SITES else ""
                raise ConfigError(f"blocks at {site}: {error}{own}") from None
            self.block_options[site] = dict(choice)

    def block_paths(self) -> dict[str, str]:
        """Return the submodule names of all blocks by site, of a list if a site has several."""
        inserted = (site for site in self.block_options if site not in self.blocks)
        own = {site: f"blocks.{site}" for site in self.blocks}
        return own | {site: f"{self.WITHIN}{site}.block" for site in inserted}

    def all_blocks(self) -> dict[str, nn.Module]:
        """Return every block by its site or submodule; a ModuleList if a site has several."""
        return {site: self.get_submodule(path) for site, path in self.block_paths().items()}


def check_not_nested(sites: Iterable[str]) -> None:
    """Refuse a submodule inside another one.

    Raises:
        ConfigError: There is one; the text names both.
    """
    for inner, outer in itertools.permutations(sites, 2):
        if inner.startswith(f"{outer}."):
            raise ConfigError(
                f"blocks names {outer!r} and {inner!r}, which is inside it; give one of them"
            )


def check_input_size(input_size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The size as integers.

    Raises:
        ConfigError: A side is not a positive multiple.
    """
    if len(input_size) != 2 or any(side <= 0 or side % multiple for side in input_size):
        raise ConfigError(
            f"input_size={list(input_size)} must be (height, width), "
            f"both positive multiples of {multiple}"
        )
    return int(input_size[0]), int(input_size[1])


def block_name(site: str, choice: object) -> tuple[str, dict[str, Any]]:
    """Name and options of a block in a mapping.

    Raises:
        ConfigError: It is not a mapping with `type`, or an option is derived from the network.
    """
    options = dict(choice) if isinstance(choice, Mapping) else {}
    name = options.pop("type", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"blocks at {site} is {choice!r}; give a block's name or a mapping with 'type'"
        )
    for key in ("channels", "size", "frames", "dims"):
        if key in options:
            raise ConfigError(f"blocks at {site}: {key} is derived from the network; remove it")
    return name, options


def block_of_site(
    site: str, choice: Mapping[str, Any], channels: int, size: tuple[int, int]
) -> nn.Module:
    """Build the block of a mapping with `type` and options, for channels and (height, width).

    Raises:
        ConfigError: The block does not exist, or an option does not fit; the text names the site.
    """
    name, options = block_name(site, choice)
    try:
        return build_block(name, channels=channels, size=size, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"blocks at {site}: {error}") from None
