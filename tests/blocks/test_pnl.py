"""The pyramid non-local block against loops, and its statistics over scales."""

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.blocks import PNL, NonLocal
from tests.blocks.common import randomised
from tests.reference import non_local, pnl

CHANNELS = 12
SHAPES = {2: (9, 6), 3: (2, 5, 4)}


def block(**options):
    torch.manual_seed(0)
    return randomised(PNL(CHANNELS, **options), std=0.7)


def inputs(dims=2, batch=2):
    return torch.randn(batch, CHANNELS, *SHAPES[dims], dtype=torch.float64)


def operation(x, state, prefix, pairwise):
    """The non-local operation of one scale up to its norm: the reference's, with the identity."""
    v = {name.removeprefix(prefix): value.numpy() for name, value in state.items()}
    here = x.reshape(len(x), -1)

    def conv(name, of):
        if f"{name}.weight" not in v:
            return of
        weight = v[f"{name}.weight"]
        return non_local.conv(of, weight.reshape(weight.shape[:2]), v[f"{name}.bias"])

    theta, phi, g = (conv(name, here) for name in ("theta", "phi", "g"))
    scale = len(theta) ** -0.5 if pairwise.endswith("gaussian") else 1.0
    pair = v["pair.weight"][0] if "pair.weight" in v else None
    return conv("out", non_local.attend(theta, phi, g, pairwise, scale, pair)).reshape(x.shape)


def normed(x, state, prefix):
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (
        state[f"{prefix}norm.{name}"].numpy().reshape(-1, *[1] * (x.ndim - 1)) for name in names
    )
    return (x - mean) / np.sqrt(variance + non_local.EPS) * weight + bias


def restated(built, x, *, scales=4, share=True, pairwise="embedded_gaussian", kind="average",
             upsample=pnl.upsample_nearest, attention=True):  # fmt: skip
    state = built.state_dict()
    results = []
    for sample in x.numpy():
        size = CHANNELS // scales
        y = []
        for k in range(scales):
            prefix = f"non_local.{0 if share else k}."
            chunk = sample[k * size : (k + 1) * size]
            region = pnl.pool(chunk, k, kind) if k else chunk
            response = normed(operation(region, state, prefix, pairwise), state, prefix)
            y.append(upsample(response, *sample.shape[-2:]))
        if attention:
            q, k = (
                [state[f"{name}.{part}"].numpy() for part in ("weight", "bias")]
                for name in ("query", "key")
            )
            y = pnl.attend(y, q, k)
        results.append(torch.from_numpy(sample + np.concatenate(y)))
    return torch.stack(results)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian", "dot", "concatenation"])
def test_equals_loops(pairwise, dims):
    built = block(pairwise=pairwise, dims=dims, scales=3)
    x = inputs(dims)
    expected = restated(built, x, scales=3, pairwise=pairwise)
    torch.testing.assert_close(built(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("options", "restatement"),
    [
        ({}, {}),
        ({"scales": 2}, {"scales": 2}),
        ({"share": False}, {"share": False}),
        ({"pool": "max"}, {"kind": "max"}),
        ({"upsample": "bilinear"}, {"upsample": pnl.upsample_bilinear}),
        ({"combine": "concatenation"}, {"attention": False}),
        ({"ratio": 3}, {}),
    ],
    ids=" ".join,  # not str: a function in it has another address in each process
)
def test_options(options, restatement, dims):
    built = block(dims=dims, **options)
    x = inputs(dims)
    torch.testing.assert_close(built(x), restated(built, x, **restatement), rtol=0, atol=1e-10)


def test_one_batch_norm_sees_all_scales():
    """In training: every scale with the same weight, and evaluation continues what it learned."""
    built = block(combine="concatenation", scales=2).train()
    built.non_local[0].norm.momentum = 1.0
    x = torch.randn(2, CHANNELS, 4, 6, dtype=torch.float64)
    state = {name: value.clone() for name, value in built.state_dict().items()}
    y = []
    for sample in x.numpy():
        fine = operation(sample[:6], state, "non_local.0.", "embedded_gaussian")
        coarse = pnl.pool(sample[6:], 1, "average")
        coarse = operation(coarse, state, "non_local.0.", "embedded_gaussian")
        y.append([fine, pnl.upsample_nearest(coarse, 4, 6)])
    y = np.array(y)  # B n C' H W
    mean, variance = y.mean((0, 1, 3, 4)), y.var((0, 1, 3, 4))
    weight, bias = (state[f"non_local.0.norm.{name}"].numpy() for name in ("weight", "bias"))
    each = (1, 1, 6, 1, 1)
    y = (y - mean.reshape(each)) / np.sqrt(variance + non_local.EPS).reshape(each)
    y = y * weight.reshape(each) + bias.reshape(each)
    expected = x + torch.from_numpy(y.reshape(x.shape))
    torch.testing.assert_close(built(x), expected, rtol=0, atol=1e-10)
    assert built.non_local[0].norm.num_batches_tracked == 1
    # All values but the unbiased variance's factor are kept, so evaluation gives nearly the same.
    torch.testing.assert_close(built.eval()(x), expected, rtol=0.03, atol=0.03)


def test_trains_on_one_sample_whose_coarsest_map_is_one_pixel():
    for share in (True, False):
        built = block(share=share).train()
        assert built(inputs(batch=1)).isfinite().all()


def test_scales_share_their_parameters_by_default():
    assert [len(block(share=share).non_local) for share in (True, False)] == [1, 4]


def test_response_is_what_non_local_adds_ahead_of_its_norm():
    torch.manual_seed(0)
    nl = NonLocal(6).double().eval()
    nn.init.normal_(nl.norm.weight)
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(x + nl.norm(nl.response(x)), nl(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 1}, r"dims=1 must be 2 \(height, width\) or 3"),
        ({"scales": 1}, r"scales=1 must be 2, 3 or 4; for a single scale use NonLocal"),
        ({"scales": 5}, r"scales=5 must be 2, 3 or 4"),
        ({"channels": 18}, r"channels=18 must be a multiple of scales=4 and at least twice it"),
        ({"channels": 4}, r"channels=4 must be a multiple of scales=4 and at least twice it"),
        ({"pool": "mean"}, r"pool='mean' must be one of average, max"),
        ({"upsample": "cubic"}, r"upsample='cubic' must be one of nearest, bilinear"),
        ({"combine": "sum"}, r"combine='sum' must be one of attention, concatenation"),
        ({"combine": "concatenation", "ratio": 2}, r"ratio=2 has no effect with combine="),
        ({"ratio": 5}, r"ratio=5 must be from 1 to the 4 channels of a scale"),
        ({"pairwise": "cosine"}, r"pairwise='cosine' must be one of embedded_gaussian"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        PNL(**({"channels": 16} | options))
