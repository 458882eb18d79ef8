"""The evaluation form of SRL is the function that is trained: both run on the same input."""

import copy
import itertools

import pytest
import torch
from torch import nn

from keypoint.blocks import SRL
from keypoint.blocks.spectral import folded, memory, orthogonal, srl
from tests.blocks.contract import Case, opened

CHANNELS = 16
ORDERS = [torch.contiguous_format, torch.channels_last]


def block(size, **options):
    options = {"size": size, "groups": 4} | options
    return opened(Case(lambda size: SRL(CHANNELS, **options)), size)


def maps(batch, *size, order=torch.contiguous_format, dtype=torch.float32):
    generator = torch.Generator().manual_seed(batch + sum(size))
    x = torch.randn(batch, CHANNELS, *size, generator=generator, dtype=dtype)
    return x.contiguous(memory_format=order)


@pytest.fixture
def plain(monkeypatch):
    """Run a block as in training, layer by layer, but with running statistics."""

    def run(module, x):
        with monkeypatch.context() as patch:
            patch.setattr(srl, "folds", lambda phi: False)
            return module(x)

    return run


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("spectral_relu", [True, False])
@pytest.mark.parametrize("variant", srl.VARIANTS)
@pytest.mark.parametrize("transform", srl.TRANSFORMS)
def test_equals_the_layers(transform, variant, spectral_relu, order, plain, monkeypatch):
    module = block((6, 5), transform=transform, variant=variant, spectral_relu=spectral_relu)
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
        module = module.to(dtype)
        if transform == "lo":
            module.transform.retract()
        for batch, size in [(1, (6, 5)), (3, (6, 5)), (2, (7, 8)), (2, (4, 9))]:
            x = maps(batch, *size, order=order, dtype=dtype)
            expected = plain(module, x)
            y = module(x)
            torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
            # In pieces: all at once; two of three samples; one or three of four groups of one.
            for chunk in (2**18, 2 * x[0].numel(), x[0].numel() // 4, 3 * x[0].numel() // 4):
                monkeypatch.setattr(memory, "CHUNK", chunk)
                with torch.no_grad():
                    y = module(x)
                torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
                assert y.is_contiguous(memory_format=order)


@pytest.mark.parametrize("transform", ["fft", "lo", "dct"])
@pytest.mark.parametrize("variant", srl.VARIANTS)
def test_same_gradients(transform, variant, plain):
    module = block((6, 5), transform=transform, variant=variant).double()
    x = maps(2, 6, 5, dtype=torch.float64).requires_grad_()
    inputs = [x, *module.parameters()]
    gradients = [
        torch.autograd.grad(f(x).square().sum(), inputs)
        for f in (module, lambda x: plain(module, x))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_pieces_are_run(monkeypatch):
    """Eight samples of four groups, at most three groups at a time: 3 + 1, eight times."""
    module, x = block((6, 5)), maps(8, 6, 5)
    seen = []
    branch = folded.fourier_branch
    monkeypatch.setattr(
        folded, "fourier_branch", lambda x, *rest: seen.append(x.shape[:2]) or branch(x, *rest)
    )
    monkeypatch.setattr(memory, "CHUNK", 3 * CHANNELS // 4 * 30)
    with torch.no_grad():
        module(x)
    assert seen == [(1, 12), (1, 4)] * 8
    seen.clear()
    monkeypatch.setattr(memory, "CHUNK", 3 * CHANNELS * 30)
    with torch.inference_mode():
        module(x)
    assert seen == [(3, 16), (3, 16), (2, 16)]
    seen.clear()
    module(x)  # gradients may be asked for: nothing is written in place
    assert seen == [(8, 16)]


@pytest.mark.parametrize("order", ORDERS)
def test_real_transforms_see_reduced_channels_only(order, monkeypatch):
    module, x = block((6, 5), transform="lo", ratio=4), maps(2, 6, 5, order=order)
    seen = []
    for name in ("to_spectrum", "from_spectrum"):
        inner = getattr(orthogonal, name)
        monkeypatch.setattr(
            orthogonal,
            name,
            lambda p, x, *rest, inner=inner: seen.append(x.shape[1]) or inner(p, x, *rest),
        )
    module(x)
    assert seen == [4, 4, 1]  # the last one is the constant that the norm's shift comes out as
    seen.clear()
    module.train()(x)
    assert seen == [16, 16]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("transform", ["fft", "dct"])
def test_half_precision_weights(dtype, transform, plain):
    module = block((12, 10), transform=transform).to(dtype)
    x = maps(2, 12, 10).to(dtype)
    with torch.no_grad():
        y, expected = module(x), plain(module, x)
    assert y.dtype == dtype
    branch, wanted = (y - x).float(), (expected - x).float()
    assert (branch - wanted).norm() / wanted.norm() < 0.03


@pytest.mark.parametrize(
    "options", [{"ratio": 1, "groups": 32}, {"variant": "single", "groups": 32}]
)
def test_groups_of_half_a_channel(options, plain, monkeypatch):
    """They cannot be cut off from the map, so they run all at once."""
    module, x = block((6, 5), **options), maps(2, 6, 5)
    monkeypatch.setattr(memory, "CHUNK", 30)
    with torch.no_grad():
        torch.testing.assert_close(module(x), plain(module, x), rtol=1e-5, atol=1e-5)


def test_norms_that_are_not_folded():
    """Norms by batch statistics, or of another kind, are run as they are."""
    module, x = block((6, 5)), maps(4, 6, 5)
    assert folded.folds(module.phi)
    for change in (
        lambda m: m.phi.expand_norm.train(),
        lambda m: setattr(
            m.phi, "reduce_norm", nn.BatchNorm2d(16, track_running_stats=False).eval()
        ),
        lambda m: setattr(m.phi, "reduce_norm", nn.SyncBatchNorm(16).eval()),
        lambda m: setattr(m.phi, "expand_norm", nn.GroupNorm(4, 32)),
        lambda m: setattr(m.phi, "expand_norm", nn.BatchNorm2d(32, affine=False).eval()),
    ):
        other = copy.deepcopy(module)
        change(other)
        assert not folded.folds(other.phi)
        assert other(x).isfinite().all()
    other = copy.deepcopy(module)
    other.phi.expand_norm = nn.GroupNorm(4, 32)
    assert not torch.equal(other(x), module(x))


def test_a_changed_number_is_seen_at_the_next_call():
    """Nothing is kept from one call to the next."""
    module, x = block((6, 5)), maps(2, 6, 5)
    with torch.no_grad():
        for value in itertools.chain(module.parameters(), module.buffers()):
            before = module(x)
            if value.is_floating_point():
                value += 0.1
                assert not torch.equal(module(x), before)
