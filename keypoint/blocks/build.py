"""A block by its name, as configs call it, and which of its parameters must not decay."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import partial

from torch import nn

from keypoint.blocks.cgnl import CGNL
from keypoint.blocks.double_attention import DoubleAttention
from keypoint.blocks.non_local import NonLocal
from keypoint.blocks.pnl import PNL
from keypoint.blocks.rcca import RCCA
from keypoint.blocks.spectral.mixing import SpectralReLU
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal
from keypoint.blocks.spectral.srl import SRL

BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "srl_fft": partial(SRL, transform="fft"),
    "srl_lo": partial(SRL, transform="lo"),
    "srl_dct": partial(SRL, transform="dct"),
    "srl_wht": partial(SRL, transform="wht"),
    "srl_haar": partial(SRL, transform="haar"),
    "srl_slant": partial(SRL, transform="slant"),
    "nl": NonLocal,
    "a2": DoubleAttention,
    "cgnl": CGNL,
    "rcca": RCCA,
    "pnl": PNL,
}
# Set by the name or by build_block's own arguments, or without effect under this name.
_NOT_OPTIONS = {
    "srl_fft": {"channels", "size", "transform", "retraction"},
    "srl_lo": {"channels", "size", "transform", "matmul"},
    "srl_dct": {"channels", "size", "transform", "retraction", "matmul"},
    "srl_wht": {"channels", "size", "transform", "retraction", "matmul"},
    "srl_haar": {"channels", "size", "transform", "retraction", "matmul"},
    "srl_slant": {"channels", "size", "transform", "retraction", "matmul"},
    "nl": {"channels", "dims"},
    "a2": {"channels", "dims"},
    "cgnl": {"channels", "dims"},
    "rcca": {"channels"},
    "pnl": {"channels", "dims"},
}


def build_block(name: str, channels: int, size: tuple[int, int], **options: object) -> nn.Module:
    """The block called `name` for maps of `channels` and (height, width) `size`.

    Every name takes `size`, so that callers need not know which block uses it; only SRL does.

    Raises:
        ValueError: an unknown name or option; the message lists the known ones.
    """
    if name not in BLOCKS:
        raise ValueError(
            f"block {name!r} must be one of {', '.join(BLOCKS)}{_did_you_mean(name, BLOCKS)}"
        )
    parameters = inspect.signature(BLOCKS[name]).parameters
    allowed = [option for option in parameters if option not in _NOT_OPTIONS[name]]
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"block {name!r} has no option {option!r}; it takes {', '.join(allowed)}"
                f"{_did_you_mean(option, allowed)}"
            )
    if "size" in parameters:
        options["size"] = size
    return BLOCKS[name](channels, **options)


def no_weight_decay(module: nn.Module) -> set[str]:
    """Names (as in `named_parameters`) of all parameters that weight decay would only harm.

    Vectors and scalars (biases, norms, alpha) of any network, and of the blocks the frequency
    weights w, b and the orthogonal P, Q, which are matrices but stand around 1 and on a sphere.
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        for name, parameter in part.named_parameters(recurse=False)
        if parameter.ndim <= 1 or isinstance(part, (SpectralReLU, LearnedOrthogonal))
    }


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
