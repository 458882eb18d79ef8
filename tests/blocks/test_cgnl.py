"""The CGNL block against loops over all pairs of entries, its kernel, its precision."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from keypoint.blocks import CGNL
from keypoint.blocks.cgnl import taylor
from tests.blocks.common import randomised
from tests.reference import cgnl as reference

CHANNELS, INNER = 6, 4
SHAPES = {1: (7,), 2: (2, 3), 3: (2, 2, 2)}


def block(*, std=1.0, **options):
    torch.manual_seed(0)
    cgnl = randomised(CGNL(CHANNELS, inner=INNER, groups=2, **options))
    nn.init.normal_(cgnl.theta_phi_g.weight, std=std)
    return cgnl


def restated(cgnl, x, kernel):
    theta, phi, g = cgnl.theta_phi_g.weight.detach().flatten(1).chunk(3)
    out, norm = cgnl.out.weight.detach().flatten(1), (cgnl.norm.weight, cgnl.norm.bias)
    weights = [w.numpy() for w in (theta, phi, g, out)]
    norm = [w.detach().numpy() for w in norm]
    results = [
        reference.cgnl(sample.flatten(1).numpy(), *weights, norm, cgnl.groups, kernel)
        for sample in x
    ]
    return torch.stack([torch.from_numpy(r) for r in results]).reshape(x.shape)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_dot_kernel_equals_loops_over_pairs(dims):
    cgnl = block(kernel="dot", dims=dims)
    x = torch.randn(2, CHANNELS, *SHAPES[dims], dtype=torch.float64)
    torch.testing.assert_close(cgnl(x), restated(cgnl, x, reference.dot), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("order", "dims"), [(None, 2), (1, 2), (4, 2), (None, 1), (None, 3)])
def test_rbf_kernel_equals_loops_over_pairs(order, dims):
    """With entries of some tens, or no test would see the third power of 2e-4."""
    cgnl = block(std=20, order=order, dims=dims)
    x = torch.randn(2, CHANNELS, *SHAPES[dims], dtype=torch.float64)
    kernel = partial(reference.rbf, order=3 if order is None else order)
    torch.testing.assert_close(cgnl(x), restated(cgnl, x, kernel), rtol=0, atol=1e-9)
    other = restated(cgnl, x, partial(reference.rbf, order=2))
    assert (cgnl(x) - other).abs().max() > 1e-3


@pytest.mark.parametrize("gap", [0, 2])
def test_the_taylor_series_is_the_gaussian_of_unit_entries(gap):
    theta, phi = 1, 1 - gap
    series = sum(alpha * (theta * phi) ** p for p, alpha in enumerate(taylor(3)))
    assert math.isclose(series, math.exp(-1e-4 * gap**2), rel_tol=1e-14)


@pytest.mark.parametrize("kernel", ["dot", "rbf"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_what_the_attention_adds(kernel, dtype):
    """Theta is a ten-thousandth of y, and a sum over a map of 20,000 entries overflows float16."""
    torch.manual_seed(0)
    cgnl = CGNL(16, kernel=kernel).eval()
    nn.init.ones_(cgnl.norm.weight)
    x = 5 * torch.rand(1, 16, 96, 72)
    expected = cgnl(x) - x
    with torch.autocast("cpu", dtype):
        y = cgnl(x) - x
    y, expected = (m - m.mean((2, 3), keepdim=True) for m in (y, expected))
    assert (y - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 0}, r"dims=0 must be 1, 2 or 3"),
        ({"kernel": "gaussian"}, r"kernel='gaussian' must be one of rbf, dot"),
        ({"kernel": "dot", "order": 3}, r"order=3 has no effect with kernel='dot'.*kernel='rbf'"),
        ({"order": 0}, r"order=0 must be at least 1"),
        ({"groups": 3}, r"channels=16 and inner=8 must be positive multiples of groups=3"),
        ({"inner": 12}, r"channels=16 and inner=12 must be positive multiples of groups=8"),
        ({"groups": 0}, r"groups=0"),
        ({"inner": 0}, r"inner=0 must be positive"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        CGNL(16, **options)
