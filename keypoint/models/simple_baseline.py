"""SimpleBaseline with blocks.

    ResNet encoder -> (deconvolution -> BN -> ReLU [-> block]) x 3 -> 1x1 head

Source: Xiao, Wu, Wei 2018 (network, initialisation, parameter names of its released files); SRL
paper, Fig. 4 (blocks right after each deconvolution's BN and ReLU). Letters: B batch, K keypoints,
H W the input's height and width.

    site     layer1  layer2  layer3  layer4  deconv1  deconv2  deconv3
    stride      4       8      16      32       16       8        4

An encoder of stride 16 or 8 needs one or two fewer deconvolutions (SRL paper, table 4, baseline*);
names.py has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from keypoint.errors import ConfigError
from keypoint.models.encoder import STAGES, resnet_encoder
from keypoint.models.fold_norms import pairs_in_resnet, pairs_in_sequence
from keypoint.models.names import DECONV_SITES, SITES, STRIDES_OF_SITES, TINY
from keypoint.models.network import block_of_site
from keypoint.models.pose_network import PoseNetwork

DECONV_CHANNELS = 256
TINY_DECONV_CHANNELS = 64  # a quarter of a ResNet's, like the tiny encoder's other channels


class SimpleBaseline(PoseNetwork):
    """Crops in, one heatmap per keypoint out, at a quarter of the input's size.

    The parameter names are SimpleBaseline's (`conv1`, `layer1` .., `deconv_layers.0`,
    `final_layer`), so its released files load by name; blocks are added under `blocks.<site>`.

    Args:
        encoder: resnet18, resnet34, resnet50, resnet101, resnet152, or tiny (one unit per stage, a
            quarter of the channels).
        input_size: (height, width), multiples of the encoder's stride; blocks are built for the
            maps of this size.
        num_keypoints: K.
        encoder_stride: 32, 16 or 8, followed by 3, 2 or 1 deconvolutions up to a quarter of the
            input's size.
        dilated: Whether dilation replaces the encoder's omitted strides.
        blocks: None, the name of one block for all deconvolutions, or a mapping from site to a name
            or to a mapping with `type` and the block's options.
        codec, heatmap_sigma: Of the heatmaps, see `PoseNetwork`.

    Raises:
        ConfigError: An encoder, size, site, block or option does not exist or does not fit.
    """

    SITES = SITES
    ENCODER_PREFIXES = tuple(f"{stage}." for stage in STAGES)

    # Added by name in the constructor.
    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module

    def __init__(
        self,
        encoder: str = "resnet50",
        *,
        input_size: tuple[int, int] = (256, 192),
        num_keypoints: int = 17,
        encoder_stride: int = 32,
        dilated: bool = False,
        blocks: str | Mapping[str, Any] | None = None,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        stages, channels_of_site = resnet_encoder(encoder, encoder_stride, dilated)
        super().__init__(
            input_size=input_size,
            num_keypoints=num_keypoints,
            multiple=encoder_stride,
            codec=codec,
            heatmap_sigma=heatmap_sigma,
        )
        self.encoder_stride, self.dilated = encoder_stride, dilated
        for name, stage in stages.items():
            self.add_module(name, stage)
        strides = STRIDES_OF_SITES[encoder_stride]
        self.deconv_sites = tuple(site for site in strides if site in DECONV_SITES)
        self.DEFAULT_SITES = self.deconv_sites
        width = TINY_DECONV_CHANNELS if encoder == TINY else DECONV_CHANNELS
        channels_of_site |= dict.fromkeys(self.deconv_sites, width)

        self.deconv_layers = deconvolutions(
            channels_of_site["layer4"], len(self.deconv_sites), width
        )
        self.final_layer = nn.Conv2d(width, num_keypoints, 1)
        self.block_options = self.describe_blocks(blocks)
        self.blocks = nn.ModuleDict()
        for site, choice in self.block_options.items():
            if site not in strides:
                why = " of an encoder of this stride" if site in SITES else ""
                raise ConfigError(f"blocks names the site {site!r}; sites{why} are {list(strides)}")
            size = (self.input_size[0] // strides[site], self.input_size[1] // strides[site])
            self.blocks[site] = block_of_site(site, choice, channels_of_site[site], size)
        reset_decoder(self.deconv_layers, self.final_layer)

    def settings(self) -> dict[str, Any]:
        """Return whether the encoder is dilated, which names and shapes do not show."""
        return {"dilated": self.dilated}

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/4, W/4)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # B 64 H/4 W/4
        for site in ("layer1", "layer2", "layer3", "layer4"):
            x = self._block_at(site, getattr(self, site)(x))
        for i, site in enumerate(self.deconv_sites):
            x = self._block_at(site, self.deconv_layers[3 * i : 3 * i + 3](x))
        heatmaps: Tensor = self.final_layer(x)  # B K H/4 W/4
        return heatmaps

    def _block_at(self, site: str, x: Tensor) -> Tensor:
        return self.blocks[site](x) if site in self.blocks else x

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The network in the order of the forward pass: stem, layers, deconvolutions, head."""
        yield "stem", nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        for site in ("layer1", "layer2", "layer3", "layer4"):
            yield site, getattr(self, site)
        for i, site in enumerate(self.deconv_sites):
            yield site, self.deconv_layers[3 * i : 3 * i + 3]
        yield "head", self.final_layer

    def foldable(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Norms of encoder and decoder; blocks fold their own norms in eval mode."""
        yield self, "conv1", "bn1"
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            yield from pairs_in_resnet(self.get_submodule(stage))
        yield from pairs_in_sequence(self.deconv_layers)


def deconvolutions(
    in_channels: int, number: int, out_channels: int = DECONV_CHANNELS
) -> nn.Sequential:
    """The decoder: deconvolution, BN and ReLU, repeated; each doubles the map."""
    layers: list[nn.Module] = []
    for _ in range(number):
        deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, padding=1, bias=False)
        layers += [deconv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        in_channels = out_channels
    return nn.Sequential(*layers)


def reset_decoder(deconv_layers: nn.Sequential, final_layer: nn.Conv2d) -> None:
    """Deconvolutions and head N(0, 0.001), head bias 0, BN 1 and 0.

    As in the reference, whose learning rate requires it.
    """
    for module in (*deconv_layers, final_layer):
        if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
