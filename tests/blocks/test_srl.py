"""SRL against its restatement from the paper, at any resolution."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from keypoint.blocks import SRL
from keypoint.blocks.spectral.srl import TRANSFORMS
from tests.blocks.common import randomised
from tests.reference import bases
from tests.reference import srl as reference

CHANNELS, SIZE = 8, (6, 5)


def block(seed=0, **options):
    """Every number random, P and Q orthogonal in float64."""
    torch.manual_seed(seed)
    options = {"size": SIZE, "groups": 2} | options
    srl = randomised(SRL(CHANNELS, **options))
    if options.get("transform") == "lo":
        srl.transform.retract()
    return srl


def restated(srl, x, groups=2):
    """The reference's answer with the block's numbers, sample by sample."""
    v = {name: value.numpy() for name, value in srl.state_dict().items()}

    def norm(name):
        return [
            v[f"phi.{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        ]

    size = srl.transform.spectral_size
    w, b = v.get("phi.relu.weight", np.ones(size)), v.get("phi.relu.bias", np.zeros(size))

    def phi(z):
        if "phi.conv.weight" in v:
            conv = v["phi.conv.weight"], v["phi.conv.bias"]
            return reference.single(z, *conv, norm("norm"), w, b, groups)
        reduce, expand = v["phi.reduce.weight"], v["phi.expand.weight"]
        return reference.bottleneck(
            z, reduce, norm("reduce_norm"), w, b, expand, norm("expand_norm"), groups
        )

    samples = []
    for sample in x.numpy():
        basis = bases.BASES.get(getattr(srl.transform, "basis", None))
        if basis or "transform.P" in v:
            p, q = v.get("transform.P"), v.get("transform.Q")
            if basis:
                p, q = basis(size[0]), basis(size[1]).T
            samples.append(reference.srl_lo(sample, p, q, v["alpha"], phi))
        else:
            samples.append(reference.srl_fft(sample, srl.transform.size, v["alpha"], phi))
    return torch.from_numpy(np.stack(samples))


def maps(*size, batch=2):
    generator = torch.Generator().manual_seed(size[0] + size[1])
    return torch.randn(batch, CHANNELS, *size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [(6, 5), (5, 6), (1, 4), (3, 1)])
@pytest.mark.parametrize("variant", ["bottleneck", "single"])
@pytest.mark.parametrize("spectral_relu", [True, False])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_equals_the_paper(size, variant, spectral_relu, transform):
    srl = block(size=size, variant=variant, spectral_relu=spectral_relu, transform=transform)
    x = maps(*size)
    torch.testing.assert_close(srl(x), restated(srl, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("built", [(6, 5), (7, 8), (4, 4)])
@pytest.mark.parametrize("given", [(9, 10), (3, 2), (8, 3), (6, 8), (4, 5), (5, 4)])
@pytest.mark.parametrize("transform", ["fft", "lo", "wht"])
def test_equals_the_paper_at_another_resolution(built, given, transform):
    srl = block(size=built, transform=transform)
    x = maps(*given, batch=1)
    torch.testing.assert_close(srl(x), restated(srl, x), rtol=0, atol=1e-10)


def test_matmul_form_at_another_resolution():
    srl = block(matmul=True)
    x = maps(9, 8, batch=1)
    torch.testing.assert_close(srl(x), restated(srl, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("built", [(6, 5), (5, 6), (16, 12), (1, 1)])
@pytest.mark.parametrize(
    ("transform", "resize"),
    [("fft", reference.fourier_resize), ("lo", reference.cosine_resize)],
)
def test_commutes_with_up_sampling(built, transform, resize):
    srl = block(size=built, transform=transform)
    x = maps(*built, batch=1)
    for size in [(built[0] + 1, built[1] + 2), (2 * built[0], 2 * built[1])]:
        up_first = srl(torch.from_numpy(resize(x[0].numpy(), size))[None])
        up_last = torch.from_numpy(resize(srl(x)[0].detach().numpy(), size))[None]
        torch.testing.assert_close(up_first, up_last, rtol=0, atol=1e-12)


def test_skip_path_keeps_detail_the_grid_has_no_frequency_for():
    srl = block().float()
    x = maps(12, 10).float()
    high = x - torch.from_numpy(
        np.stack([reference.fourier_resize(reference.fourier_resize(s, SIZE), (12, 10))
                  for s in x.double().numpy()])
    ).float()  # fmt: skip
    torch.testing.assert_close(srl(x + high) - srl(x), high, rtol=0, atol=1e-4)


def test_single_takes_any_number_of_channels():
    srl = SRL(5, size=(4, 3), transform="lo", variant="single", groups=5)
    assert srl.phi.conv.weight.shape == (5, 1, 1, 1)
    with pytest.raises(ValueError, match="groups=4 must divide the 5 spectral maps"):
        SRL(5, size=(4, 3), transform="lo", variant="single", groups=4)
    with pytest.raises(ValueError, match="channels=5 must be a positive multiple of ratio=2"):
        SRL(5, size=(4, 3), transform="lo", groups=1)


def test_single_starts_with_identity_convolution():
    srl = SRL(16, size=(4, 4), variant="single")
    z = torch.randn(2, 32, 4, 3)
    torch.testing.assert_close(srl.phi.conv(z) - srl.phi.conv.bias[:, None, None], z)


def test_autocast_leaves_the_learned_transform_in_float32():
    srl = SRL(4, size=(8, 6), transform="lo", groups=1)
    x = torch.randn(1, 4, 16, 6)
    z = srl.transform(x)
    y = srl.transform.inverse(z, (16, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(srl.transform(x), z)
        assert torch.equal(srl.transform.inverse(z, (16, 6)), y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "dft"}, r"transform='dft' must be one of fft, lo"),
        ({"variant": "double"}, r"variant='double' must be one of bottleneck, single"),
        ({"ratio": 3}, r"channels=8 must be a positive multiple of ratio=3"),
        ({"variant": "single", "ratio": 2}, r"ratio=2 has no effect with variant='single'"),
        ({"groups": 3}, r"groups=3 must divide the 8 spectral maps"),
        ({"groups": 0}, r"groups=0 must divide"),
        ({"size": (0, 4)}, r"size=\(0, 4\) must be \(height, width\)"),
        ({"size": 16}, r"size=16 must be \(height, width\)"),
        ({"size": (4,)}, r"size=\(4,\) must be \(height, width\)"),
        ({"retraction": "qr"}, r"retraction='qr' has no effect with transform='fft'"),
        ({"transform": "lo", "matmul": True}, r"matmul=True has no effect with transform='lo'"),
        ({"transform": "lo", "retraction": "svd"}, r"retraction='svd' must be one of qr, polar"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        SRL(8, **({"size": (4, 4), "groups": 2} | options))


@pytest.mark.parametrize("transform", ["fft", "lo", "dct"])
def test_gradients_of_each_sample_by_torch_func(transform):
    srl = block(transform=transform)
    parameters = {name: p.detach() for name, p in srl.named_parameters()}
    x = maps(*SIZE, batch=3)

    def loss(parameters, sample):
        return functional_call(srl, parameters, (sample[None],)).square().sum()

    each = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for i in range(3):
        srl.zero_grad()
        srl(x[i : i + 1]).square().sum().backward()
        for name, parameter in srl.named_parameters():
            torch.testing.assert_close(each[name][i], parameter.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("matmul", [False, True])
def test_traced_by_torch_jit(matmul):
    srl = block(matmul=matmul)
    with torch.no_grad():
        file = io.BytesIO()
        torch.jit.save(torch.jit.trace(srl, (maps(*SIZE, batch=2),)), file)
        file.seek(0)
        traced = torch.jit.load(file)
        x = maps(*SIZE, batch=5)
        torch.testing.assert_close(traced(x), srl(x), rtol=1e-4, atol=1e-5)  # it rounds constants


@pytest.mark.parametrize("transform", ["fft", "dct"])
def test_a_layer_that_was_changed_is_called(transform):
    """Wrapped, hooked or subclassed convolutions and hooked norms: in training and evaluation."""

    class Doubled(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    x = maps(*SIZE)
    for mode in (True, False):
        plain = block(transform=transform).train(mode)
        expected = copy.deepcopy(plain)(x)
        assert torch.equal(copy.deepcopy(plain)(x), expected)
        wrapped, hooked, subclass, normed = (copy.deepcopy(plain) for _ in range(4))
        wrapped.phi.expand = nn.Sequential(wrapped.phi.expand, nn.Softplus())
        hooked.phi.reduce.register_forward_hook(
            lambda module, args, output: output + 1e3 * output.abs()
        )
        subclass.phi.reduce.__class__ = Doubled
        normed.phi.expand_norm.register_forward_pre_hook(lambda module, args: args[0].abs())
        for changed in (wrapped, hooked, subclass, normed):
            difference = (changed(x) - expected).abs().max()
            if mode and changed is subclass:  # a batch norm by batch statistics does not mind
                assert difference < 1e-3
            else:
                assert difference > 1e-3
        weighted = copy.deepcopy(plain)
        nn.utils.parametrizations.weight_norm(weighted.phi.reduce)
        torch.testing.assert_close(weighted(x), expected)


def test_integer_maps_are_refused():
    with pytest.raises(ValueError, match="of floating point, got .* of torch.int64"):
        block()(torch.zeros(1, CHANNELS, *SIZE, dtype=torch.int64))
