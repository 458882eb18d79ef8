"""The non-local block against loops over pairs of positions, its counts and its memory."""

import math

import pytest
import torch
from torch import nn

from keypoint.blocks import NonLocal
from tests.reference import non_local as reference

CHANNELS, INNER = 6, 4
SHAPES = {1: (11,), 2: (3, 5), 3: (2, 3, 3)}


def block(**options):
    torch.manual_seed(0)
    nl = NonLocal(CHANNELS, **({"inner": INNER} | options)).double().eval()
    for parameter in nl.parameters():
        nn.init.normal_(parameter, std=0.7)
    nn.init.normal_(nl.norm.running_mean)
    nn.init.uniform_(nl.norm.running_var, 0.5, 2)
    return nl


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
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        nl(x).sum().backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < 40e6


def paper_parameters(module):
    counted = nn.Conv2d, nn.BatchNorm2d, nn.Linear
    return sum(
        p.numel() for m in module.modules() if isinstance(m, counted) for p in m.parameters()
    )


def test_parameters_of_three_blocks():
    blocks = [NonLocal(256) for _ in range(3)]
    assert sum(map(paper_parameters, blocks)) == 394_752
    assert sum(p.numel() for b in blocks for p in b.parameters()) == 394_752
    biased = NonLocal(256, conv_bias=True)
    assert sum(p.numel() for p in biased.parameters()) == 394_752 // 3 + 3 * 128 + 256


def test_parameters_of_four_blocks_in_the_video_network():
    """After each block of res3 (128 channels) and res4 (256 channels) of the C2D ResNet-18."""
    blocks = [NonLocal(channels, dims=3) for channels in (128, 128, 256, 256)]
    assert sum(p.numel() for b in blocks for p in b.parameters()) == 329_216


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([(16, 12), (32, 24), (64, 48)], 2.892), ([(24, 18), (48, 36), (96, 72)], 13.254)],
)
def test_multiply_adds_of_three_blocks_by_the_papers_rule(sizes, expected):
    total = 0
    for size in sizes:
        positions = math.prod(size)
        nl = NonLocal(256)
        for module in nl.modules():
            if isinstance(module, nn.Conv2d):
                total += module.weight.numel() * positions
        total += 2 * positions**2 * nl.g.out_channels  # theta phi^T, and its product with g
    assert round(total / 2**30, 3) == expected


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
