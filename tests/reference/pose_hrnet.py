"""Weights files of HRNet's repository, by name and shape, and their network, slowly.

Written from the repository's lib/models/pose_hrnet.py (configs w32 and w48) as documented; nothing
of the package is used.
"""

import numpy as np
import torch
import torch.nn.functional as F

from tests.reference.pose_resnet import _conv, _norm, mmpose

__all__ = ["heatmaps", "mmpose", "pose_hrnet"]

BRANCHES = {2: 2, 3: 3, 4: 4}  # by stage
MODULES = {2: 1, 3: 4, 4: 3}


def _pair(state, conv, norm, out_channels, in_channels, kernel, rng):
    _conv(state, conv, out_channels, in_channels, kernel, rng)
    _norm(state, norm, out_channels, rng)


def pose_hrnet(width=8, num_keypoints=17, seed=0):
    """A bare file: conv1, bn1, conv2, bn2, layer1, transition1, stage2 .. stage4, final_layer."""
    rng = np.random.default_rng(seed)
    state = {}
    _pair(state, "conv1", "bn1", 64, 3, 3, rng)
    _pair(state, "conv2", "bn2", 64, 64, 3, rng)
    for unit, channels in enumerate((64, 256, 256, 256)):
        name = f"layer1.{unit}"
        _pair(state, f"{name}.conv1", f"{name}.bn1", 64, channels, 1, rng)
        _pair(state, f"{name}.conv2", f"{name}.bn2", 64, 64, 3, rng)
        _pair(state, f"{name}.conv3", f"{name}.bn3", 256, 64, 1, rng)
        if unit == 0:
            _pair(state, f"{name}.downsample.0", f"{name}.downsample.1", 256, 64, 1, rng)
    _pair(state, "transition1.0.0", "transition1.0.1", width, 256, 3, rng)
    _pair(state, "transition1.1.0.0", "transition1.1.0.1", 2 * width, 256, 3, rng)
    for stage, branches in BRANCHES.items():
        if stage > 2:
            new = f"transition{stage - 1}.{branches - 1}.0"
            before = width * 2 ** (branches - 2)
            _pair(state, f"{new}.0", f"{new}.1", 2 * before, before, 3, rng)
        for module in range(MODULES[stage]):
            name = f"stage{stage}.{module}"
            for branch in range(branches):
                channels = width * 2**branch
                for unit in range(4):
                    part = f"{name}.branches.{branch}.{unit}"
                    _pair(state, f"{part}.conv1", f"{part}.bn1", channels, channels, 3, rng)
                    _pair(state, f"{part}.conv2", f"{part}.bn2", channels, channels, 3, rng)
            is_last = (stage, module) == (4, MODULES[4] - 1)
            for row in range(1 if is_last else branches):
                for branch in range(branches):
                    part = f"{name}.fuse_layers.{row}.{branch}"
                    given, wanted = width * 2**branch, width * 2**row
                    if branch > row:
                        _pair(state, f"{part}.0", f"{part}.1", wanted, given, 1, rng)
                    for step in range(row - branch):
                        out = wanted if step == row - branch - 1 else given
                        _pair(state, f"{part}.{step}.0", f"{part}.{step}.1", out, given, 3, rng)
    _conv(state, "final_layer", num_keypoints, width, 1, rng)
    state["final_layer.bias"] = torch.from_numpy(rng.uniform(-1, 1, num_keypoints)).float()
    return state


def heatmaps(state, images):
    """The network's forward pass, layer by layer, float64."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def step(conv, norm, x, stride=1):
        weight = state[f"{conv}.weight"]
        y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(y, *(state[f"{norm}.{key}"] for key in keys), eps=1e-5)

    def unit(name, x):
        identity, number = x, 1
        while f"{name}.conv{number}.weight" in state:
            if number > 1:
                x = F.relu(x)
            x = step(f"{name}.conv{number}", f"{name}.bn{number}", x)
            number += 1
        if f"{name}.downsample.0.weight" in state:
            identity = step(f"{name}.downsample.0", f"{name}.downsample.1", identity)
        return F.relu(x + identity)

    def resampled(part, row, branch, x):
        if branch > row:
            x = step(f"{part}.0", f"{part}.1", x)
            scale = 2 ** (branch - row)
            return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        for number in range(row - branch):
            x = step(f"{part}.{number}.0", f"{part}.{number}.1", x, stride=2)
            if number < row - branch - 1:
                x = F.relu(x)
        return x

    x = F.relu(step("conv1", "bn1", images.double(), stride=2))
    x = F.relu(step("conv2", "bn2", x, stride=2))
    for number in range(4):
        x = unit(f"layer1.{number}", x)
    maps = [
        F.relu(step("transition1.0.0", "transition1.0.1", x)),
        F.relu(step("transition1.1.0.0", "transition1.1.0.1", x, stride=2)),
    ]
    for stage, branches in BRANCHES.items():
        if stage > 2:
            new = f"transition{stage - 1}.{branches - 1}.0"
            maps.append(F.relu(step(f"{new}.0", f"{new}.1", maps[-1], stride=2)))
        for module in range(MODULES[stage]):
            name = f"stage{stage}.{module}"
            for branch in range(branches):
                for number in range(4):
                    maps[branch] = unit(f"{name}.branches.{branch}.{number}", maps[branch])
            rows = 1 if (stage, module) == (4, MODULES[4] - 1) else branches
            maps = [
                F.relu(
                    sum(
                        resampled(f"{name}.fuse_layers.{row}.{branch}", row, branch, maps[branch])
                        for branch in range(branches)
                    )
                )
                for row in range(rows)
            ]
    return F.conv2d(maps[0], state["final_layer.weight"], state["final_layer.bias"])
