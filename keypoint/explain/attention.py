"""The rows of a block for one query position i: the weight of each position j.

    NonLocal         f(i, j) by the normaliser: softmax for the Gaussian kinds; signed f / N for dot
                     and concatenation
    DoubleAttention  sum_n softmax_n(V_i) softmax_j(B_n): the maps that i takes, by their attention
    CGNL             mean over groups and pairs of channels of f(theta_ci, phi_c'j), signed
    RCCA             the cross of the last pass, and the product of the matrices of all passes
    PNL              the row of each scale's non-local operation, at the region of i
    SRL, SRLVideo    none: mean over channels of |d sum_c (y - x)_c(i) / d x_j|, with alpha in it

Only this row is computed, never the N x N matrix: RCCA's product has N (H + W) numbers, as in its
forward pass. Sources: those of the blocks; the pictures follow PNL, Fig. 6.

CGNL's f = exp(-1e-4 (theta - phi)^2) is nearly 1 for all pairs, so its row is nearly uniform. Norms
and gates after a block's response are not part of its row; see `added_share` for their effect.

Letters: C channels, K inner channels, T frames, H W size of the block's map, M attended positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from keypoint.blocks import CGNL, PNL, RCCA, SRL, DoubleAttention, NonLocal, SRLVideo
from keypoint.blocks.cgnl import taylor
from keypoint.blocks.non_local import positions
from keypoint.blocks.rcca import shares
from keypoint.explain.row import Row
from keypoint.explain.unit import check_position, in_eval_mode, values_at

KINDS = (NonLocal, DoubleAttention, CGNL, RCCA, PNL, SRL, SRLVideo)
Place = tuple[int, int, int]  # frame, row, column


def rows_at(block: nn.Module, x: Tensor, at: Sequence[int]) -> list[Row]:
    """Return the rows of a block for one position of its input.

    Args:
        block: A block of `keypoint.blocks`, such as `net.get_submodule(name)`.
        x: Its input (see `input_of`): (1, C, H, W), or a clip (1, C, T, H, W); or (T, C, H, W) for
            a block that processes each frame of a clip separately, with three numbers `at`.
        at: (row, column) of that map, for clips (frame, row, column).

    Returns:
        One row; for PNL one per scale, for RCCA one for the last pass and one for all passes.

    Raises:
        ValueError: It is another module, the input has another shape, or the position is outside.
    """
    if not isinstance(block, KINDS):
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise ValueError(f"{type(block).__name__} has no row; give one of the blocks {names}")
    alone = x.ndim == 4 and len(at) == 3
    if x.ndim not in (4, 5) or (len(x) != 1 and not alone):
        raise ValueError(f"the block's input is {tuple(x.shape)}; give 1 C H W or 1 C T H W")
    size = (*x.shape[:1], *x.shape[2:]) if alone else tuple(x.shape[2:])
    at = check_position(at, size)
    first_frame = at[0] if alone else 0
    if alone:
        x = x[at[0] : at[0] + 1]
    t, h, w = (1, *size)[-3:]
    place = (at[0] if len(at) == 3 else 0, at[-2], at[-1])
    with in_eval_mode(block), torch.no_grad():
        rows = _rows(block, x, (0 if alone else place[0], *place[1:]))
    return [
        Row(
            name,
            kind,
            weights.double().reshape(-1, *weights.shape[-2:]).cpu().numpy(),
            (t, h, w),
            place,
            step,
            first_frame,
            None if response is None else response.double().cpu().numpy(),
        )
        for name, kind, weights, step, response in rows
    ]


Found = tuple[str, str, Tensor, tuple[float, float], Tensor | None]
EACH = (1.0, 1.0)


def _rows(block: nn.Module, x: Tensor, at: Place) -> list[Found]:
    """Return name, kind, weights (..., h, w), step and response of each row."""
    if isinstance(block, NonLocal):
        return [_non_local(block, x, at)]
    if isinstance(block, PNL):
        return _pyramid(block, x, at)
    if isinstance(block, RCCA):
        return _criss_cross(block, x, at)
    if isinstance(block, DoubleAttention):
        a, b, v = block.a_b_v(x)[0].flatten(1).split(block.widths)  # m N, n N, n N
        row = v[:, _index(x, at)].softmax(dim=0) @ b.softmax(dim=1)  # N
        return [("", "softmax", row.reshape(x.shape[2:]), EACH, a @ row)]
    if isinstance(block, CGNL):
        return [_channels(block, x, at)]
    return [("", "gradient", _gradient(block, x, at), EACH, None)]


def _index(x: Tensor, at: Place) -> int:
    """Return the index of a position among the N of a map."""
    height, width = x.shape[-2:]
    return (at[0] * height + at[1]) * width + at[2]


def _non_local(block: NonLocal, x: Tensor, at: Place) -> Found:
    theta = positions(block.theta(x))[0, _index(x, at)]  # K
    seen = block.pool(x) if block.subsample_before else block.pool(block.g(x))
    if block.subsample_before:
        phi, g = positions(block.phi(seen))[0], positions(block.g(seen))[0]  # M K
    else:
        phi, g = positions(block.pool(block.phi(x)))[0], positions(seen)[0]
    if block.pairwise == "dot":
        row = phi @ theta / len(phi)
    elif block.pairwise == "concatenation":
        w_theta, w_phi = block.pair.weight[0].chunk(2)
        row = (phi @ w_phi + theta @ w_theta).relu() / len(phi)
    else:
        row = (phi @ theta / (len(theta) ** 0.5 if block.scale else 1.0)).softmax(dim=0)
    kind = "softmax" if block.pairwise.endswith("gaussian") else "signed"
    size = seen.shape[2:]
    # A pool window; the last one may be cut at the border.
    window = getattr(block.pool, "kernel_size", EACH)[-2:]
    return "", kind, row.reshape(size), (float(window[0]), float(window[1])), row @ g


def _pyramid(block: PNL, x: Tensor, at: Place) -> list[Found]:
    found = []
    for k, regions in enumerate(block.regions(x)):
        step = (x.shape[-2] / regions.shape[-2], x.shape[-1] / regions.shape[-1])
        row, column = (at[axis] * regions.shape[axis - 3] // x.shape[axis - 3] for axis in (1, 2))
        _, kind, weights, _, response = _non_local(
            block.operation(k), regions, (at[0], row, column)
        )
        found.append((f"scale {k}", kind, weights, step, response))
    return found


def _channels(block: CGNL, x: Tensor, at: Place) -> Found:
    maps = block.theta_phi_g(x)[0].double().flatten(1)  # 3K N
    theta, phi, g = maps.unflatten(0, (3, block.groups, -1)).unbind()  # G K/G N
    theta = theta[..., _index(x, at)]  # G K/G
    order = range(1, 2) if block.kernel == "dot" else range(block.order + 1)
    alpha = [1.0, 1.0] if block.kernel == "dot" else taylor(block.order)
    row = torch.zeros_like(phi[0, 0])
    response = torch.zeros_like(theta)
    for p in order:
        own = alpha[p] * theta**p  # G K/G
        row += (own.mean(dim=1) @ (phi**p).mean(dim=1)) / block.groups
        response += own * (phi**p * g).sum(dim=(1, 2))[:, None]
    return "", "signed", row.reshape(x.shape[2:]), EACH, response.flatten()


def _criss_cross(block: RCCA, x: Tensor, at: Place) -> list[Found]:
    h = block.reduce(x)
    passes = []  # along the row, B H W W; along the column, B H W H; the value, B H W D
    for _ in range(block.recurrence):
        query, key, value = block.attention.parts(h)
        passes.append((*(part[0] for part in shares(query, key)), value[0]))
        h = block.attention(h)
    row = torch.zeros_like(x[0, 0])
    row[at[1:]] = 1.0
    found: list[Found] = []
    for number, (along_row, along_column, value) in enumerate(reversed(passes), start=1):
        row = torch.einsum("hw,hwv->hv", row, along_row) + torch.einsum(
            "hw,hwu->uw", row, along_column
        )
        response = torch.einsum("hw,hwd->d", row, value)
        if number in (1, len(passes)):
            name = "last pass" if number == 1 else f"{number} passes"
            found.append((name, "softmax", row, EACH, response))
    return found


def _gradient(block: nn.Module, x: Tensor, at: Place) -> Tensor:
    place = at if x.ndim == 5 else at[1:]
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        added = block(leaf) - leaf
        (gradient,) = torch.autograd.grad(values_at(added[0], place).sum(), leaf)
    return gradient[0].abs().mean(dim=0)


def added_share(block: nn.Module, x: Tensor, at: Sequence[int]) -> float:
    """Return the relative change |y - x| / |x| by a block at a position; 0 for a new block.

    Args:
        block: Any module that keeps its input's shape.
        x: Its input, see `rows_at`.
        at: The position, see `rows_at`.
    """
    with in_eval_mode(block), torch.no_grad():
        y = block(x)
    alone = x.ndim == 4 and len(at) == 3
    number, place = (at[0], at[1:]) if alone else (0, at)
    before, after = (values_at(part[number], place).double() for part in (x, y))
    return float((after - before).norm() / before.norm().clamp_min(1e-30))
