"""Helpers for the tests of several blocks."""

import torch
from torch import nn

from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal


def randomised(block, std=1.0):
    """In float64 and eval mode, every number random but learned transforms, which stay orthogonal."""
    block = block.double().eval()
    for module in block.modules():
        if not isinstance(module, LearnedOrthogonal):
            for parameter in module.parameters(recurse=False):
                nn.init.normal_(parameter, std=std)
    for name, value in block.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value)
        if name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 2)
    return block


def largest_allocation(block, x):
    """Bytes of the largest tensor of a forward and backward pass on a CPU."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        block(x).sum().backward()
    return max(event.cpu_memory_usage for event in profile.events())
