"""ResNet encoders, torchvision's own.

Source: He et al. 2016; torchvision.models.resnet (stride in the 3x3 convolution, "V1.5").
SimpleBaseline's and HRNet's pose_resnet have the stride there too, so the weights fit each other.
"""

from __future__ import annotations

import torchvision
from torch import nn

from keypoint.errors import ConfigError

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
IMAGENET_WEIGHTS = "IMAGENET1K_V1"  # what SimpleBaseline and the SRL paper started from
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def resnet_encoder(name: str) -> tuple[nn.ModuleDict, dict[str, int]]:
    """The stages of a ResNet in order, without pooling and classifier, randomly initialised.

    Args:
        name: One of `ENCODERS`.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, C, H/32, W/32)) and
        the channels after each of layer1 .. layer4.

    Raises:
        ConfigError: Unknown name.
    """
    if name not in ENCODERS:
        raise ConfigError(f"encoder={name!r} is unknown; choose one of {list(ENCODERS)}")
    resnet = torchvision.models.get_model(name, weights=None)
    stages = nn.ModuleDict({stage: getattr(resnet, stage) for stage in STAGES})
    expansion = resnet.fc.in_features // 512  # 1 for basic blocks, 4 for bottlenecks
    return stages, {f"layer{i}": 64 * 2 ** (i - 1) * expansion for i in range(1, 5)}
