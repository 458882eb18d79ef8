"""The float32 island: code that must not run in half precision, even under autocast."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def float32_island(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Turn autocast off inside; does nothing if the device (meta) has no autocast."""
    if torch.amp.is_autocast_available(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """X in float32, or in float64 if it already is."""
    return x if x.dtype == torch.float64 else x.float()
