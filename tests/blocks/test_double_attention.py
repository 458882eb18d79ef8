"""The double attention block against loops over maps and positions, and its softmaxes."""

import pytest
import torch
from torch import nn

from keypoint.blocks import DoubleAttention
from tests.blocks.common import randomised
from tests.reference import double_attention as reference

CHANNELS, INNER, MAPS = 6, 4, 3
SHAPES = {1: (11,), 2: (3, 5), 3: (2, 3, 3)}


def block(**options):
    torch.manual_seed(0)
    return randomised(DoubleAttention(CHANNELS, inner=INNER, maps=MAPS, **options), std=0.7)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_equals_loops(dims):
    a2 = block(dims=dims)
    x = torch.randn(2, CHANNELS, *SHAPES[dims], dtype=torch.float64)
    a, b, v = a2.a_b_v.weight.detach().flatten(1).split((INNER, MAPS, MAPS))
    weights = [w.numpy() for w in (a, b, v, a2.out.weight.detach().flatten(1))]
    for sample, y in zip(x, a2(x), strict=True):
        expected = reference.double_attention(sample.flatten(1).numpy(), *weights)
        expected = torch.from_numpy(expected).reshape(sample.shape)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-10)


def test_equal_positions_are_left_equal():
    """Of a constant map every descriptor is the one feature, whatever the shares are."""
    a2 = block()
    x = torch.randn(2, CHANNELS, 1, 1, dtype=torch.float64)
    feature = nn.functional.conv2d(x, a2.a_b_v.weight[:INNER])
    expected = (x + a2.out(feature)).expand(-1, -1, 3, 5)
    torch.testing.assert_close(a2(x.expand(-1, -1, 3, 5)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 4}, r"dims=4 must be 1, 2 or 3"),
        ({"inner": 0}, r"channels=8, inner=0 and maps=2 must be at least 1"),
        ({"maps": -1}, r"channels=8, inner=2 and maps=-1 must be at least 1"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        DoubleAttention(8, **options)
    with pytest.raises(ValueError, match="channels=3, inner=0 and maps=0 must be at least 1"):
        DoubleAttention(3)
