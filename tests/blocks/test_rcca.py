"""Recurrent criss-cross attention against loops over crosses, its reach and its memory."""

import pytest
import torch

from keypoint.blocks import RCCA
from keypoint.blocks.rcca import CrissCross
from tests.blocks.common import largest_allocation, randomised
from tests.reference import rcca as reference

CHANNELS, INNER, KEY = 6, 4, 3


def block(**options):
    torch.manual_seed(0)
    return randomised(RCCA(CHANNELS, inner=INNER, key=KEY, **options), std=0.7)


def restated(rcca, x):
    v = {name: value.numpy() for name, value in rcca.state_dict().items()}
    weight = v["attention.query_key_value.weight"][..., 0, 0]
    bias = v["attention.query_key_value.bias"]
    ends = [KEY, 2 * KEY]
    parts = [weight[: ends[0]], weight[ends[0] : ends[1]], weight[ends[1] :]]
    biases = [bias[: ends[0]], bias[ends[0] : ends[1]], bias[ends[1] :]]
    attention = (*zip(parts, biases, strict=True), v["attention.gamma"])
    statistics = ("weight", "bias", "running_mean", "running_var")
    reduce, expand = (
        (v[f"{name}.conv.weight"], [v[f"{name}.norm.{part}"] for part in statistics])
        for name in ("reduce", "expand")
    )
    results = [
        reference.rcca(sample.numpy(), reduce, attention, expand, rcca.recurrence) for sample in x
    ]
    return torch.stack([torch.from_numpy(r) for r in results])


@pytest.mark.parametrize("size", [(3, 5), (5, 3), (1, 4), (4, 1), (1, 1)])
def test_equals_loops_over_crosses(size):
    rcca = block()
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    torch.testing.assert_close(rcca(x), restated(rcca, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("recurrence", [1, 3])
def test_recurrence(recurrence):
    rcca = block(recurrence=recurrence)
    x = torch.randn(2, CHANNELS, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(rcca(x), restated(rcca, x), rtol=0, atol=1e-10)


def test_a_new_attention_changes_nothing():
    h = torch.randn(2, 64, 5, 6)
    assert torch.equal(RCCA(256).attention(h), h)


def test_one_pass_reaches_the_cross_and_two_reach_everything():
    attention = block().attention
    h = torch.randn(1, INNER, 5, 6, dtype=torch.float64)
    changed = h.clone()
    changed[0, :, 1, 4] += 1
    once, twice = attention(h), attention(attention(h))
    once_changed, twice_changed = attention(changed), attention(attention(changed))
    reached = (once != once_changed).all(dim=1)[0]
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[1, :] = expected[:, 4] = True
    assert torch.equal(reached, expected)
    assert (twice != twice_changed).all()


def test_never_builds_the_matrix_of_pairs():
    """At 96 x 72, N (H + W) in float32 is 4.6 MB and N x N 191 MB, forward or backward."""
    rcca = RCCA(16)
    x = torch.randn(1, 16, 96, 72, requires_grad=True)
    assert 4.6e6 < largest_allocation(rcca, x) < 20e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner": 0}, r"channels=16, inner=0 and key=1 must be at least 1"),
        ({"key": 0}, r"channels=16, inner=4 and key=0 must be at least 1"),
        ({"recurrence": 0}, r"recurrence=0 must be at least 1"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        RCCA(16, **options)


def test_width_of_the_key():
    assert RCCA(256).attention.widths == [8, 8, 64]
    assert RCCA(16).attention.widths == [1, 1, 4]
    assert isinstance(RCCA(16).attention, CrissCross)
