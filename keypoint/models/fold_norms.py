"""A network for inference alone: its BatchNorms folded into the convolutions before them.

In eval mode a BatchNorm is a factor and a shift for each channel, which weights and bias can hold:
one pass over every map less.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from keypoint.models.simple_baseline import SimpleBaseline


@torch.no_grad()
def fold_norms(model: SimpleBaseline) -> None:
    """Fold encoder and decoder in place; blocks do the same by themselves in eval mode.

    The output stays the same to rounding (computed in float64). Names of the state dict change, so
    such a network is neither trained nor saved.

    Args:
        model: In eval mode.
    """
    assert not model.training, "statistics of a batch cannot be folded"
    _fold(model, "conv1", "bn1")
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for unit in model.get_submodule(stage).modules():  # BasicBlocks and Bottlenecks
            for number in ("1", "2", "3"):
                if hasattr(unit, f"bn{number}"):
                    _fold(unit, f"conv{number}", f"bn{number}")
            downsample = getattr(unit, "downsample", None)
            if isinstance(downsample, nn.Sequential):
                _fold(downsample, "0", "1")
    for first in range(0, len(model.deconv_layers), 3):  # deconvolution, norm, ReLU
        _fold(model.deconv_layers, str(first), str(first + 1))


def _fold(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = parent.get_submodule(conv_name), parent.get_submodule(norm_name)
    assert isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d))
    assert isinstance(norm, nn.BatchNorm2d)
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
    setattr(parent, norm_name, nn.Identity())
