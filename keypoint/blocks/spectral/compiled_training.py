"""The Fourier block in training in compiled code, and its gradients.

    z = f(x)   r = reduce z   n = s1 r + t1   h = max(w n + b, 0)   e = expand h   m = s2 e + t2
    y = x + alpha f^-1(m)

s1 = gamma / sqrt(variance + eps) and t1 = beta - mean s1 are the first batch norm with this batch's
statistics, s2 and t2 the second. The library computes z, r and e, which are kept, with the moments
of r and e; everything else is recomputed when needed. In the backward pass it returns q, the
gradient of f^-1's input, and its sums, which give the norm's gradient (Ioffe, Szegedy, 2015,
section 3):

    dL/de = s2 (q - mean(q) - ê mean(q ê))  with  ê = (e - mean(e)) / sqrt(variance + eps)

that is a q + b e + c with one a, b and c for each map. The same again for n. f and f^-1 are each
other's adjoint up to the columns that stand for a mirror image (`transforms`).

f and f^-1 are computed without their factor (`Fourier.gain`), which is merged into the reduction
and into alpha.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from keypoint.blocks.pointwise import grouped, is_plain, mix_groups
from keypoint.blocks.spectral.compiled_block import (
    call,
    library_for,
    parts_apart,
    parts_together,
    sizes_of,
)
from keypoint.blocks.spectral.memory import order_of
from keypoint.blocks.spectral.relu import SpectralReLU
from keypoint.blocks.spectral.transforms import Fourier


class Norm(NamedTuple):
    """A batch norm's two parameters and the moments it uses, (G, maps of a group) in float64."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    inverse: Tensor  # 1 / standard deviation
    values: int  # that the moments are of

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The norm as a factor and a shift, in float32."""
        scale = self.weight * self.inverse
        return scale.float(), (self.bias - self.mean * scale).float()

    def gradients(self, total: Tensor, product: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Of weight, of bias, and a, b and c of the gradient of the norm's input x.

        Args:
            total: The sum of g, the gradient of the result.
            product: The sum of g (x - mean).
        """
        a = self.weight * self.inverse
        b = -a * self.inverse.square() * product / self.values
        c = -a * total / self.values - b * self.mean
        abc = [part.float() for part in (a, b, c)]
        return (self.inverse * product).float(), total.float(), abc


def trainer_for(x: Tensor, transform: nn.Module, phi: nn.Sequential) -> ctypes.CDLL | None:
    """Return the library that can compute the block of B C H W in training; None for PyTorch."""
    layers: dict[str, Any] = dict(phi.named_children())
    if (
        not isinstance(transform, Fourier)
        or "expand" not in layers
        or x.dtype != torch.float32
        or torch.is_autocast_enabled("cpu")
        or not all(is_plain(layers[name], nn.Conv2d) for name in ("reduce", "expand"))
        or not all(_tracks_the_batch(layers[name]) for name in ("reduce_norm", "expand_norm"))
        or not is_plain(layers["relu"], SpectralReLU)
        or _count(x, transform) == 1  # has no variance: PyTorch raises the error
    ):
        return None
    reduce, expand = grouped(layers["reduce"]), grouped(layers["expand"])
    others = [*layers["reduce_norm"].parameters(), *layers["expand_norm"].parameters()]
    return library_for(x, transform, layers["relu"], reduce, expand, others)


def train(
    library: ctypes.CDLL, x: Tensor, transform: Fourier, phi: nn.Sequential, alpha: Tensor
) -> Tensor:
    """The block of B C H W, in x's memory order; updates the norms' running statistics.

    Raises:
        RuntimeError: There is no memory.
    """
    layers: dict[str, Any] = dict(phi.named_children())
    first, second, relu = layers["reduce_norm"], layers["expand_norm"], layers["relu"]
    parameters = (
        grouped(layers["reduce"]),
        *(first.weight, first.bias),
        *(relu.weight, relu.bias),
        grouped(layers["expand"]),
        *(second.weight, second.bias),
        alpha,
    )
    y: Tensor
    y, *moments = _Block.apply(x, *parameters, library, transform, (first.eps, second.eps))
    count = _count(x, transform)
    for norm, mean, variance in zip((first, second), moments[:2], moments[2:], strict=True):
        norm.num_batches_tracked.add_(1)
        share = norm.momentum
        if share is None:  # the mean of all batches
            share = 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * (count / (count - 1)), share)
    return y


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
        *parameters, library, transform, eps = inputs
        reduce, gamma1, beta1, relu_weight, relu_bias, expand, gamma2, beta2, alpha = parameters
        groups, hidden, maps = reduce.shape
        batch, lines = len(x), len(x) * groups * math.prod(transform.spectral_size)
        sizes = sizes_of(x, reduce)

        reduce = transform.gain * parts_apart(reduce, 2)
        z, r = x.new_empty(lines * maps), x.new_empty(lines * hidden)
        sums = x.new_zeros(2, batch, groups * hidden, dtype=torch.float64)
        call(library.srl_reduce, sizes, x, reduce.mT, z, r, *sums)
        first, variance1 = _norm(gamma1, beta1, sums, eps[0], _count(x, transform))

        e = torch.empty_like(z)
        sums = x.new_zeros(2, batch, groups * maps, dtype=torch.float64)
        scale, shift = first.scale_and_shift()
        relu = relu_weight, relu_bias
        call(library.srl_expand, sizes, r, scale, shift, *relu, parts_apart(expand, 1).mT, e, *sums)
        gamma2, beta2 = (_apart(part, groups) for part in (gamma2, beta2))
        second, variance2 = _norm(gamma2, beta2, sums, eps[1], _count(x, transform))

        y = torch.empty_like(x)
        factor = float(alpha) * transform.gain
        call(library.srl_add, sizes, e, *second.scale_and_shift(), x, y, factor)

        ctx.save_for_backward(x, *parameters, z, r, e)
        ctx.kept = library, transform, eps, sizes, first, second
        means = first.mean, _together(second.mean, groups)
        variances = variance1, _together(variance2, groups)
        moments = [part.float() for part in (*means, *variances)]
        ctx.mark_non_differentiable(*moments)
        return y, *moments

    @staticmethod
    def backward(ctx: Any, g: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, *parameters, z, r, e = ctx.saved_tensors
        library, transform, eps, sizes, first, second = ctx.kept
        if torch.is_grad_enabled():  # gradients of gradients are asked for
            return *_by_layers(x, parameters, transform, eps, g), None, None, None
        reduce, _, _, relu_weight, relu_bias, expand, _, _, alpha = parameters
        groups, hidden, maps = reduce.shape
        tasks = len(x) * groups
        g = g.contiguous(memory_format=order_of(x))

        q = torch.empty_like(e)
        sums = x.new_zeros(2, len(x), groups * maps, dtype=torch.float64)
        call(library.srl_add_back, sizes, g, e, second.mean.float(), q, *sums)
        total, product = sums.sum(1)
        grad_alpha = (
            transform.gain * (second.weight * second.inverse * product + second.bias * total).sum()
        )
        factor = float(alpha) * transform.gain  # q is without it
        grad_gamma2, grad_beta2, abc = second.gradients(factor * total, factor * product)
        abc[0] *= factor

        gn = torch.empty_like(r)
        grad_expand = x.new_zeros(tasks, hidden * maps)
        grad_relu = x.new_empty(2, tasks, *reversed(transform.spectral_size))
        sums = x.new_zeros(2, len(x), groups * hidden, dtype=torch.float64)
        scale, shift = first.scale_and_shift()
        mean, relu = first.mean.float(), (relu_weight, relu_bias)
        given = e, *abc, r, scale, shift, mean, *relu, parts_apart(expand, 1)
        found = gn, grad_expand, *grad_relu.flatten(2), *sums
        call(library.srl_expand_back, sizes, q, *given, *found)
        del q
        grad_gamma1, grad_beta1, abc = first.gradients(*sums.sum(1))

        gx = torch.empty_like(x)
        grad_reduce = x.new_zeros(tasks, maps * hidden)
        transposed = transform.gain * parts_apart(reduce, 2)
        call(library.srl_reduce_back, sizes, gn, r, *abc, z, transposed, g, gx, grad_reduce)

        grad_reduce = grad_reduce.view(len(x), groups, maps, hidden).sum(0).mT * transform.gain
        grad_expand = grad_expand.view(len(x), groups, hidden, maps).sum(0).mT
        return (
            gx,
            parts_together(grad_reduce, 2),
            *(grad_gamma1, grad_beta1),
            *grad_relu.sum(1).mT,
            parts_together(grad_expand, 1),
            *(_together(grad_gamma2, groups), _together(grad_beta2, groups)),
            grad_alpha.float(),
            *(None, None, None),
        )


def _apart(maps: Tensor, groups: int) -> Tensor:
    """`parts_apart` of one number for each map."""
    return parts_apart(maps.unflatten(0, (groups, -1)), 1).flatten()


def _together(maps: Tensor, groups: int) -> Tensor:
    return parts_together(maps.unflatten(0, (groups, -1)), 1).flatten()


def _norm(
    weight: Tensor, bias: Tensor, sums: Tensor, eps: float, count: int
) -> tuple[Norm, Tensor]:
    """The norm, and the variance, of means and squared differences of each sample."""
    means, squares = sums
    mean = means.mean(0)
    each = count // len(means)
    variance = (squares.sum(0) + each * (means - mean).square().sum(0)) / count
    return Norm(weight.double(), bias.double(), mean, (variance + eps).rsqrt(), count), variance


def _count(x: Tensor, transform: Fourier) -> int:
    return len(x) * math.prod(transform.spectral_size)


def _tracks_the_batch(norm: nn.Module) -> bool:
    return (
        is_plain(norm, nn.BatchNorm2d)
        and norm.training
        and bool(norm.affine)
        and norm.running_mean is not None
    )


def _by_layers(
    x: Tensor, parameters: list[Tensor], transform: Fourier, eps: tuple[float, float], g: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients by PyTorch, which can be differentiated again."""
    reduce, gamma1, beta1, relu_weight, relu_bias, expand, gamma2, beta2, alpha = parameters
    r = mix_groups(transform(x), reduce)
    n = F.batch_norm(r, None, None, gamma1, beta1, training=True, eps=eps[0])
    h = F.relu(torch.addcmul(relu_bias.mT, relu_weight.mT, n))
    m = F.batch_norm(mix_groups(h, expand), None, None, gamma2, beta2, training=True, eps=eps[1])
    y = x + alpha * transform.inverse(m, transform.size)
    inputs = [x, *parameters]
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
