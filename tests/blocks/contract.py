"""What every block promises, whichever it is. Add a block: add a line to CASES.

A block keeps shape, dtype and memory format, starts as the identity, trains, can be copied, saved,
compiled and exported, and treats the samples of a batch independently in eval mode.
"""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.func import functional_call

from keypoint.blocks import CGNL, PNL, RCCA, SRL, DoubleAttention, NonLocal
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal
from keypoint.blocks.spectral.srl_video import SRLVideo

CHANNELS = 16
SIZES = [(1, 1), (1, 7), (7, 1), (7, 9), (24, 18), (64, 48)]


@dataclass(frozen=True)
class Case:
    """How to build the block for maps of `size`, and what other axes (time) its input has."""

    build: Callable[[tuple[int, int]], nn.Module]
    time: tuple[int, ...] = ()
    flat: bool = False  # a one-dimensional block: H and W are one axis
    # Parameters that a softmax cancels, so that they have no gradient: a bias of its keys.
    without_gradient: tuple[str, ...] = ()

    def input(self, batch: int, size: tuple[int, int], **options: object) -> torch.Tensor:
        generator = torch.Generator().manual_seed(batch * 1000 + size[0] * 100 + size[1])
        axes = (size[0] * size[1],) if self.flat else (*self.time, *size)
        shape = (batch, CHANNELS, *axes)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(**options)  # type: ignore[call-overload]

    @property
    def channels_last(self) -> torch.memory_format | None:
        if self.flat:
            return None
        return torch.channels_last_3d if self.time else torch.channels_last


CASES = {
    "srl_fft": Case(lambda size: SRL(CHANNELS, size=size)),
    # Groups of 16 and of 8 channels: the widths of compiled code (blocks/spectral/compiled_block.py).
    "srl_fft_compiled": Case(lambda size: SRL(CHANNELS, size=size, groups=1)),
    "srl_fft_compiled_single": Case(
        lambda size: SRL(CHANNELS, size=size, groups=2, variant="single")
    ),
    "srl_fft_matmul": Case(lambda size: SRL(CHANNELS, size=size, matmul=True)),
    "srl_fft_single": Case(lambda size: SRL(CHANNELS, size=size, variant="single")),
    "srl_lo": Case(lambda size: SRL(CHANNELS, size=size, transform="lo")),
    "srl_lo_polar": Case(
        lambda size: SRL(CHANNELS, size=size, transform="lo", retraction="polar", variant="single")
    ),
    "srl_dct": Case(lambda size: SRL(CHANNELS, size=size, transform="dct")),
    "srl_wht": Case(lambda size: SRL(CHANNELS, size=size, transform="wht")),
    "srl_haar": Case(lambda size: SRL(CHANNELS, size=size, transform="haar")),
    "srl_slant": Case(lambda size: SRL(CHANNELS, size=size, transform="slant", variant="single")),
    "srl_video": Case(lambda size: SRLVideo(CHANNELS, frames=3, size=size), time=(3,)),
    "srl_video_lo_time": Case(
        lambda size: SRLVideo(CHANNELS, frames=3, size=size, transform="lo", ops="time"), time=(3,)
    ),
    "srl_video_dct_channel": Case(
        lambda size: SRLVideo(CHANNELS, frames=3, size=size, transform="dct", ops="channel"),
        time=(3,),
    ),
    "nl": Case(lambda size: NonLocal(CHANNELS)),
    "nl_gaussian": Case(lambda size: NonLocal(CHANNELS, pairwise="gaussian")),
    "nl_dot": Case(lambda size: NonLocal(CHANNELS, pairwise="dot", conv_bias=True)),
    "nl_concatenation": Case(lambda size: NonLocal(CHANNELS, pairwise="concatenation")),
    "nl_subsample": Case(lambda size: NonLocal(CHANNELS, subsample=2)),
    "nl_1d": Case(lambda size: NonLocal(CHANNELS, dims=1), flat=True),
    "nl_3d": Case(lambda size: NonLocal(CHANNELS, dims=3, subsample=2), time=(3,)),
    "a2": Case(lambda size: DoubleAttention(CHANNELS)),
    "a2_1d": Case(lambda size: DoubleAttention(CHANNELS, inner=6, maps=3, dims=1), flat=True),
    "a2_3d": Case(lambda size: DoubleAttention(CHANNELS, dims=3), time=(3,)),
    # Not 8 groups: the norm of two almost equal channels loses too many digits.
    "cgnl": Case(lambda size: CGNL(CHANNELS, groups=4)),
    "cgnl_dot": Case(lambda size: CGNL(CHANNELS, kernel="dot")),
    "cgnl_1d": Case(lambda size: CGNL(CHANNELS, groups=2, order=1, dims=1), flat=True),
    "cgnl_3d": Case(lambda size: CGNL(CHANNELS, groups=4, dims=3), time=(3,)),
    "rcca": Case(lambda size: RCCA(CHANNELS)),
    "rcca_once": Case(lambda size: RCCA(CHANNELS, inner=8, key=2, recurrence=1)),
    "pnl": Case(lambda size: PNL(CHANNELS), without_gradient=("phi.bias", "key.bias")),
    "pnl_unshared_max": Case(  # two scales: at 7 x 9 the fourth is a pixel that sees itself alone
        lambda size: PNL(CHANNELS, scales=2, share=False, pool="max"),
        without_gradient=("phi.bias", "key.bias"),
    ),
    "pnl_concatenation_bilinear": Case(
        lambda size: PNL(CHANNELS, combine="concatenation", upsample="bilinear"),
        without_gradient=("phi.bias",),
    ),
    "pnl_dot": Case(
        lambda size: PNL(CHANNELS, scales=2, pairwise="dot"), without_gradient=("key.bias",)
    ),
    "pnl_3d": Case(
        lambda size: PNL(CHANNELS, dims=3), time=(3,), without_gradient=("phi.bias", "key.bias")
    ),
}


def built(case: Case, size: tuple[int, int], seed: int = 0) -> nn.Module:
    """A new block, the same at each call."""
    torch.manual_seed(seed)
    return case.build(size)


def opened(case: Case, size: tuple[int, int]) -> nn.Module:
    """The block in eval mode with its zero gates, norms and frequency weights at random values."""
    block = built(case, size).eval()
    for module in block.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and not module.weight.any():
            nn.init.normal_(module.weight)  # a convolution that is the gate
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear | LearnedOrthogonal):
            continue
        for parameter in module.parameters(recurse=False):
            nn.init.normal_(parameter, mean=0.5, std=0.3)
        for name, buffer in module.named_buffers(recurse=False):
            if name == "running_mean":
                nn.init.normal_(buffer, std=0.2)
            elif name == "running_var":
                nn.init.uniform_(buffer, 0.5, 1.5)
    return block


def starts_as_identity(case: Case) -> None:
    for size in SIZES:
        block = built(case, size)
        x = case.input(1, size, dtype=torch.float32)
        assert torch.equal(block.eval()(x), x), size
        x = case.input(2, size, dtype=torch.float32)
        assert torch.equal(block.train()(x), x), size


def keeps_shape_dtype_and_memory_format(case: Case) -> None:
    for size in SIZES:
        block = opened(case, size)
        x = case.input(1, size, dtype=torch.float32)
        expected = block(x)
        assert expected.shape == x.shape, size
        assert expected.dtype == x.dtype
        assert expected.is_contiguous()
        assert expected.isfinite().all()
        assert not torch.equal(expected, x), f"{size}: the gates are not open"
        if case.channels_last is not None:
            y = block(x.contiguous(memory_format=case.channels_last))
            assert y.is_contiguous(memory_format=case.channels_last), size
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    block = opened(case, (7, 9)).double()
    assert block(case.input(2, (7, 9))).dtype == torch.float64


def takes_any_strides(case: Case) -> None:
    size = (7, 9)
    block = opened(case, size)
    x = case.input(2, size, dtype=torch.float32)
    expected = block(x)
    every_second = torch.stack((x, x + 1), dim=-1)[..., 0]
    transposed = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    for view in (every_second, transposed):
        assert not view.is_contiguous()
        torch.testing.assert_close(block(view), expected, rtol=1e-5, atol=1e-5)
    repeated = x[:1].expand(3, *x.shape[1:])
    torch.testing.assert_close(block(repeated)[2], expected[0], rtol=1e-5, atol=1e-5)


def gradients_reach_every_parameter(case: Case) -> None:
    size = (7, 9)
    x = case.input(2, size, dtype=torch.float32)
    weights = torch.linspace(-1, 1, x.numel()).reshape(x.shape)
    # From the start no parameter is without a gradient, which DDP would refuse.
    block = built(case, size).train()
    (block(x) * weights).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    assert any(p.grad.abs().sum() > 0 for p in block.parameters() if p.grad is not None)
    # In eval mode, as a bias ahead of a batch norm has no gradient in training.
    block = opened(case, size)
    (block(x) * weights).sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None
        if not name.endswith(case.without_gradient):
            assert parameter.grad.abs().sum() > 1e-6, name


def passes_gradcheck(case: Case) -> None:
    for size in [(1, 1), (3, 4), (4, 3)]:
        block = opened(case, size).double()
        names = [name for name, _ in block.named_parameters()]
        values = [p.detach().clone().requires_grad_() for p in block.parameters()]
        x = case.input(2, size)

        def run(x, *values, block=block, names=names):  # type: ignore[no-untyped-def]
            return functional_call(block, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(run, (x.requires_grad_(), *values), fast_mode=True)


def samples_are_independent(case: Case) -> None:
    size = (7, 9)
    block = opened(case, size)
    x = case.input(3, size, dtype=torch.float32)
    y = block(x)
    for i in range(3):
        torch.testing.assert_close(block(x[i : i + 1])[0], y[i], rtol=1e-5, atol=1e-5)
    broken = x.clone()
    broken[1].view(-1)[5] = float("nan")
    torch.testing.assert_close(block(broken)[[0, 2]], y[[0, 2]], rtol=1e-5, atol=1e-5)


def works_in_low_precision(case: Case) -> None:
    size = (24, 18)
    x = case.input(2, size, dtype=torch.float32)
    block = opened(case, size)
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x)
        assert block(x.bfloat16()).dtype == torch.bfloat16
        # The skip path is untouched: at the start the output is the input, not its bf16 rounding.
        assert torch.equal(built(case, size).eval()(x), x)
    assert y.dtype == torch.float32
    error = (y - expected).norm() / (expected - x).norm()
    assert error < 0.03, error
    block.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = block(x).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
    for dtype in (torch.bfloat16, torch.float16):
        block = opened(case, size).to(dtype)
        y = block(x.to(dtype))
        assert y.dtype == dtype
        error = (y.float() - expected).norm() / (expected - x).norm()
        assert error < 0.1, (dtype, error)  # the input itself is rounded


def copies_and_saves(case: Case) -> None:
    size = (7, 9)
    block = opened(case, size)
    x = case.input(2, size, dtype=torch.float32)
    expected = block(x)
    file = io.BytesIO()
    torch.save(block.state_dict(), file)
    file.seek(0)
    loaded = built(case, size, seed=1).eval()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block)), loaded):
        assert torch.equal(other(x), expected)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(0.5)
        assert torch.equal(block(x), expected), "the copy shares memory with the original"


def compiles_without_graph_breaks(case: Case) -> None:
    torch.compiler.reset()
    size = (7, 9)
    block = opened(case, size)
    x = case.input(2, size, dtype=torch.float32)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), block(x), rtol=1e-5, atol=1e-5)


def exports(case: Case) -> None:
    size = (7, 9)
    block = opened(case, size)
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(
        block, (case.input(2, size, dtype=torch.float32),), dynamic_shapes=dynamic
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx = torch.onnx.export(program, verbose=False)
    assert onnx is not None
    session = onnxruntime.InferenceSession(onnx.model_proto.SerializeToString())
    for batch in (1, 3):
        x = case.input(batch, size, dtype=torch.float32)
        expected = block(x).detach()
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-5, atol=1e-5)
        (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-4, atol=1e-5)


def runs_on_meta(case: Case) -> None:
    """As complexity counters do."""
    with torch.device("meta"):
        block = built(case, (7, 9)).eval()
    x = case.input(2, (7, 9), dtype=torch.float32, device="meta")
    assert block(x).shape == x.shape


def takes_an_empty_batch(case: Case) -> None:
    """As detectors have on an image without objects."""
    x = case.input(1, (7, 9), dtype=torch.float32)[:0]
    assert opened(case, (7, 9))(x).shape == x.shape


def refuses_other_shapes(case: Case) -> None:
    block = built(case, (7, 9))
    x = case.input(2, (7, 9), dtype=torch.float32)
    for wrong in (x[:, 1:], x[..., 0]):
        try:
            block(wrong)
        except ValueError as error:
            message = str(error)
        else:
            raise AssertionError(f"accepted {tuple(wrong.shape)}")
        assert str(CHANNELS) in message
        assert str(tuple(wrong.shape)) in message
        assert "build it with" in message


PROMISES = [
    starts_as_identity,
    keeps_shape_dtype_and_memory_format,
    takes_any_strides,
    gradients_reach_every_parameter,
    passes_gradcheck,
    samples_are_independent,
    works_in_low_precision,
    copies_and_saves,
    compiles_without_graph_breaks,
    exports,
    runs_on_meta,
    takes_an_empty_batch,
    refuses_other_shapes,
]
