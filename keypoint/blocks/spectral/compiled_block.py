"""The Fourier block in compiled code, if it was built: the same function, faster.

This module is for eval mode; `compiled_training` is for training.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from keypoint.blocks.pointwise import is_plain
from keypoint.blocks.spectral.memory import is_traced
from keypoint.blocks.spectral.relu import SpectralReLU
from keypoint.blocks.spectral.transforms import Fourier
from keypoint.compiled.libraries import libraries, threads

if TYPE_CHECKING:
    from keypoint.blocks.spectral.folded import Folded


class Sizes(ctypes.Structure):
    """The first argument of every function of a library."""

    _fields_ = (
        ("batch", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("channels_last", ctypes.c_int),
        ("groups", ctypes.c_int),
        ("hidden", ctypes.c_int),
        ("threads", ctypes.c_int),
    )


def library_for(
    x: Tensor,
    transform: Fourier,
    relu: nn.Module,
    reduce: Tensor,
    expand: Tensor | None,
    others: Iterable[Tensor],
) -> ctypes.CDLL | None:
    """Return the library that can compute a block of B C H W in float32, or None for PyTorch.

    Args:
        x: The map.
        transform: Of the block.
        relu: Of the block.
        reduce: The first convolution's weight, G K M/G.
        expand: The second one's, G M/G K, if there is one.
        others: Its further tensors, which broadcast to numbers of maps or to the spectrum.
    """
    groups, hidden, maps = reduce.shape
    weights = [reduce, *([] if expand is None else [expand]), *relu.parameters(), *others]
    if (
        is_traced()
        or torch._C._len_torch_dispatch_stack() > 0  # something counts or fakes the operations
        or torch._C._functorch.peek_interpreter_stack() is not None
        or not _is_plain_tensor(x)
        or x.device.type != "cpu"
        or not x.numel()
        or not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))
        or not is_plain(transform, Fourier)
        or transform.matmul
        or tuple(x.shape[2:]) != transform.size
        or not (is_plain(relu, SpectralReLU) or is_plain(relu, nn.ReLU))
        or not all(_is_plain_float(weight) for weight in weights)
        # A layer that was replaced: the library does not check bounds.
        or groups * maps != 2 * x.shape[1]
        or (hidden if expand is None else tuple(expand.shape)) not in (maps, (groups, maps, hidden))
        or any(tuple(weight.shape) != transform.spectral_size for weight in relu.parameters())
    ):
        return None
    fitting = (lib for lib in libraries() if lib.srl_fits(*x.shape[1:], groups, hidden))
    return next(fitting, None)


def evaluate(library: ctypes.CDLL, x: Tensor, folded: Folded, size: tuple[int, int]) -> Tensor:
    """The block, x + alpha f^-1(phi(f(x))) of B C H W, in x's memory order.

    Args:
        library: Of `library_for`.
        x: The map, of any floating-point type; the computation is in float32.
        folded: phi without norms.
        size: Of the spectrum.

    Raises:
        RuntimeError: There is no memory.
    """
    given = x.float()
    result = torch.empty_like(given)
    groups = len(folded.reduce)
    reduce = parts_apart(folded.reduce, 2)
    shift = folded.shift.unflatten(0, (groups, -1))
    expand = bias = None
    if folded.expand is None or folded.bias is None:
        reduce, shift = parts_apart(reduce, 1), parts_apart(shift, 1)
    else:
        expand = parts_apart(folded.expand, 1).mT
        bias = parts_apart(folded.bias.unflatten(0, (groups, -1)), 1)
    if isinstance(folded.relu, SpectralReLU):
        relu_weight, relu_bias = folded.relu.weight, folded.relu.bias
    else:
        relu_weight, relu_bias = shift.new_ones(size), shift.new_zeros(size)
    scale = 1.0 if folded.scale is None else float(folded.scale)
    arguments = (given, result, reduce.mT, shift, relu_weight, relu_bias, expand, bias, scale)
    call(library.srl_evaluate, sizes_of(given, folded.reduce), *arguments)
    return result.to(x.dtype)


def sizes_of(x: Tensor, reduce: Tensor) -> Sizes:
    """Of a map B C H W and the reduction's weight, G K 2C/G."""
    batch, channels, height, width = x.shape
    groups, hidden = reduce.shape[:2]
    last = not x.is_contiguous()
    return Sizes(batch, height, width, channels, last, groups, hidden, threads())


def call(function: Any, sizes: Sizes, *arguments: Tensor | float | None) -> None:
    """Call a library's function.

    Args:
        function: Of a library.
        sizes: Its first argument.
        arguments: Tensors become pointers: maps B C H W unchanged, others contiguous.

    Raises:
        RuntimeError: There is no memory.
    """
    kept = []  # tensors to keep alive until the function returns
    raw: list[ctypes.c_void_p | ctypes.c_float | None] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            kept.append(argument if argument.ndim == 4 else argument.contiguous())
            raw.append(ctypes.c_void_p(kept[-1].data_ptr()))
        else:
            raw.append(None if argument is None else ctypes.c_float(argument))
    if function(ctypes.byref(sizes), *raw):
        shape = sizes.batch, sizes.channels, sizes.height, sizes.width
        raise RuntimeError(f"cannot allocate memory for a spectral block of a map {shape}")


def parts_apart(weight: Tensor, axis: int) -> Tensor:
    """Spectral maps (2c, 2c+1) as the libraries have them: first all real parts."""
    return torch.unflatten(weight, axis, (-1, 2)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def parts_together(weight: Tensor, axis: int) -> Tensor:
    """Undo `parts_apart`."""
    return torch.unflatten(weight, axis, (2, -1)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def _is_plain_tensor(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and unpack_dual(tensor).tangent is None


def _is_plain_float(weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu"
    return on_cpu and weight.dtype == torch.float32 and _is_plain_tensor(weight)
