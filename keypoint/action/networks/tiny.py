"""C2D for the generated set: a ResNet-18 with 8 channels instead of 64 and frozen first stages.

It has 170 thousand parameters instead of 11 million. Stem and res2 keep their initial weights and
the statistics of their norms, so half the number of clips is sufficient. Otherwise as in He et al.
2016.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from keypoint.action.networks.c2d import C2D
from keypoint.models.resnet import BasicBlock, resnet_stages

WIDTH = 8
FROZEN = ("conv1", "bn1", "layer1")


class TinyC2D(C2D):
    """C2D with the small encoder; modules in `FROZEN` are not trained. Arguments as in `C2D`."""

    def __init__(self, encoder: str = "tiny", **arguments: Any) -> None:
        super().__init__(encoder, **arguments)
        for name in FROZEN:
            self.get_submodule(name).requires_grad_(False)
        self.train()

    @staticmethod
    def build_encoder(encoder: str) -> tuple[nn.ModuleDict, dict[str, int]]:
        """Return the small encoder; `encoder` is only part of the network's name."""
        return tiny_encoder()

    def train(self, mode: bool = True) -> TinyC2D:
        """Keep the norms of frozen stages in eval mode, so that their statistics are fixed."""
        super().train(mode)
        for name in FROZEN:
            self.get_submodule(name).eval()
        return self


def tiny_encoder() -> tuple[nn.ModuleDict, dict[str, int]]:
    """Return the stages in order, and the channels after each layer, as `resnet_stages`."""
    return resnet_stages(BasicBlock, WIDTH, (2, 2, 2, 2))
