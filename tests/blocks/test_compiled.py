"""The compiled Fourier block is the function that PyTorch computes, in eval mode and in training.

Both are held against the layers in float64.
"""

import copy
import ctypes
import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from keypoint.blocks import SRL
from keypoint.blocks.spectral import compiled_block, srl
from keypoint.compiled import libraries
from tests.blocks.contract import Case, opened
from tests.compiled import with_library

ORDERS = [torch.contiguous_format, torch.channels_last]
# Rows and columns with every radix, alone and with others; lines shorter than a register, one row, two columns.
SIZES = [(24, 18), (16, 12), (7, 14), (20, 10), (9, 6), (1, 8), (5, 2), (25, 98)]


def build(size, channels=64, **options):
    """Two groups of 32 channels."""
    options = {"groups": 2} | options
    return opened(Case(lambda size: SRL(channels, size=size, **options)), size)


def maps(batch, channels, *size, order=torch.contiguous_format):
    generator = torch.Generator().manual_seed(batch + sum(size))
    return torch.randn(batch, channels, *size, generator=generator).contiguous(memory_format=order)


@pytest.fixture
def calls(monkeypatch):
    """Functions of the libraries that were called."""
    seen = []
    call = compiled_block.call

    def noted(function, *arguments):
        seen.append(function.__name__)
        call(function, *arguments)

    monkeypatch.setattr(compiled_block, "call", noted)
    monkeypatch.setattr("keypoint.blocks.spectral.compiled_training.call", noted)
    return seen


@pytest.fixture
def by_torch(monkeypatch):
    """Call something without the libraries."""

    def run(work):
        with monkeypatch.context() as patch:
            patch.setattr(compiled_block, "libraries", lambda: ())
            return work()

    return run


@pytest.fixture(params=[0, 1], ids=["quickest", "next"])
def one_library(request, monkeypatch):
    """With each library that this machine can use."""
    with_library(monkeypatch, compiled_block, request.param)


@pytest.fixture(autouse=True)
def _quickest_library(monkeypatch):
    with_library(monkeypatch, compiled_block, 0)


def distance(given, exact):
    return float((given - exact).norm() / exact.norm())


@pytest.mark.usefixtures("one_library")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "options",
    [{}, {"ratio": 4}, {"ratio": 1, "spectral_relu": False}, {"variant": "single"}, {"variant": "single", "spectral_relu": True}],
)  # fmt: skip
def test_eval_is_as_near_to_the_exact_block(options, order, calls, by_torch):
    ours = theirs = 0.0
    with torch.no_grad():
        for size in SIZES:
            module, x = build(size, **options), maps(3, 64, *size, order=order)
            y = module(x)
            assert y.stride() == x.stride()
            exact = copy.deepcopy(module).double()(x.double())
            assert distance(y, exact) < 5e-7, size
            ours += distance(y, exact)
            theirs += distance(by_torch(lambda module=module, x=x: module(x)), exact)
    assert ours < 1.1 * theirs
    assert calls == ["srl_evaluate"] * len(SIZES)


def step(module, x, g):
    """The result, gradients and new running statistics of one step."""
    module, x = copy.deepcopy(module).train(), x.clone().requires_grad_()
    y = module(x)
    y.backward(g)
    found = {"y": y.detach(), "x": x.grad} | {n: p.grad for n, p in module.named_parameters()}
    return found | dict(module.named_buffers())


@pytest.mark.usefixtures("one_library")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", [{}, {"ratio": 4}, {"ratio": 1}])
def test_training_is_as_near_to_the_exact_block(options, order, calls, by_torch):
    ours, theirs = {}, {}
    for size in SIZES:
        module, x = build(size, **options), maps(3, 64, *size, order=order)
        g = maps(3, 64, *size).flip(0)
        exact = step(copy.deepcopy(module).double(), x.double(), g.double())
        given, plain = step(module, x, g), by_torch(lambda m=module, x=x, g=g: step(m, x, g))
        for name, value in exact.items():
            if name == "alpha":  # one sum, which may be small: as a part of what its terms are
                terms = g.norm() * (exact["y"] - x).norm() / module.alpha
                assert abs(given[name] - value) < 5e-8 * terms
            elif value.is_floating_point():
                ours[name] = ours.get(name, 0.0) + distance(given[name], value)
                theirs[name] = theirs.get(name, 0.0) + distance(plain[name], value)
            else:
                assert torch.equal(given[name], value)
    for name, sum_of_distances in ours.items():
        assert sum_of_distances < max(1.2 * theirs[name], len(SIZES) * 4e-7), name
    steps = ["srl_reduce", "srl_expand", "srl_add"]
    steps += ["srl_add_back", "srl_expand_back", "srl_reduce_back"]
    assert calls == steps * len(SIZES)


def test_large_means_keep_their_digits(by_torch, calls):
    """The variance of maps whose mean is a thousand times larger."""
    module, x = build((16, 12)).train(), maps(4, 64, 16, 12)
    with torch.no_grad():
        module.phi.relu.bias += 1000
        exact = copy.deepcopy(module).double()(x.double())
        ours = distance(copy.deepcopy(module)(x), exact)
        assert ours < 1.2 * by_torch(lambda: distance(copy.deepcopy(module)(x), exact))
    assert calls


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_statistics_over_steps(momentum, calls):
    module = build((6, 4)).train()
    for norm in (module.phi.reduce_norm, module.phi.expand_norm):
        norm.momentum = momentum
        norm.reset_running_stats()
    exact = copy.deepcopy(module).double()
    for batch in (2, 3, 1):
        x = maps(batch, 64, 6, 4)
        with torch.no_grad():
            module(x), exact(x.double())
    assert len(calls) == 9
    for (name, given), wanted in zip(module.named_buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(given.double(), wanted.double(), rtol=1e-5, atol=1e-6, msg=name)


def test_what_is_not_finite_spreads_as_by_torch(calls, by_torch):
    """A ReLU keeps NaN: one bad pixel, or one bad weight, must be seen in the loss."""
    module, x, g = build((6, 4)), maps(2, 64, 6, 4), torch.ones(2, 64, 6, 4)
    x[0, 3, 2, 1] = torch.nan
    with torch.no_grad():
        y = module(x)
        assert torch.equal(y.isnan(), by_torch(lambda: module(x).isnan()))
    assert y.isnan().sum() > 1
    given, wanted = step(module, x, g), by_torch(lambda: step(module, x, g))
    for name in ("y", "x", "phi.reduce.weight", "phi.expand.weight"):
        assert torch.equal(given[name].isnan(), wanted[name].isnan()), name
    assert len(calls) == 7


def test_gradients_of_gradients(calls, by_torch):
    module, x = build((6, 4)).train(), maps(2, 64, 6, 4).requires_grad_()

    def penalty():
        [g] = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), [x, *module.parameters()])

    for given, wanted in zip(penalty(), by_torch(penalty), strict=True):
        assert distance(given, wanted) < 1e-4
    # By the layers the first time; the second time also through the first result.
    assert calls[:3] == ["srl_reduce", "srl_expand", "srl_add"]
    assert len(calls) == 6


def test_half_precision_maps(calls, by_torch):
    """Computed in float32, and rounded once."""
    module, x = build((24, 18)), maps(2, 64, 24, 18)
    with torch.no_grad():
        for dtype in (torch.bfloat16, torch.float16):
            y = module(x.to(dtype))
            assert y.dtype == dtype
            assert torch.equal(y, module(x.to(dtype).float()).to(dtype))
        with torch.autocast("cpu", torch.bfloat16):
            assert module(x.bfloat16()).dtype == torch.bfloat16
    assert len(calls) == 5
    with torch.autocast("cpu", torch.bfloat16):
        module.train()(x).sum().backward()
    assert len(calls) == 5  # trained by PyTorch


def hooked(module):
    module.phi.relu.register_forward_hook(lambda *_: None)


def parametrised(module):
    parametrize.register_parametrization(module.phi.reduce, "weight", nn.Identity())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        hooked,
        parametrised,
        lambda m: m.double(),
        lambda m: m.transform.register_forward_hook(lambda *_: None),
        lambda m: setattr(m.transform, "matmul", True),
        lambda m: setattr(m.phi, "relu", nn.GELU()),
        lambda m: setattr(m.phi.relu, "weight", nn.Parameter(torch.ones(1, 1))),
        lambda m: setattr(m.phi, "expand", nn.Conv2d(64, 128, 1, bias=False)),
        lambda m: setattr(m.phi, "expand_norm", nn.BatchNorm2d(128, affine=False)),
        lambda m: setattr(m.phi, "expand_norm", nn.GroupNorm(4, 128)),
    ],
)
def test_what_it_does_not_know_is_left_to_torch(change, training, calls):
    module = build((6, 4))
    change(module)
    module.train(training)
    with torch.no_grad():
        module(maps(2, 64, 6, 4).to(module.alpha.dtype))
    assert not calls


def test_a_frozen_norm_in_training_is_torchs(calls):
    module = build((6, 4)).train()
    module.phi.expand_norm.eval()
    before = module.phi.expand_norm.running_mean.clone()
    module(maps(2, 64, 6, 4)).sum().backward()
    assert torch.equal(module.phi.expand_norm.running_mean, before)
    assert not calls


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 64, 6, 5)),  # odd width
        ({}, (2, 64, 3, 1)),
        ({}, (2, 64, 1, 1)),
        ({}, (2, 64, 11, 4)),  # another prime factor
        ({"groups": 16}, (2, 64, 6, 4)),  # four channels in a group
        ({}, (0, 64, 6, 4)),
    ],
)
def test_sizes_it_cannot_do(options, shape, calls):
    module = build(shape[2:], **options)
    with torch.no_grad():
        assert module(maps(*shape)).shape == shape
    assert not calls


def test_another_size_than_the_blocks(calls):
    with torch.no_grad():
        build((6, 4))(maps(2, 64, 12, 8))
    assert not calls


def test_gradients_in_eval_mode_are_torchs(calls):
    build((6, 4))(maps(2, 64, 6, 4).requires_grad_()).sum().backward()
    assert not calls


def test_transformations_of_functions_are_torchs(calls):
    """They would not see what a library does: counting, tangents, batching."""
    module, x = build((6, 4)), maps(2, 64, 6, 4)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            module(x)
        assert counter.get_total_flops() > 0
        with pytest.raises(NotImplementedError), torch.autograd.forward_ad.dual_level():
            module(torch.autograd.forward_ad.make_dual(x, x))
        with pytest.raises(NotImplementedError):
            torch.func.jvp(module, (x,), (x,))
        with pytest.raises(RuntimeError, match="atching rule"):
            torch.func.vmap(module)(x[None])
        torch.compile(module, backend="eager")(x)
    assert not calls


def test_the_same_bits_on_any_number_of_threads():
    module, x = build((24, 18), channels=128, groups=4), maps(3, 128, 24, 18)
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        with torch.no_grad():
            y = module(x)
        results.append({"eval": y} | step(module, x, x))
    for other, name in itertools.product(results[1:], results[0]):
        assert torch.equal(other[name], results[0][name]), name


def test_from_several_threads_at_once():
    module, x = build((24, 18)), maps(8, 64, 24, 18)
    with torch.no_grad():
        wanted = module(x)
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        with torch.no_grad():
            return all(torch.equal(module(x), wanted) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


AFTER_FORK = """
import os, torch
from keypoint.blocks import SRL
torch.set_num_threads(2)
block, x = SRL(128, size=(24, 18)).eval(), torch.randn(2, 128, 24, 18)
with torch.no_grad():
    block(x)
    child = os.fork()
    block(x)
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_in_a_forked_process():
    done = subprocess.run(
        [sys.executable, "-c", AFTER_FORK], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "7\n", done.stderr


def test_the_switch():
    program = "from keypoint.compiled.libraries import *; print(libraries(), state())"
    process = subprocess.run([sys.executable, "-c", program], env=os.environ | {libraries.SWITCH: "0"}, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert process.stdout == "() off, because of KEYPOINT_COMPILED=0\n", process.stderr


def test_a_file_of_another_system_is_as_none(tmp_path, monkeypatch):
    for name in {*itertools.chain(*libraries.FILES.values()), *libraries.OTHERS}:
        (tmp_path / name).write_bytes(b"\x7fELF of something else")
    monkeypatch.setattr(libraries, "__file__", str(tmp_path / "libraries.py"))
    assert libraries.libraries.__wrapped__() == ()


def test_no_memory_is_an_error(monkeypatch):
    def failing(*_):
        return 1

    monkeypatch.setattr(compiled_block, "libraries", lambda: (SimpleNamespace(srl_fits=lambda *_: True, srl_evaluate=failing),))  # fmt: skip
    with torch.no_grad(), pytest.raises(RuntimeError, match="cannot allocate memory for a spectral block of a map \\(2, 64, 6, 4\\)"):  # fmt: skip
        build((6, 4))(maps(2, 64, 6, 4))


def test_the_two_languages_agree_on_the_sizes():
    """`Sizes` is laid out as the struct of group.hpp."""
    assert ctypes.sizeof(compiled_block.Sizes) == 8 * ctypes.sizeof(ctypes.c_int)
    source = (Path(libraries.__file__).parent / "cpp" / "group.hpp").read_text()
    names = ", ".join(name for name, _ in compiled_block.Sizes._fields_)
    assert f"    int {names};\n" in source


def test_the_block_asks_before_it_computes(monkeypatch):
    """Without the libraries the block does as it did."""
    monkeypatch.setattr(compiled_block, "libraries", lambda: ())
    module, x = build((6, 4)), maps(2, 64, 6, 4)
    with torch.no_grad():
        y = module(x)
        monkeypatch.setattr(srl, "folds", lambda phi: False)
        torch.testing.assert_close(y, module(x), rtol=1e-5, atol=1e-5)
