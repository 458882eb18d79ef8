"""HRNet with blocks.

    stem -> layer1 -> (transition -> modules: branches -> fusion) x 3 -> [block] -> 1x1 head

Branch i works on maps of stride 4 * 2^i and width * 2^i channels; a module's fusion adds to every
branch the maps of all others, resampled. The last fusion gives the map of stride 4 alone.

    site      stage2      stage3        stage4          head
    strides   4 8         4 8 16        4 8 16 32       4

A stage's blocks are on the branches of its last module, before the fusion; the head's is on the
fused map. Source: Sun, Xiao, Liu, Wang 2019 (network, initialisation, parameter names of its
released files). Letters: B batch, K keypoints, H W the input's height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from keypoint.errors import ConfigError
from keypoint.models.fold_norms import Pair, pairs_in_resnet, pairs_in_sequence
from keypoint.models.names import HRNET_SITES, STRIDES_OF_HRNET_SITES
from keypoint.models.network import block_of_site
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.resnet import BasicBlock, Bottleneck

MODULES = {"stage2": 1, "stage3": 4, "stage4": 3}  # modules per stage, of 2, 3 and 4 branches
UNITS = 4  # residual units per branch of a module
STEM_CHANNELS, LAYER1_CHANNELS = 64, 256


class HRNet(PoseNetwork):
    """Crops in, one heatmap per keypoint out, at a quarter of the input's size.

    The parameter names are those of the HRNet repository's `pose_hrnet` (`conv1`, `layer1`,
    `transition1`, `stage2` .., `final_layer`), so its released files load by name; blocks are added
    under `blocks.stage3.0` .. and `blocks.head`.

    Args:
        width: Channels of the map of stride 4: 32 for HRNet-W32, 48 for W48.
        input_size: (height, width), multiples of 32; blocks are built for the maps of this size.
        num_keypoints: K.
        blocks: None, the name of one block for the three stages, or a mapping from site to a name
            or to a mapping with `type` and the block's options. A stage's choice is built for each
            of its branches.
        codec, heatmap_sigma: Of the heatmaps, see `PoseNetwork`.

    Raises:
        ConfigError: A width, size, site, block or option does not exist or does not fit.
    """

    SITES = HRNET_SITES
    DEFAULT_SITES = HRNET_SITES[:-1]
    ENCODER_PREFIXES = tuple(
        f"{part}."
        for part in ("conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "transition2")
    ) + ("transition3.", "stage2.", "stage3.", "stage4.")

    def __init__(
        self,
        width: int = 32,
        *,
        input_size: tuple[int, int] = (256, 192),
        num_keypoints: int = 17,
        blocks: str | Mapping[str, Any] | None = None,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        if width < 1:
            raise ConfigError(f"width={width} must be at least 1; HRNet-W32 has 32")
        super().__init__(
            input_size=input_size,
            num_keypoints=num_keypoints,
            multiple=32,
            codec=codec,
            heatmap_sigma=heatmap_sigma,
        )
        self.width = width
        self.conv1 = _conv3x3(3, STEM_CHANNELS, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = _conv3x3(STEM_CHANNELS, STEM_CHANNELS, stride=2)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        shortcut = nn.Sequential(
            nn.Conv2d(STEM_CHANNELS, LAYER1_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(LAYER1_CHANNELS),
        )
        self.layer1 = nn.Sequential(
            Bottleneck(STEM_CHANNELS, STEM_CHANNELS, downsample=shortcut),
            *(Bottleneck(LAYER1_CHANNELS, STEM_CHANNELS) for _ in range(3)),
        )
        channels = [width, 2 * width, 4 * width, 8 * width]
        self.transition1 = _transition([LAYER1_CHANNELS], channels[:2])
        self.stage2 = _stage("stage2", channels[:2])
        self.transition2 = _transition(channels[:2], channels[:3])
        self.stage3 = _stage("stage3", channels[:3])
        self.transition3 = _transition(channels[:3], channels)
        self.stage4 = _stage("stage4", channels, outputs=1)
        self.final_layer = nn.Conv2d(width, num_keypoints, 1)
        self._reset()

        self.block_options = self.describe_blocks(blocks)
        self.blocks = nn.ModuleDict()
        for site, choice in self.block_options.items():
            if site not in self.SITES:
                raise ConfigError(f"blocks names the site {site!r}; sites are {list(self.SITES)}")
            blocks_of_site = nn.ModuleList()
            for stride in STRIDES_OF_HRNET_SITES[site]:
                size = (self.input_size[0] // stride, self.input_size[1] // stride)
                blocks_of_site.append(block_of_site(site, choice, width * stride // 4, size))
            self.blocks[site] = blocks_of_site[0] if site == "head" else blocks_of_site

    def _reset(self) -> None:
        """Convolutions N(0, 0.001), head bias 0, BN 1 and 0, as in the reference."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/4, W/4)."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))  # B 64 H/4 W/4
        maps = [self.layer1(x)]  # B 256 H/4 W/4
        blocks = dict(self.blocks.items())
        for site, transition, stage in (
            ("stage2", self.transition1, self.stage2),
            ("stage3", self.transition2, self.stage3),
            ("stage4", self.transition3, self.stage4),
        ):
            # A branch that begins here starts from the map of the largest stride.
            maps += maps[-1:] * (len(transition) - len(maps))
            maps = [step(x) for step, x in zip(transition, maps, strict=True)]
            *modules, last = stage
            for module in modules:
                maps = module(maps)
            maps = last(maps, blocks.get(site))
        x = maps[0]  # B width H/4 W/4
        if "head" in blocks:
            x = blocks["head"](x)
        heatmaps: Tensor = self.final_layer(x)  # B K H/4 W/4
        return heatmaps

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The network in the order of the forward pass: stem, transitions and stages, head."""
        yield "stem", nn.Sequential(self.conv1, self.bn1, self.conv2, self.bn2, self.relu)
        yield "layer1", self.layer1
        for number in (1, 2, 3):
            yield f"transition{number}", self.get_submodule(f"transition{number}")
            yield f"stage{number + 1}", self.get_submodule(f"stage{number + 1}")
        yield "head", self.final_layer

    def foldable(self) -> Iterator[Pair]:
        """Every norm of the network; blocks fold their own norms in eval mode."""
        yield self, "conv1", "bn1"
        yield self, "conv2", "bn2"
        yield from pairs_in_resnet(self.layer1)
        for number in (1, 2, 3):
            yield from _pairs_in_steps(self.get_submodule(f"transition{number}"))
            for module in self.get_submodule(f"stage{number + 1}").children():
                yield from pairs_in_resnet(module.get_submodule("branches"))
                yield from _pairs_in_steps(module.get_submodule("fuse_layers"))


class FusionModule(nn.Module):
    """Branches of residual units side by side, and the sums of all their maps.

    Args:
        channels: Of each branch; the next one's maps have half the height and width.
        outputs: The number of sums, those of the first branches.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(UNITS))) for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampling(channels, source, target) for source in range(len(channels)))
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Sequence[Tensor], blocks: nn.ModuleList | None = None) -> list[Tensor]:
        """One map per branch to one map per sum; a block per branch comes before the sums."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        if blocks is not None:
            maps = [block(x) for block, x in zip(blocks, maps, strict=True)]
        sums = []
        for row in self.fuse_layers:
            assert isinstance(row, nn.ModuleList)
            first, *others = (step(x) for step, x in zip(row, maps, strict=True))
            sums.append(self.relu(sum(others, first)))
        return sums


def _resampling(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """Bring a branch's map to the size and channels of another branch."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            nn.BatchNorm2d(channels[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    halvings = target - source
    steps = [_halving(channels[source], channels[source]) for _ in range(halvings - 1)]
    last = _halving(channels[source], channels[target])
    return nn.Sequential(*steps, last[:2])  # no ReLU before the sum


def _halving(in_channels: int, out_channels: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        _conv3x3(in_channels, out_channels, stride),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """The step from a stage's maps to each map of the next stage, which has one more."""
    same = [
        nn.Identity() if given == wanted else _halving(given, wanted, stride=1)
        for given, wanted in zip(before, after, strict=False)
    ]
    return nn.ModuleList([*same, nn.Sequential(_halving(before[-1], after[-1]))])


def _stage(name: str, channels: Sequence[int], outputs: int | None = None) -> nn.ModuleList:
    """A stage's modules; the last one returns `outputs` maps, one per branch if None."""
    count = MODULES[name]
    sums = [len(channels)] * (count - 1) + [outputs or len(channels)]
    return nn.ModuleList(FusionModule(channels, number) for number in sums)


def _pairs_in_steps(steps: nn.Module) -> Iterator[Pair]:
    """Pairs in Sequentials within Sequentials and lists."""
    if isinstance(steps, nn.Sequential):
        yield from pairs_in_sequence(steps)
    for child in steps.children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _pairs_in_steps(child)
