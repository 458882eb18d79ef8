"""Fold a network's BatchNorms into the preceding convolutions, for inference.

In eval mode a BatchNorm is a factor and a shift for each channel, which can be merged into weights
and bias; this saves one pass over every map. `PoseNetwork.foldable` lists which norm follows which
convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from keypoint.models.pose_network import PoseNetwork

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
Pair = tuple[nn.Module, str, str]  # a parent, and the names in it of a convolution and a norm


@torch.no_grad()
def fold_norms(model: PoseNetwork) -> None:
    """Fold the network's norms into its convolutions, in place; blocks fold their own norms.

    The output stays the same to rounding (computed in float64). Names of the state dict change, so
    such a network can be neither trained nor saved.

    Args:
        model: In eval mode.
    """
    assert not model.training, "statistics of a batch cannot be folded"
    for parent, conv_name, norm_name in list(model.foldable()):
        conv, norm = parent.get_submodule(conv_name), parent.get_submodule(norm_name)
        # A block after one of them keeps both as they are.
        if isinstance(conv, CONVOLUTIONS) and isinstance(norm, nn.BatchNorm2d):
            _fold(conv, norm)
            setattr(parent, norm_name, nn.Identity())


def pairs_in_resnet(stage: nn.Module) -> Iterator[Pair]:
    """Pairs in the residual units of a module, BasicBlocks and Bottlenecks by ResNet's names."""
    for unit in stage.modules():
        for number in ("1", "2", "3"):
            if hasattr(unit, f"conv{number}") and hasattr(unit, f"bn{number}"):
                yield unit, f"conv{number}", f"bn{number}"
        downsample = getattr(unit, "downsample", None)
        if isinstance(downsample, nn.Sequential):
            yield from pairs_in_sequence(downsample)


def pairs_in_sequence(sequence: nn.Sequential) -> Iterator[Pair]:
    """Pairs of neighbours in a Sequential that is called as a whole, or in whole slices."""
    for (first, conv), (second, norm) in pairwise(sequence.named_children()):
        if isinstance(conv, CONVOLUTIONS) and isinstance(norm, nn.BatchNorm2d):
            yield sequence, first, second


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight.double(),
        None if conv.bias is None else conv.bias.double(),
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight.double(),
        norm.bias.double(),
        transpose=isinstance(conv, nn.ConvTranspose2d),
    )
    conv.weight.copy_(weight)
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
