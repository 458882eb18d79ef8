"""SimpleBaseline's decoder on an encoder of timm.

    timm's backbone -> (deconvolution -> BN -> ReLU [-> block]) x n -> 1x1 head

Source: Xiao, Wu, Wei 2018 for deconvolutions, head and their initialisation (simple_baseline.py).
n follows from the encoder's stride r; deconvolutions double the map up to a quarter of the input:

    r                 4   8   16   32   64   128
    deconvolutions    0   1    2    3    4     5

The head of an encoder of stride 4 is on the encoder's map itself. Letters: B batch, K keypoints,
H W the input's height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from keypoint.errors import ConfigError
from keypoint.models.fold_norms import pairs_in_sequence
from keypoint.models.names import TIMM_DECONV_SITES, TIMM_STRIDES, architecture_of
from keypoint.models.network import block_of_site
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.simple_baseline import DECONV_CHANNELS, deconvolutions, reset_decoder
from keypoint.models.timm_encoder import DEFAULT_STRIDE, timm_encoder


class TimmBaseline(PoseNetwork):
    """Crops in, one heatmap per keypoint out, at a quarter of the input's size.

    The parameter names are `encoder.<timm's>`, then SimpleBaseline's `deconv_layers` and
    `final_layer`. Sites of its own are the deconvolutions; blocks inside the encoder are inserted
    after submodules by name (`encoder.stages_2`).

    Args:
        encoder: `timm/<name>` or `timm/<name>.<tag>`.
        input_size: (height, width), multiples of the encoder's stride.
        num_keypoints: K.
        encoder_stride: 32 for the encoder's own stride, whatever it is; another one only if timm
            can build the encoder with it.
        blocks: None, the name of one block for all deconvolutions, or a mapping from site to a name
            or to a mapping with `type` and the block's options.
        codec, heatmap_sigma: Of the heatmaps, see `PoseNetwork`.

    Raises:
        ConfigError: timm is not installed; an encoder, stride, size, site, block or option does
            not exist or does not fit.
    """

    SITES: tuple[str, ...] = TIMM_DECONV_SITES
    ENCODER_PREFIXES = ("encoder.",)

    def __init__(
        self,
        encoder: str,
        *,
        input_size: tuple[int, int] = (256, 192),
        num_keypoints: int = 17,
        encoder_stride: int = DEFAULT_STRIDE,
        blocks: str | Mapping[str, Any] | None = None,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        built = timm_encoder(encoder, input_size, encoder_stride)
        super().__init__(
            input_size=input_size,
            num_keypoints=num_keypoints,
            multiple=built.stride,
            codec=codec,
            heatmap_sigma=heatmap_sigma,
        )
        self.encoder_name, self.encoder_stride = encoder, encoder_stride
        self.encoder = built.module
        self._channels_last, self.sized = built.channels_last, built.sized
        number = TIMM_STRIDES.index(built.stride)
        self.SITES = self.DEFAULT_SITES = TIMM_DECONV_SITES[:number]
        self.deconv_layers = deconvolutions(built.channels, number)
        self.final_layer = nn.Conv2d(
            DECONV_CHANNELS if number else built.channels, num_keypoints, 1
        )
        self.block_options = self.describe_blocks(blocks)
        self.blocks = nn.ModuleDict()
        for site, choice in self.block_options.items():
            if site not in self.SITES:
                raise ConfigError(
                    f"blocks names the site {site!r}; with an encoder of stride {built.stride} "
                    f"sites are {list(self.SITES)}"
                )
            stride = built.stride // 2 ** (self.SITES.index(site) + 1)
            size = (self.input_size[0] // stride, self.input_size[1] // stride)
            self.blocks[site] = block_of_site(site, choice, DECONV_CHANNELS, size)
        reset_decoder(self.deconv_layers, self.final_layer)

    def settings(self) -> dict[str, Any]:
        """The encoder without tag: equal names and shapes do not mean the same computation."""
        return {"encoder": architecture_of(self.encoder_name)}

    def set_input_size(self, input_size: tuple[int, int]) -> None:
        """Use the network at another resolution, if its encoder supports it.

        Raises:
            ConfigError: The encoder was built for one size, or a side is not a multiple.
        """
        if self.sized and tuple(input_size) != self.input_size:
            raise ConfigError(
                f"{self.encoder_name} was built for input_size={list(self.input_size)} (position "
                f"embeddings or windows) and does not take {list(input_size)}; train it with "
                "that model.input_size"
            )
        super().set_input_size(input_size)

    def insert(self, blocks: Mapping[str, Mapping[str, Any]]) -> None:
        """Put blocks after submodules; for maps B H W C, a block needs the option `layout`.

        Raises:
            ConfigError: A submodule, a block or an option does not exist or does not fit; maps of
                the encoder are B H W C, and `layout` is not given.
        """
        modules = dict(self.named_modules()) if self._channels_last else {}
        for site, choice in blocks.items():
            unsaid = site.startswith("encoder.") and not {"layout", "grid"} & choice.keys()
            if unsaid and site in modules and not isinstance(modules[site], nn.Conv2d):
                raise ConfigError(
                    f"blocks at {site}: maps inside {self.encoder_name} are B H W C; write "
                    f"{{type: {choice.get('type')}, layout: bhwc}}"
                )
        super().insert(blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/4, W/4)."""
        x = self.encoder(images)[-1]  # B C H/r W/r, or B H/r W/r C
        if self._channels_last:
            x = x.permute(0, 3, 1, 2)  # B C H/r W/r
        for i, site in enumerate(self.SITES):
            x = self.deconv_layers[3 * i : 3 * i + 3](x)
            x = self.blocks[site](x) if site in self.blocks else x
        heatmaps: Tensor = self.final_layer(x)  # B K H/4 W/4
        return heatmaps

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The network in the order of the forward pass: encoder, deconvolutions, head."""
        yield "encoder", self.encoder
        for i, site in enumerate(self.SITES):
            yield site, self.deconv_layers[3 * i : 3 * i + 3]
        yield "head", self.final_layer

    def foldable(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Norms of the decoder only; how timm's backbones call their layers is unknown."""
        yield from pairs_in_sequence(self.deconv_layers)
