"""A ResNet of few channels, for experiments that two CPU cores do in minutes.

Nothing but its size differs from He et al. 2016 with basic blocks.
"""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock


def narrow_resnet(width: int, units: int) -> tuple[nn.ModuleDict, dict[str, int]]:
    """The stages in order, randomly initialised, as `keypoint.models.encoder.resnet_encoder`.

    Args:
        width: Channels after the stem; 64 in He et al. 2016.
        units: Residual units of each stage.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, 8 width, H/32,
        W/32)) and the channels after each of layer1 .. layer4.
    """
    stages = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            "bn1": nn.BatchNorm2d(width),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
        }
    )
    channels = {f"layer{i}": width * 2 ** (i - 1) for i in range(1, 5)}
    before = width
    for name, after in channels.items():
        stride, shortcut = 1, None
        if after != before:
            stride = 2
            conv = nn.Conv2d(before, after, 1, stride=2, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(after))
        first = BasicBlock(before, after, stride, shortcut)
        others = [BasicBlock(after, after) for _ in range(units - 1)]
        stages[name] = nn.Sequential(first, *others)
        before = after
    for module in stages.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages, channels
