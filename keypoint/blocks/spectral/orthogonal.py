"""The learned orthogonal transform (SRL-LO): z = P x Q with P and Q kept orthogonal.

Source: SRL (Chi et al., 2019), section 3.2 "Fully Learnable Orthogonal Matrix": train P and Q like
any other parameter, then replace P by the orthogonal factor of its QR decomposition.

What we do differently:
* QR is unique up to the signs of R's diagonal, which are arbitrary. We take Q * sign(diag R),
  with 0 counted as +: without it, the first step flips the sign of most columns.
* `retraction="polar"` takes the nearest orthogonal matrix instead (U V^T of the SVD). It follows
  the gradient more closely: QR favours the first columns.

This happens automatically. Hooks that PyTorch runs around every optimiser's step retract the
matrices that this step changed, outside the graph, so it works with torch.compile and any training
loop; a frozen matrix is bitwise unchanged. It also works for copies, because deepcopy and pickle
add them to the same weak set.
A matrix changed in another way (an average of weights, a matrix loaded or initialised by other
code) is checked in the next eager forward and before it is saved or copied, if PyTorch's version
counter has changed, and retracted if it is not orthogonal. A loaded checkpoint is orthogonal, and
stays bitwise unchanged.
Weights written through `.data` do not change the counter: call `retract()` after that.

The optimiser's momentum is not transported, as in the paper. P and Q stay float32 in a model of
half precision, because 8 bits of mantissa cannot represent an orthogonal matrix.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from keypoint.blocks.spectral.separable import from_spectrum, to_spectrum

RETRACTIONS = ("qr", "polar")
TOLERANCE = 1e-6  # of |P P^T - I|; a fresh matrix in float32 has up to 6e-7, a retracted one 1e-7


def signed_qr(matrix: Tensor) -> Tensor:
    """The Q of QR with R's diagonal made non-negative."""
    q, r = torch.linalg.qr(matrix)
    signed: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(q.dtype)
    return signed


def exact(matrix: Tensor) -> Tensor:
    """Convert to float64 on the CPU: without autocast and TF32, and the same on every device."""
    return matrix.detach().cpu().double()  # in two steps: mps has no float64


def retracted(matrix: Tensor, retraction: str) -> Tensor:
    """Return the orthogonal matrix for a square one, by "qr" or "polar"; see `exact`.

    Raises:
        ArithmeticError: the matrix contains nan or inf, or is zero.
    """
    matrix = exact(matrix)
    length = matrix.norm().item()
    if not 0 < length < float("inf"):
        raise ArithmeticError(
            f"a {matrix.shape[0]} x {matrix.shape[1]} orthogonal matrix of SRL-LO became "
            f"{'zero' if length == 0 else 'non-finite'} (norm {length}); it must be finite and not "
            "zero: lower the learning rate, clip gradients, or do not re-initialise P and Q"
        )
    if retraction == "polar":
        left, _, right = torch.linalg.svd(matrix)
        nearest: Tensor = left @ right
        return nearest
    return signed_qr(matrix)


def orthogonality_error(matrix: Tensor) -> float:
    """Give max |M M^T - I|."""
    matrix = exact(matrix)
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return (matrix @ matrix.T - identity).abs().max().item()


class LearnedOrthogonal(nn.Module):
    """z = P x Q with learned orthogonal P (H, H) and Q (W, W), shared by all channels.

    Args:
        size: (height, width) of the map; another resolution is resampled through the DCT.
        retraction: "qr" (the paper) or "polar".
    """

    parts = 1
    transposed = False

    def __init__(self, size: tuple[int, int], *, retraction: str = "qr") -> None:
        super().__init__()
        if retraction not in RETRACTIONS:
            raise ValueError(f"retraction={retraction!r} must be one of {', '.join(RETRACTIONS)}")
        self.size = self.spectral_size = size
        self.retraction = retraction
        # Q of a normal draw, with the sign fix, is uniform over the orthogonal matrices.
        # (contiguous, as parameters must be for LBFGS and safetensors: LAPACK gives columns.)
        self.P = nn.Parameter(signed_qr(torch.randn(size[0], size[0])).contiguous())
        self.Q = nn.Parameter(signed_qr(torch.randn(size[1], size[1])).contiguous())
        self._seen: object = self._state()
        self._before: tuple[Tensor, ...] | None = None  # P and Q, while an optimiser steps
        _alive.add(self)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H' W'."""
        if not torch.compiler.is_compiling():
            self.look()
        return to_spectrum(self.P, x, self.Q)

    def inverse(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """B C H' W' -> B C size."""
        return from_spectrum(self.P, z, self.Q, size)

    @torch.no_grad()
    def retract(self) -> None:
        """Make P and Q orthogonal again, in place.

        Raises:
            ArithmeticError: one of them holds nan or inf, or is zero.
        """
        self._replace(self.P, self.Q)
        self._seen = self._state()

    @torch.no_grad()
    def _replace(self, *matrices: Tensor) -> None:
        for matrix in matrices:
            matrix.copy_(retracted(matrix, self.retraction))

    def look(self) -> None:
        """Retract P and Q if they were written to since the last check and are not orthogonal.

        Raises:
            ArithmeticError: one of them holds nan or inf, or is zero.
        """
        plain = isinstance(self.P, nn.Parameter)  # else a stand-in (torch.func): not ours to change
        if not plain or self.P.is_meta or self._state() == self._seen:
            return
        # Not `> TOLERANCE`: nan counts as not orthogonal too, and is refused.
        off = [m for m in (self.P, self.Q) if not orthogonality_error(m) <= TOLERANCE]
        self._replace(*off)
        self._seen = self._state()

    def _state(self) -> object:
        """Return a value that changes whenever P or Q is replaced or written to."""
        if self.P.is_inference():
            return None
        return id(self.P), self.P._version, id(self.Q), self.Q._version

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LearnedOrthogonal:
        """Module's own conversion (`.half()`, `.to(...)`), but never below float32."""

        def convert(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            low = result.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(result.device) if low else result

        super()._apply(convert, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, *arguments: Any) -> None:
        """Module's own part of `state_dict`, of orthogonal matrices."""
        self._look_before_saving()
        super()._save_to_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        """The content of a copy or a pickle, of orthogonal matrices."""
        self._look_before_saving()
        return self.__dict__.copy()

    def _look_before_saving(self) -> None:
        with contextlib.suppress(ArithmeticError):  # a diverged module can be saved like any other
            self.look()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Register a copied or unpickled module, and check it once."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._seen = self._before = None
        _alive.add(self)


_alive: weakref.WeakSet[LearnedOrthogonal] = weakref.WeakSet()


def look_at(model: nn.Module) -> None:
    """Check all P and Q of a model that no optimiser updates, such as an average of weights."""
    for module in model.modules():
        if isinstance(module, LearnedOrthogonal):
            module.look()


def _of(optimizer: Optimizer) -> list[LearnedOrthogonal]:
    """The modules with a matrix among the optimiser's parameters."""
    modules = list(_alive)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]} if modules else ()
    return [module for module in modules if id(module.P) in held or id(module.Q) in held]


def _remember(optimizer: Optimizer, *_: object) -> None:
    """Run before every step of every optimiser."""
    for module in _of(optimizer):
        module._before = module.P.detach().clone(), module.Q.detach().clone()


def _retract_stepped(optimizer: Optimizer, *_: object) -> None:
    """Run after every step of every optimiser."""
    for module in _of(optimizer):
        before = module._before or (None, None)
        module._before = None
        # By value: a frozen matrix, a learning rate of 0 and a gradient of 0 do not change it.
        changed = [
            matrix
            for matrix, old in zip((module.P, module.Q), before, strict=True)
            if old is None or not torch.equal(matrix, old)
        ]
        module._replace(*changed)
        if len(changed) == 2:
            module._seen = module._state()


register_optimizer_step_pre_hook(_remember)
register_optimizer_step_post_hook(_retract_stepped)
