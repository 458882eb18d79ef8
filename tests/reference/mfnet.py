"""MFNet-3D restated as a function of its state dict, from the paper's description.

Source: Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018, figure 2 and table 1,
with the numbers of units and channels of the PNL paper's base network. Every fiber is a convolution
of its own here, instead of one grouped convolution.
"""

import torch
import torch.nn.functional as F

FIBERS = 16
STRIDES = {"conv2": (2, 1, 1), "conv3": (1, 2, 2), "conv4": (1, 2, 2), "conv5": (1, 2, 2)}
UNITS = {"conv2": 3, "conv3": 4, "conv4": 6, "conv5": 3}


def norm(x, state, name):
    """Batch norm of eval mode, written out."""
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / torch.sqrt(var + 1e-5)
    shift = state[f"{name}.bias"] - mean * scale
    return x * scale[:, None, None, None] + shift[:, None, None, None]


def layer(x, state, name, stride=1, padding=0, fibers=1):
    """BN, ReLU, convolution; each fiber by itself."""
    x = norm(x, state, f"{name}.bn").clamp(min=0)
    weight = state[f"{name}.conv.weight"]
    outputs = [
        F.conv3d(part, weights, stride=stride, padding=padding)
        for part, weights in zip(x.chunk(fibers, 1), weight.chunk(fibers, 0), strict=True)
    ]
    return torch.cat(outputs, 1)


def unit(x, state, name, stride):
    """One multi-fiber unit; `stride` is None for any but the first of a stage."""
    mixed = x + layer(layer(x, state, f"{name}.conv_i1"), state, f"{name}.conv_i2")
    y = layer(mixed, state, f"{name}.conv_m1", stride or 1, 1, FIBERS)
    if stride is None:
        return layer(y, state, f"{name}.conv_m2", 1, (0, 1, 1), FIBERS) + x
    return layer(y, state, f"{name}.conv_m2") + layer(x, state, f"{name}.conv_w1", stride)


def mfnet(clips, state):
    """(B, 3, T, H, W) -> (B, classes), in eval mode."""
    x = F.conv3d(clips, state["conv1.conv.weight"], stride=(1, 2, 2), padding=(1, 2, 2))
    x = norm(x, state, "conv1.bn").clamp(min=0)
    frames = x.transpose(1, 2).flatten(0, 1)
    frames = F.max_pool2d(frames, 3, 2, 1)
    x = frames.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)
    for stage, units in UNITS.items():
        for i in range(1, units + 1):
            x = unit(x, state, f"{stage}.B{i:02}", STRIDES[stage] if i == 1 else None)
    x = norm(x, state, "tail.bn").clamp(min=0).mean((2, 3, 4))
    return x @ state["classifier.weight"].T + state["classifier.bias"]
