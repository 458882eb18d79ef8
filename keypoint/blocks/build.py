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
from keypoint.blocks.spectral.srl_video import SRLVideo

TRANSFORMS = ("fft", "lo", "dct", "wht", "haar", "slant")
BLOCKS: dict[str, Callable[..., nn.Module]] = {
    **{f"srl_{transform}": partial(SRL, transform=transform) for transform in TRANSFORMS},
    "nl": NonLocal,
    "a2": DoubleAttention,
    "cgnl": CGNL,
    "rcca": RCCA,
    "pnl": PNL,
}
CLIP_BLOCKS: dict[str, Callable[..., nn.Module]] = {
    **{f"srl_{transform}": partial(SRLVideo, transform=transform) for transform in TRANSFORMS},
    **{name: partial(BLOCKS[name], dims=3) for name in ("nl", "a2", "cgnl", "pnl")},
}
# Set by the name or by build_block's own arguments.
_NOT_OPTIONS = {"channels", "size", "frames", "transform", "dims"}
_OF_ONE_BLOCK = {"retraction": "srl_lo", "matmul": "srl_fft"}  # without effect under other names


def build_block(
    name: str,
    channels: int,
    size: tuple[int, int],
    *,
    frames: int | None = None,
    **options: object,
) -> nn.Module:
    """The block called `name` for maps of `channels` and (height, width) `size`.

    Every name takes `size`, so that callers need not know which block uses it; only SRL does.

    Args:
        name: A key of `BLOCKS`.
        channels: C.
        size: (height, width) of the maps, or of a clip's frames.
        frames: T of clips B C T H W: SRL is then `SRLVideo`, and the other blocks relate all
            positions of all frames. None for maps B C H W.
        options: Keywords of the block's class.

    Raises:
        ValueError: An unknown name or option, whose message lists the known ones, or a block that
            does not take clips.
    """
    blocks = BLOCKS if frames is None else CLIP_BLOCKS
    if name not in BLOCKS:
        raise ValueError(
            f"block {name!r} must be one of {', '.join(blocks)}{_did_you_mean(name, blocks)}"
        )
    if name not in blocks:
        raise ValueError(f"block {name!r} does not take clips; those that do: {', '.join(blocks)}")
    parameters = inspect.signature(blocks[name]).parameters
    allowed = [
        option
        for option in parameters
        if option not in _NOT_OPTIONS and _OF_ONE_BLOCK.get(option, name) == name
    ]
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"block {name!r} has no option {option!r}; it takes {', '.join(allowed)}"
                f"{_did_you_mean(option, allowed)}"
            )
    own = {"size": size, "frames": frames}
    return blocks[name](channels, **{k: own[k] for k in own if k in parameters}, **options)


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
