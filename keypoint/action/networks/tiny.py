"""C2D for the generated set: a ResNet-18 of 8 channels instead of 64, its first stages frozen.

170 thousand parameters instead of 11 million. Stem and res2 keep the weights that they start from
and their norms' statistics: the set is then learned from half as many clips. Nothing else differs
from He et al. 2016.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock

from keypoint.action.networks.c2d import C2D

WIDTH = 8
FROZEN = ("conv1", "bn1", "layer1")


class TinyC2D(C2D):
    """C2D with the small encoder; what is in `FROZEN` is not trained. Arguments as `C2D`."""

    def __init__(self, encoder: str = "tiny", **arguments: Any) -> None:
        super().__init__(encoder, **arguments)
        for name in FROZEN:
            self.get_submodule(name).requires_grad_(False)
        self.train()

    @staticmethod
    def build_encoder(encoder: str) -> tuple[nn.ModuleDict, dict[str, int]]:
        """The small encoder; `encoder` is part of the network's name only."""
        return tiny_encoder()

    def train(self, mode: bool = True) -> TinyC2D:
        """Keep the norms of frozen stages in eval mode: they use their statistics as they are."""
        super().train(mode)
        for name in FROZEN:
            self.get_submodule(name).eval()
        return self


def tiny_encoder() -> tuple[nn.ModuleDict, dict[str, int]]:
    """The stages in order, randomly initialised; as `keypoint.models.encoder.resnet_encoder`.

    Returns:
        The stages by torchvision's names (conv1 .. layer4; (B, 3, H, W) to (B, 64, H/32, W/32)) and
        the channels after each of layer1 .. layer4.
    """
    stages = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False),
            "bn1": nn.BatchNorm2d(WIDTH),
            "relu": nn.ReLU(inplace=True),
            "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
        }
    )
    channels = {f"layer{i}": WIDTH * 2 ** (i - 1) for i in range(1, 5)}
    before = WIDTH
    for name, width in channels.items():
        shortcut = None
        if width != before:
            conv = nn.Conv2d(before, width, 1, stride=2, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(width))
        first = BasicBlock(before, width, 1 if shortcut is None else 2, shortcut)
        stages[name] = nn.Sequential(first, BasicBlock(width, width))
        before = width
    for module in stages.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages, channels
