"""Which blocks know the order of the frames: of all, SRL's convolution over time alone."""

import pytest
import torch

from keypoint.blocks import build_block
from tests.blocks.common import randomised

CHANNELS, FRAMES, SIZE = 16, 5, (4, 6)
ORDER = [3, 0, 4, 1, 2]


def opened(name, **options):
    torch.manual_seed(0)
    return randomised(build_block(name, CHANNELS, SIZE, frames=FRAMES, **options), std=0.5)


def clip():
    return torch.randn(2, CHANNELS, FRAMES, *SIZE, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nl", {}),
        ("nl", {"pairwise": "gaussian", "subsample": 2}),
        ("nl", {"pairwise": "dot"}),
        ("nl", {"pairwise": "concatenation"}),
        ("a2", {}),
        ("cgnl", {}),
        ("cgnl", {"kernel": "dot"}),
        ("pnl", {}),
        ("pnl", {"share": False, "combine": "concatenation", "upsample": "bilinear"}),
        ("srl_fft", {"ops": "channel"}),
    ],
)
@torch.no_grad()
def test_other_orders_of_frames_give_the_same_frames_in_that_order(name, options):
    block, x = opened(name, **options), clip()
    y = block(x)
    assert (y - x).abs().max() > 1e-3
    torch.testing.assert_close(block(x[:, :, ORDER]), y[:, :, ORDER], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("ops", ["time", "channel+time"])
@pytest.mark.parametrize("name", ["srl_fft", "srl_lo", "srl_dct"])
@torch.no_grad()
def test_conv_t_knows_the_order(name, ops):
    """With its matrix in the other order as well, the frames come out in it."""
    block, x = opened(name, ops=ops), clip()
    expected = block(x)[:, :, ORDER]
    assert (block(x[:, :, ORDER]) - expected).abs().max() > 0.1
    block.conv_t.weight.copy_(block.conv_t.weight[ORDER][:, ORDER])
    torch.testing.assert_close(block(x[:, :, ORDER]), expected, rtol=1e-10, atol=1e-10)
