"""MFNet-3D, the multi-fiber network used in the PNL paper.

Source: Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018. The number of units
gives the PNL paper's 7.843 M parameters; modules have the names of the authors' cypw/PyTorch-MFNet,
whose files can be loaded. Every convolution is BN -> ReLU -> convolution without bias. A unit of
`groups` fibers:

    i1  1x1x1   in -> out / 4        the multiplexer: information between fibers
    i2  1x1x1   out / 4 -> in        added to the unit's input
    m1  3x3x3   in -> out            grouped, with the unit's stride
    m2  1x3x3   out -> out           grouped; in the first unit of a stage 1x1x1, not grouped
    w1  1x1x1   in -> out            first unit only: the stride, on the unit's input
    out = m2 + (w1 or the input)

    stage    units x channels   stride      T H W of 16 x 224 x 224
    conv1    3x5x5, 16          1 2 2       16 x 112 x 112; max 1x3x3 to 16 x 56 x 56
    conv2    3 x 96             2 1 1       8 x 56 x 56
    conv3    4 x 192            1 2 2       8 x 28 x 28
    conv4    6 x 384            1 2 2       8 x 14 x 14
    conv5    3 x 768            1 2 2       8 x 7 x 7
    tail     BN, ReLU; mean over T H W, dropout, classifier

Letters: B batch, C channels, T frames, H W size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from keypoint.action.networks.names import usual_places
from keypoint.action.networks.network import ActionNetwork, ClipMap, halved

GROUPS = 16
STEM_CHANNELS = 16


class Stage(NamedTuple):
    """Units of a stage, their channels, and the stride (time, space) of the first."""

    units: int
    channels: int
    stride: tuple[int, int]


STAGES = {
    2: Stage(3, 96, (2, 1)),
    3: Stage(4, 192, (1, 2)),
    4: Stage(6, 384, (1, 2)),
    5: Stage(3, 768, (1, 2)),
}


class MFNet(ActionNetwork):
    """Maps clips to a score for each class.

    Args:
        num_classes: Number of classes.
        frames: T, 16 in the papers; without blocks, clips may have another T.
        input_size: (height, width) of the frames; blocks are built for the maps of this size.
        dropout: Before the classifier, in training.

    Raises:
        ConfigError: A size or number is not supported.
    """

    HEAD = "classifier."

    # Added by name in the constructor.
    conv2: nn.Module
    conv3: nn.Module
    conv4: nn.Module
    conv5: nn.Module

    def __init__(
        self,
        *,
        num_classes: int,
        frames: int = 16,
        input_size: tuple[int, int] = (224, 224),
        dropout: float = 0.5,
    ) -> None:
        super().__init__("mfnet", num_classes=num_classes, frames=frames, input_size=input_size)
        conv = nn.Conv3d(3, STEM_CHANNELS, (3, 5, 5), (1, 2, 2), padding=(1, 2, 2), bias=False)
        norm = nn.BatchNorm3d(STEM_CHANNELS)
        self.conv1 = nn.Sequential(OrderedDict(conv=conv, bn=norm, relu=nn.ReLU(inplace=True)))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
        channels = STEM_CHANNELS
        self.stages, self.maps = {}, {}
        for number, stage in STAGES.items():
            units: OrderedDict[str, nn.Module] = OrderedDict()
            for i in range(1, stage.units + 1):
                stride = stage.stride if i == 1 else None
                units[f"B{i:02}"] = Unit(channels, stage.channels, stride)
                channels = stage.channels
            self.add_module(f"conv{number}", nn.Sequential(units))
            self.stages[number] = tuple(f"conv{number}.{unit}" for unit in units)
            size = halved(self.input_size, number)
            of_stage = ClipMap(channels, (frames + 1) // 2, size)
            self.maps |= dict.fromkeys(self.stages[number], of_stage)
        norm = nn.BatchNorm3d(channels)
        self.tail = nn.Sequential(OrderedDict(bn=norm, relu=nn.ReLU(inplace=True)))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        self.blocks = nn.ModuleDict()  # no other blocks: all follow submodules
        self.SITES = tuple(self.maps)
        self.usual_places = usual_places(self.name)
        reset(self)

    def forward(self, clips: Tensor) -> Tensor:
        """Map normalised clips (B, 3, T, H, W) to a score for each class, (B, num_classes)."""
        self.check_clips(clips)
        x = self.maxpool(self.conv1(clips))  # B 16 T H/4 W/4
        x = self.conv3(self.conv2(x))  # B 192 T/2 H/8 W/8
        x = self.tail(self.conv5(self.conv4(x)))  # B 768 T/2 H/32 W/32
        scores: Tensor = self.classifier(self.dropout(x.mean((2, 3, 4))))  # B num_classes
        return scores

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Return the network in the order of the forward pass: stem, stages, head."""
        yield "stem", nn.Sequential(self.conv1, self.maxpool)
        for number in STAGES:
            yield f"conv{number}", self.get_submodule(f"conv{number}")
        yield "head", nn.Sequential(self.tail, self.dropout, self.classifier)


class Unit(nn.Module):
    """A multi-fiber unit, pre-activated.

    Args:
        channels: Input channels.
        out_channels: Output channels.
        stride: (time, space) of the first unit of a stage; None for the others.
    """

    def __init__(
        self, channels: int, out_channels: int, stride: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        step = (1, 1, 1) if stride is None else (stride[0], stride[1], stride[1])
        self.conv_i1 = Convolution(channels, out_channels // 4)
        self.conv_i2 = Convolution(out_channels // 4, channels)
        self.conv_m1 = Convolution(channels, out_channels, (3, 3, 3), step, GROUPS)
        self.conv_m2: Convolution
        self.conv_w1: Convolution | None = None
        if stride is None:
            self.conv_m2 = Convolution(out_channels, out_channels, (1, 3, 3), groups=GROUPS)
        else:
            self.conv_m2 = Convolution(out_channels, out_channels)
            self.conv_w1 = Convolution(channels, out_channels, stride=step)

    def forward(self, x: Tensor) -> Tensor:
        """Map B C T H W to B C' T' H' W'."""
        multiplexed = x + self.conv_i2(self.conv_i1(x))
        main: Tensor = self.conv_m2(self.conv_m1(multiplexed))
        return main + (x if self.conv_w1 is None else self.conv_w1(x))


class Convolution(nn.Module):
    """BN -> ReLU -> convolution without bias, padded to keep the size except for the stride."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        stride: tuple[int, int, int] = (1, 1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.bn = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv3d(
            channels, out_channels, kernel, stride, padding, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map B C T H W to B C' T' H' W'."""
        y: Tensor = self.conv(self.relu(self.bn(x)))
        return y


def reset(net: nn.Module) -> None:
    """Initialise convolutions and classifier as the authors: Xavier-uniform; norms 1 and 0."""
    for module in net.modules():
        if isinstance(module, (nn.Conv3d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
