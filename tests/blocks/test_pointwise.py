"""1x1 convolutions as matrix products against PyTorch's convolution."""

import pytest
import torch
from torch import nn

from keypoint.blocks import NonLocal
from keypoint.blocks.pointwise import mix

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.mark.parametrize("dims", CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_equals_the_convolution(dims, bias, groups):
    torch.manual_seed(0)
    conv = CONVOLUTIONS[dims](6, 4, 1, groups=groups, bias=bias).double()
    z = torch.randn(3, 6, *(2, 3, 5)[:dims], dtype=torch.float64)
    torch.testing.assert_close(mix(z, conv), conv(z), rtol=0, atol=1e-12)


def test_hooks_are_called():
    conv = nn.Conv2d(6, 4, 1)
    calls = []
    conv.register_forward_hook(lambda *_: calls.append(1))
    mix(torch.randn(1, 6, 2, 3), conv)
    nl = NonLocal(6)
    nl.out.register_forward_hook(lambda *_: calls.append(2))
    nl(torch.randn(2, 6, 2, 3))
    assert calls == [1, 2]


def test_the_batch_norm_of_a_non_local_block_gets_planar_maps():
    """In another format than x, the norm and the sum cost a training step of four maps a tenth."""
    nl = NonLocal(6)
    formats = []
    nl.norm.register_forward_pre_hook(lambda _, inputs: formats.append(inputs[0].is_contiguous()))
    x = torch.randn(2, 6, 4, 3)
    nl(x)
    nl(x.contiguous(memory_format=torch.channels_last))
    assert formats == [True, False]
