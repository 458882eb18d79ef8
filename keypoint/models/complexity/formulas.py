"""Formulas for operations that PyTorch's FlopCounterMode, or an earlier one, omits.

The counter counts operations, two in a multiply-add, and so do these formulas. `__init__.py` has
the rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def element_wise(*_: object, out_val: Tensor, **__: object) -> int:
    """A product without a sum counts as a multiply-add; index arithmetic does not count."""
    if not (out_val.is_floating_point() or out_val.is_complex()):
        return 0
    return 2 * out_val.numel() * (4 if out_val.is_complex() else 1)


def group_norm(x: Tensor, *_: object, out_val: object, **__: object) -> int:
    """The squares of the variance, and the scale."""
    return 2 * 2 * x.numel()


def bilinear(*_: object, out_val: Tensor, **__: object) -> int:
    """Four neighbours."""
    return 2 * 4 * out_val.numel()


def complex_fft(x: Tensor, dims: Sequence[int], *_: object, out_val: Tensor, **__: object) -> int:
    """5 N log2 N, for every one of the other dimensions."""
    return round(5 * x.numel() * math.log2(math.prod(x.shape[dim] for dim in dims)))


def real_fft(x: Tensor, dims: Sequence[int], *_: object, out_val: Tensor, **__: object) -> int:
    """Half the cost of a complex transform with the same number of points."""
    points = out_val if x.is_complex() else x
    return round(2.5 * points.numel() * math.log2(math.prod(points.shape[dim] for dim in dims)))


def attention(q: Tensor, k: Tensor, v: Tensor, *_: object, out_val: object, **__: object) -> int:
    """Q k^T, and its product with v. PyTorch before 2.15 counts 0 on a CPU (its issue 195460)."""
    pairs = math.prod(q.shape[:-1]) * k.shape[-2]
    return 2 * pairs * (q.shape[-1] + v.shape[-1])


def matrix_vector(a: Tensor, *_: object, out_val: Tensor, **__: object) -> int:
    """Each entry of the matrix once; a dot product as well."""
    return 2 * a.numel()


def _formulas() -> dict[Any, Callable[..., int]]:
    aten = torch.ops.aten
    by_formula: dict[Callable[..., int], tuple[Any, ...]] = {
        element_wise: (
            aten.mul, aten.mul_, aten.div, aten.div_,
            aten.addcmul, aten.addcmul_, aten.addcdiv, aten.addcdiv_,
        ),
        group_norm: (aten.native_group_norm, aten.native_layer_norm),
        bilinear: (aten.upsample_bilinear2d,),
        complex_fft: (aten._fft_c2c,),
        real_fft: (aten._fft_r2c, aten._fft_c2r),
        attention: (aten._scaled_dot_product_flash_attention_for_cpu,),
        matrix_vector: (aten.mv, aten.dot),
    }  # fmt: skip
    for formula in by_formula:
        # The counter's own flag: give the formula tensors, not shapes.
        formula._get_raw = True  # type: ignore[attr-defined]
    return {op: formula for formula, ops in by_formula.items() for op in ops}


FORMULAS = _formulas()
