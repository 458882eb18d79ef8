"""What a network of C2D can represent, exactly: two properties, in float64, with open blocks.

C2D's score is computed from 4 pooled frames, of two frames each.
"""

import pytest
import torch

from keypoint.action import create_model
from tests.blocks.common import randomised

ORDERS = ([3, 2, 1, 0], [1, 2, 3, 0], [0, 2, 1, 3])
CHANNEL, TIME = ({"type": "srl_fft", "ops": ops} for ops in ("channel", "time"))
ADDITIVE = [None, CHANNEL]
WITHOUT_ORDER = [*ADDITIVE, "nl", "pnl", "cgnl", "a2"]
WITH_ORDER = ["srl_fft", "srl_lo", TIME]


def network(blocks):
    torch.manual_seed(0)
    model = create_model("c2d_tiny", 4, 8, input_size=(32, 32), blocks=blocks)
    return randomised(model, std=0.3)


def clips(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, 8, 32, 32, generator=generator, dtype=torch.float64)


def reordered(x, order):
    """The clips with their pairs of frames in another order."""
    return x.unflatten(2, (4, 2))[:, :, order].flatten(2, 3)


def spread(scores):
    return scores.std(dim=0).min()


@pytest.mark.parametrize("blocks", WITHOUT_ORDER, ids=str)
@torch.no_grad()
def test_the_score_knows_no_order(blocks):
    model, x = network(blocks), clips(1)
    expected = model(x)
    assert spread(expected) > 1e-3
    for order in ORDERS:
        torch.testing.assert_close(model(reordered(x, order)), expected, rtol=1e-9, atol=1e-9)
    # Frames of different pairs are another matter.
    assert (model(x.roll(1, dims=2)) - expected).abs().max() > 1e-6


@pytest.mark.parametrize("blocks", WITH_ORDER, ids=str)
@torch.no_grad()
def test_the_convolution_over_time_knows_the_order(blocks):
    model, x = network(blocks), clips(1)
    expected = model(x)
    for order in ORDERS:
        assert (model(reordered(x, order)) - expected).abs().max() > 1e-3 * spread(expected)


def surplus(model):
    """Of two clips that exchange one pair of frames: the change of the sum of their scores.

    0 of every score that is a sum over the pooled frames.
    """
    x, y = clips(1), clips(2)
    for_x, for_y = x.clone(), y.clone()
    for_x[:, :, 2:4], for_y[:, :, 2:4] = y[:, :, 2:4], x[:, :, 2:4]
    return (model(for_x) + model(for_y) - model(x) - model(y)).abs().max() / spread(model(x))


@pytest.mark.parametrize("blocks", ADDITIVE, ids=str)
@torch.no_grad()
def test_the_score_is_a_sum_over_pooled_frames(blocks):
    assert surplus(network(blocks)) < 1e-9


@pytest.mark.parametrize("blocks", ["nl", "pnl", "cgnl", "a2", "srl_fft", TIME], ids=str)
@torch.no_grad()
def test_other_blocks_relate_the_pooled_frames(blocks):
    assert surplus(network(blocks)) > 1e-6
