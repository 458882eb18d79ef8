"""ResNet encoders: those of torchvision by name and number, and a small one.

Source: He et al. 2016; torchvision.models.resnet (stride in the 3x3 convolution, "V1.5").
SimpleBaseline's and HRNet's pose_resnet have the same stride, so the weights are compatible.
A smaller stride than 32 is the SRL paper's baseline* (its table 4), and dilated as in DeepLab.
`tiny` is ours: one unit per stage and a quarter of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from keypoint.errors import ConfigError
from keypoint.models.names import ENCODER_STRIDES, ENCODERS, TINY, check_dilation
from keypoint.models.resnet import BasicBlock, Bottleneck, resnet_stages

IMAGENET_WEIGHTS = "IMAGENET1K_V1"  # what SimpleBaseline and the SRL paper started from
IMAGENET_CLASSES = 1000
# The residual unit, channels after the stem, units of each stage, and classes.
SIZES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], int, Sequence[int], int | None]] = {
    "resnet18": (BasicBlock, 64, (2, 2, 2, 2), IMAGENET_CLASSES),
    "resnet34": (BasicBlock, 64, (3, 4, 6, 3), IMAGENET_CLASSES),
    "resnet50": (Bottleneck, 64, (3, 4, 6, 3), IMAGENET_CLASSES),
    "resnet101": (Bottleneck, 64, (3, 4, 23, 3), IMAGENET_CLASSES),
    "resnet152": (Bottleneck, 64, (3, 8, 36, 3), IMAGENET_CLASSES),
    TINY: (BasicBlock, 16, (1, 1, 1, 1), None),
}
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def resnet_encoder(
    name: str, stride: int = 32, dilated: bool = False
) -> tuple[nn.ModuleDict, dict[str, int]]:
    """Return the stages of a ResNet in order, without pooling and classifier, randomly initialised.

    No parameter depends on stride and dilation, so ImageNet weights fit every form.

    Args:
        name: One of `ENCODERS`.
        stride: Input pixels per pixel of layer4's map: 32, 16 (layer4 keeps layer3's size) or 8
            (layer3 and layer4 keep layer2's).
        dilated: Dilate the 3x3 convolutions after each omitted stride by 2 (by 4 after both), so
            that their receptive field is the same as with the stride; torchvision's
            `replace_stride_with_dilation`.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, C, H/stride,
        W/stride)) and the channels after each of layer1 .. layer4.

    Raises:
        ConfigError: The name or stride is unknown; there is no stride to replace by dilation, or
            torchvision does not dilate the encoder's residual blocks.
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
    stages, channels = resnet_stages(*SIZES[name])
    dilation = 1
    for stage, is_kept in kept.items():
        if not is_kept:
            remove_stride(stages[stage])
            if dilated:
                dilate(stages[stage], dilation, 2 * dilation)
                dilation *= 2
    return stages, channels


def dilate(stage: nn.Module, first: int, others: int) -> None:
    """Dilate the 3x3 convolutions of a stage; the first one, which had the stride, less."""
    convs = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for conv, by in zip(convs, [first, *[others] * (len(convs) - 1)], strict=True):
        conv.dilation = conv.padding = (by, by)


def remove_stride(stage: nn.Module) -> None:
    """Set every convolution of a ResNet's stage to stride 1; the map keeps its size."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
