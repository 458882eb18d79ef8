"""The float32 island: what must not be computed in half precision, whatever surrounds it."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def float32_island(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast off for what is computed inside; nothing where the device (meta) has no autocast."""
    if torch.amp.is_autocast_available(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """X in float32, or in float64 where it already is."""
    return x if x.dtype == torch.float64 else x.float()
