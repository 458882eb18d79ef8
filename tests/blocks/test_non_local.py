"""The non-local block against loops over pairs of positions, and its memory."""

import pytest
import torch

from keypoint.blocks import NonLocal
from tests.blocks.common import largest_allocation, randomised
from tests.reference import non_local as reference

CHANNELS, INNER = 6, 4
SHAPES = {1: (11,), 2: (3, 5), 3: (2, 3, 3)}


def block(**options):
    torch.manual_seed(0)
    return randomised(NonLocal(CHANNELS, **({"inner": INNER} | options)), std=0.7)


def restated(nl, x, pairwise, *, scale=1.0, window=None, before=True):
    v = {name: value.numpy() for name, value in nl.state_dict().items()}
    results = []
    for sample in x.numpy():
        here = sample.reshape(CHANNELS, -1)

        def seen(name, here=here, shape=sample.shape[1:]):
            pool = (lambda m: reference.max_pool(m, shape, window)) if window else (lambda m: m)
            inputs = pool(here) if before else here
            outputs = conv(name, inputs)
            return outputs if before else pool(outputs)

        def conv(name, inputs):
            if f"{name}.weight" not in v:
                return inputs
            weight = v[f"{name}.weight"].reshape(v[f"{name}.weight"].shape[:2])
            return reference.conv(inputs, weight, v.get(f"{name}.bias"))

        pair = v["pair.weight"][0] if "pair.weight" in v else None
        theta = conv("theta", here)
        y = reference.attend(theta, seen("phi"), seen("g"), pairwise, scale, pair)
        norm = [v[f"norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        out = v["out.weight"].reshape(CHANNELS, INNER)
        result = reference.output(here, y, out, norm, v.get("out.bias"))
        results.append(torch.from_numpy(result).reshape(x.shape[1:]))
    return torch.stack(results)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian", "dot", "concatenation"])
def test_equals_loops_over_pairs(pairwise, dims):
    nl = block(pairwise=pairwise, dims=dims)
    x = torch.randn(2, CHANNELS, *SHAPES[dims], dtype=torch.float64)
    scale = {"embedded_gaussian": INNER**-0.5, "gaussian": CHANNELS**-0.5}.get(pairwise, 1.0)
    expected = restated(nl, x, pairwise, scale=scale)
    torch.testing.assert_close(nl(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian"])
def test_without_scale_and_with_biases(pairwise):
    nl = block(pairwise=pairwise, scale=False, conv_bias=True)
    x = torch.randn(2, CHANNELS, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(nl(x), restated(nl, x, pairwise), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "dot", "concatenation"])
def test_subsampling(pairwise, before, dims):
    nl = block(pairwise=pairwise, dims=dims, subsample=2, subsample_before=before)
    x = torch.randn(2, CHANNELS, *SHAPES[dims], dtype=torch.float64)
    window = {1: (2,), 2: (2, 2), 3: (1, 2, 2)}[dims]  # time is not pooled
    scale = INNER**-0.5 if pairwise == "embedded_gaussian" else 1.0
    expected = restated(nl, x, pairwise, scale=scale, window=window, before=before)
    torch.testing.assert_close(nl(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian", "dot", "concatenation"])
def test_never_builds_the_matrix_of_pairs(pairwise):
    """At 96 x 72, N = 6,912; N x N in float32 would be 182 MB, forward or backward."""
    nl = NonLocal(16, pairwise=pairwise)
    x = torch.randn(1, 16, 96, 72, requires_grad=True)
    assert 0 < largest_allocation(nl, x) < 40e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 4}, r"dims=4 must be 1, 2 or 3"),
        ({"pairwise": "cosine"}, r"pairwise='cosine' must be one of embedded_gaussian, gaussian"),
        ({"inner": 0}, r"channels=8 and inner=0 must be at least 1"),
        ({"pairwise": "dot", "scale": True}, r"scale=True has no effect with pairwise='dot'"),
        ({"subsample": 0}, r"subsample=0 must be at least 1"),
        ({"subsample_before": False}, r"subsample_before=False has no effect with subsample=1"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        NonLocal(8, **options)
