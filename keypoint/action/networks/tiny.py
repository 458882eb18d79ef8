"""C2D for the generated set: a ResNet-18 of 8 channels instead of 64, its first stages frozen.

170 thousand parameters instead of 11 million. Stem and res2 keep the weights that they start from
and their norms' statistics: the set is then learned from half as many clips. Nothing else differs
from He et al. 2016.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from keypoint.action.networks.c2d import C2D
from keypoint.models.resnet import BasicBlock, resnet_stages

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
    """The stages in order, and the channels after each layer; as `resnet_stages`."""
    return resnet_stages(BasicBlock, WIDTH, (2, 2, 2, 2))
