"""A ResNet's residual units and stages, of any width.

Source: He et al. 2016, with the stride in the 3x3 convolution ("V1.5") and with the names of
torchvision.models.resnet, so that weights fit by name; a seed gives the same random weights, too.
torchvision's own are not used because importing it takes nearly as long as importing torch, whose
compiler it loads (docs/benchmarks/prediction.md). Letters: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

THIN = 16  # channels


class ThinShortcut(nn.Conv2d):
    """A strided 1x1 convolution, as one without stride on the positions that it reads.

    Backward of the other form overwrites memory in oneDNN's AVX-512 code (torch 2.14.1,
    channels_last, 8 to 16 channels, maps of 56 x 56): the process ends without a message.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return what `nn.Conv2d` does."""
        rows, columns = self.stride
        return F.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, C, H, W) to (B, planes, H/stride, W/stride).

    Args:
        channels: C.
        planes: Channels of both convolutions.
        stride: Of the first.
        downsample: The shortcut; None for the identity.
    """

    expansion = 1

    def __init__(
        self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut plus the residual."""
        y = self.relu(self.bn1(self.conv1(x)))  # B planes H/stride W/stride
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y)
        return out


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, and a shortcut: to (B, 4 planes, H/stride, W/stride).

    Args:
        channels: C of the input (B, C, H, W).
        planes: Channels of the 3x3 convolution.
        stride: Of the 3x3 convolution.
        downsample: The shortcut; None for the identity.
    """

    expansion = 4

    def __init__(
        self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut plus the residual."""
        y = self.relu(self.bn1(self.conv1(x)))  # B planes H W
        y = self.relu(self.bn2(self.conv2(y)))  # B planes H/stride W/stride
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y)
        return out


def resnet_stages(
    unit: type[BasicBlock] | type[Bottleneck],
    width: int,
    units: Sequence[int],
    classes: int | None = None,
) -> tuple[nn.ModuleDict, dict[str, int]]:
    """The stages in order, without pooling and classifier, randomly initialised.

    Args:
        unit: The residual unit.
        width: Channels after the stem; 64 in He et al. 2016.
        units: Residual units of each stage.
        classes: Also draw the random numbers of a classifier, as torchvision does between its
            layers and their initialisation; the classifier is discarded.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, C, H/32, W/32)) and
        the channels after each of layer1 .. layer4.
    """
    stages = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            "bn1": nn.BatchNorm2d(width),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
        }
    )
    channels = {}
    before = width
    for index, count in enumerate(units):
        planes, stride = width * 2**index, 1 if index == 0 else 2
        after = planes * unit.expansion
        shortcut = None
        if after != before:
            convolution = ThinShortcut if before < THIN else nn.Conv2d
            conv = convolution(before, after, 1, stride=stride, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(after))
        first = unit(before, planes, stride, shortcut)
        others = [unit(after, planes) for _ in range(count - 1)]
        name = f"layer{index + 1}"
        stages[name], channels[name] = nn.Sequential(first, *others), after
        before = after
    if classes is not None:
        nn.Linear(before, classes)
    for module in stages.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages, channels
