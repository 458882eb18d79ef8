"""ResNet encoders: torchvision's own, and a small one.

Source: He et al. 2016; torchvision.models.resnet (stride in the 3x3 convolution, "V1.5").
SimpleBaseline's and HRNet's pose_resnet have the stride there too, so the weights fit each other.
A smaller stride than 32 is the SRL paper's baseline* (its table 4), and dilated as in DeepLab.
`tiny` is ours: one unit a stage and a quarter of the channels.
"""

from __future__ import annotations

import torchvision
from torch import nn

from keypoint.errors import ConfigError
from keypoint.models.names import ENCODER_STRIDES, ENCODERS, TINY, check_dilation
from keypoint.models.narrow_resnet import narrow_resnet

IMAGENET_WEIGHTS = "IMAGENET1K_V1"  # what SimpleBaseline and the SRL paper started from
TINY_WIDTH = 16  # channels after the stem
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def resnet_encoder(
    name: str, stride: int = 32, dilated: bool = False
) -> tuple[nn.ModuleDict, dict[str, int]]:
    """The stages of a ResNet in order, without pooling and classifier, randomly initialised.

    No parameter depends on stride and dilation, so ImageNet weights fit every form.

    Args:
        name: One of `ENCODERS`.
        stride: Input pixels per pixel of layer4's map: 32, 16 (layer4 keeps layer3's size) or 8
            (layer3 and layer4 keep layer2's).
        dilated: Spread the 3x3 convolutions behind each stride that is left out by 2 (by 4 behind
            both), so that they see as far as with the stride; torchvision's
            `replace_stride_with_dilation`.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, C, H/stride,
        W/stride)) and the channels after each of layer1 .. layer4.

    Raises:
        ConfigError: Unknown name or stride; dilation without a stride to replace, or of an encoder
            whose residual blocks torchvision does not dilate.
    """
    if name not in ENCODERS:
        raise ConfigError(
            f"encoder={name!r} is unknown; choose one of {list(ENCODERS)}, or timm/<name>"
        )
    if stride not in ENCODER_STRIDES:
        raise ConfigError(f"encoder_stride={stride!r} must be one of {list(ENCODER_STRIDES)}")
    if dilated:
        check_dilation(name, stride)
    kept = {"layer3": stride >= 16, "layer4": stride == 32}
    if name == TINY:
        return _tiny_encoder(kept, dilated)
    replace = [False, not kept["layer3"], not kept["layer4"]] if dilated else None
    resnet = torchvision.models.get_model(name, weights=None, replace_stride_with_dilation=replace)
    for stage in kept:
        if not kept[stage] and not dilated:
            remove_stride(getattr(resnet, stage))
    stages = nn.ModuleDict({stage: getattr(resnet, stage) for stage in STAGES})
    expansion = resnet.fc.in_features // 512  # 1 for basic blocks, 4 for bottlenecks
    return stages, {f"layer{i}": 64 * 2 ** (i - 1) * expansion for i in range(1, 5)}


def _tiny_encoder(kept: dict[str, bool], dilated: bool) -> tuple[nn.ModuleDict, dict[str, int]]:
    """One unit a stage; torchvision's basic blocks cannot be built dilated, so it is set here."""
    stages, channels = narrow_resnet(TINY_WIDTH, units=1)
    dilation = 1
    for name, is_kept in kept.items():
        if not is_kept:
            remove_stride(stages[name])
            if dilated:
                dilate(stages[name], dilation, 2 * dilation)
                dilation *= 2
    return stages, channels


def dilate(stage: nn.Module, first: int, others: int) -> None:
    """Spread the 3x3 convolutions of a stage; the first one, which had the stride, less."""
    convs = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for conv, by in zip(convs, [first, *[others] * (len(convs) - 1)], strict=True):
        conv.dilation = conv.padding = (by, by)


def remove_stride(stage: nn.Module) -> None:
    """Set every convolution of a ResNet's stage to stride 1; the map keeps its size."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
