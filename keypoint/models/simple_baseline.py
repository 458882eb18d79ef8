"""SimpleBaseline with blocks.

    ResNet encoder -> (deconvolution -> BN -> ReLU [-> block]) x 3 -> 1x1 head

Source: Xiao, Wu, Wei 2018 (network, initialisation, parameter names of its released files); SRL
paper, Fig. 4 (blocks right after each deconvolution's BN and ReLU). Letters: B batch, K keypoints,
H W the input's height and width.

    site     layer1  layer2  layer3  layer4  deconv1  deconv2  deconv3
    stride      4       8      16      32       16       8        4

An encoder of stride 16 or 8 needs one or two deconvolutions less (SRL paper, table 4, baseline*);
names.py has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.blocks import build_block
from keypoint.errors import ConfigError
from keypoint.models.encoder import resnet_encoder
from keypoint.models.names import DECONV_SITES, SITES, STRIDES_OF_SITES
from keypoint.pose.codec import Codec

DECONV_CHANNELS = 256
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixel values in [0, 1]; torchvision's
IMAGENET_STD = (0.229, 0.224, 0.225)


class SimpleBaseline(nn.Module):
    """Crops in, one heatmap per keypoint out, at a quarter of the input's size.

    The parameter names are SimpleBaseline's (`conv1`, `layer1` .., `deconv_layers.0`,
    `final_layer`), so its released files load by name; blocks are added under `blocks.<site>`.

    Args:
        encoder: resnet18, resnet34, resnet50, resnet101 or resnet152.
        input_size: (height, width), multiples of the encoder's stride; blocks are built for the
            maps of this size.
        num_keypoints: K.
        encoder_stride: 32, 16 or 8; as many deconvolutions follow as lead back to a quarter of the
            input: 3, 2 or 1.
        dilated: Whether dilation replaces the encoder's strides that are left out.
        blocks: None, the name of one block for all deconvolutions, or a mapping from site to a name
            or to a mapping with `type` and the block's options.
        color_order: "rgb" or "bgr", what the weights were trained on; `normalize` takes RGB and
            reorders.
        mean, std: Of pixel values in [0, 1], in RGB order whatever the color order.
        codec: "heatmap" or "udp": the convention that the heatmaps are trained to (codec.py).
        heatmap_sigma: Of the targets, heatmap pixels; None for the references'.

    Raises:
        ConfigError: Encoder, size, site, block or option that does not exist or does not fit.
    """

    # Added by name in the constructor.
    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    pixel_mean: Tensor
    pixel_std: Tensor
    block_options: dict[str, dict[str, Any]]  # by site, with "type"

    def __init__(
        self,
        encoder: str = "resnet50",
        *,
        input_size: tuple[int, int] = (256, 192),
        num_keypoints: int = 17,
        encoder_stride: int = 32,
        dilated: bool = False,
        blocks: str | Mapping[str, Any] | None = None,
        color_order: str = "rgb",
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        super().__init__()
        stages, channels_of_site = resnet_encoder(encoder, encoder_stride, dilated)
        self.encoder_stride, self.dilated = encoder_stride, dilated
        self.codec = Codec(check_input_size(input_size, encoder_stride), codec, heatmap_sigma)
        if num_keypoints < 1:
            raise ConfigError(f"num_keypoints={num_keypoints} must be at least 1")

        for name, stage in stages.items():
            self.add_module(name, stage)
        stride_of_site = STRIDES_OF_SITES[encoder_stride]
        self.deconv_sites = tuple(site for site in stride_of_site if site in DECONV_SITES)
        channels_of_site |= dict.fromkeys(self.deconv_sites, DECONV_CHANNELS)

        layers: list[nn.Module] = []
        in_channels = channels_of_site["layer4"]
        for _ in self.deconv_sites:
            out_channels = DECONV_CHANNELS
            deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, padding=1, bias=False)
            layers += [deconv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
            in_channels = out_channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(DECONV_CHANNELS, num_keypoints, 1)
        self.block_options = self.describe_blocks(blocks)
        self.blocks = build_blocks(
            self.block_options, channels_of_site, stride_of_site, self.input_size
        )

        # Not in the state dict, so that other toolkits' files load; checkpoints store them apart.
        self.register_buffer("pixel_mean", torch.zeros(3), persistent=False)
        self.register_buffer("pixel_std", torch.ones(3), persistent=False)
        self.set_colors(color_order, mean, std)
        self.reset_decoder()

    def set_colors(
        self,
        color_order: str,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Set the color order, mean and std that the weights expect; `normalize` applies them.

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

    def set_input_size(self, input_size: tuple[int, int]) -> None:
        """Use the network, as it is, at another resolution (height, width).

        No weight changes: convolutions take any size, and the blocks act on the frequencies of the
        size they were built for.

        Raises:
            ConfigError: A side is not a positive multiple of the encoder's stride.
        """
        size = check_input_size(input_size, self.encoder_stride)
        self.codec = replace(self.codec, input_size=size)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the crops."""
        return self.codec.input_size

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width), a quarter of the input's."""
        return self.codec.heatmap_size

    def reset_decoder(self) -> None:
        """Deconvolutions and head N(0, 0.001), head bias 0, BN 1 and 0.

        So does the reference, and its learning rate needs it.
        """
        for module in (*self.deconv_layers, self.final_layer):
            if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def normalize(self, crops: Tensor) -> Tensor:
        """Turn decoded crops into the input of `forward`: (B, H, W, 3) uint8 RGB to (B, 3, H, W)
        float32.

        The result lies in channels_last memory, as the crops did.
        """
        width = crops.shape[2]
        mean, std = self.pixel_mean, self.pixel_std
        if self.color_order == "bgr":
            # While they are bytes: swapping the floats takes half as long again.
            crops, mean, std = crops.flip(3), mean.flip(0), std.flip(0)
        # Whole rows, in place: a loop over 3 channels is no vector operation (3 times slower).
        rows = crops.to(torch.float32, copy=True).flatten(2)  # B H W*3
        rows = rows.sub_(mean.repeat(width)).div_(std.repeat(width))
        return rows.view(crops.shape).permute(0, 3, 1, 2)  # B 3 H W

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/4, W/4).

        Their values are any real numbers, about 1 at a keypoint that the network is sure of.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # B 64 H/4 W/4
        for site in ("layer1", "layer2", "layer3", "layer4"):
            x = self._block_at(site, getattr(self, site)(x))
        for i, site in enumerate(self.deconv_sites):
            x = self._block_at(site, self.deconv_layers[3 * i : 3 * i + 3](x))
        heatmaps: Tensor = self.final_layer(x)  # B K H/4 W/4
        return heatmaps

    def _block_at(self, site: str, x: Tensor) -> Tensor:
        return self.blocks[site](x) if site in self.blocks else x

    def describe_blocks(self, blocks: str | Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
        """The `blocks` argument in one form: by site, a mapping with `type` and the options."""
        if isinstance(blocks, str):
            blocks = dict.fromkeys(self.deconv_sites, blocks)
        return {
            site: dict(choice) if isinstance(choice, Mapping) else {"type": choice}
            for site, choice in (blocks or {}).items()
        }


def check_input_size(input_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """The size as integers.

    Raises:
        ConfigError: A side is not a positive multiple of the encoder's stride.
    """
    if len(input_size) != 2 or any(side <= 0 or side % stride for side in input_size):
        raise ConfigError(
            f"input_size={list(input_size)} must be (height, width), "
            f"both positive multiples of {stride}"
        )
    return int(input_size[0]), int(input_size[1])


def build_blocks(
    blocks: Mapping[str, Mapping[str, Any]],
    channels_of_site: Mapping[str, int],
    stride_of_site: Mapping[str, int],
    input_size: tuple[int, int],
) -> nn.ModuleDict:
    """The blocks by site, each for the channels and the map size found there.

    Args:
        blocks: By site, a mapping with `type` and the block's options.
        channels_of_site: Channels of the map at each site.
        stride_of_site: Input pixels per pixel of that map.
        input_size: (height, width) of the crops.

    Raises:
        ConfigError: A site or a block does not exist, or an option does not fit; the text names
            the site.
    """
    built = nn.ModuleDict()
    for site, choice in blocks.items():
        if site not in stride_of_site:
            why = " of an encoder of this stride" if site in SITES else ""
            raise ConfigError(
                f"blocks names the site {site!r}; sites{why} are {list(stride_of_site)}"
            )
        options = dict(choice)
        name = options.pop("type", None)
        if not isinstance(name, str):
            raise ConfigError(
                f"blocks at {site} is {choice!r}; give a block's name or a mapping with 'type'"
            )
        size = (input_size[0] // stride_of_site[site], input_size[1] // stride_of_site[site])
        try:
            built[site] = build_block(
                name, channels=channels_of_site[site], size=size, frames=None, **options
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"blocks at {site}: {error}") from None
    return built
