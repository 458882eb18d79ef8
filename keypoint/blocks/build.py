"""Build a block by its name in configs, and list the parameters that must not decay."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from keypoint.blocks.cgnl import CGNL
from keypoint.blocks.double_attention import DoubleAttention
from keypoint.blocks.non_local import NonLocal
from keypoint.blocks.pnl import PNL
from keypoint.blocks.rcca import RCCA
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal
from keypoint.blocks.spectral.relu import SpectralReLU
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
    dims: int | None = None,
    **options: object,
) -> nn.Module:
    """Build the block `name` for maps or clips of `channels` and (height, width) `size`.

    Every name accepts `size`, so that callers need not know which block uses it; only SRL does.

    Args:
        name: A key of `BLOCKS`.
        channels: C.
        size: (height, width) of the maps, or of a clip's frames.
        frames: T of clips B C T H W: SRL is then `SRLVideo`, only for this T, and the other blocks
            relate all positions of all frames, for any T. None for maps B C H W.
        dims: 3 for clips, enough for the blocks that take any T; 2 for maps. None is 3 with
            `frames`, else 2.
        options: Keywords of the block's class.

    Raises:
        ValueError: A name or option is unknown; the block does not take clips; frames and dims do
            not agree; or SRL for clips has no frames.
    """
    check_dims(frames, dims)
    clips = frames is not None or dims == 3
    blocks = CLIP_BLOCKS if clips else BLOCKS
    if name not in BLOCKS:
        given = getattr(name, "__name__", str(name))  # a class has the first
        hint = _did_you_mean(given, _of_classes(blocks) | {known: known for known in blocks})
        raise ValueError(f"block {name!r} must be one of {', '.join(blocks)}{hint}")
    if name not in blocks:
        raise ValueError(
            f"block {name!r} does not take clips: fold their frames into the batch, B*T C H W "
            "(insert_blocks takes frames=T of a network that does), so that it runs on each frame "
            f"alone; or name a block that takes clips: {', '.join(blocks)}"
        )
    if name.startswith("srl_") and clips and frames is None:
        raise ValueError(
            f"block {name!r} with dims=3 needs frames=T: its conv_t has a weight for each pair of "
            "the T frames"
        )
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
                f"{_did_you_mean(option, {known: known for known in allowed})}"
            )
    own = {"size": size, "frames": frames}
    return blocks[name](channels, **{k: own[k] for k in own if k in parameters}, **options)


def check_dims(frames: int | None, dims: int | None) -> None:
    """Raise ValueError for numbers of axes and frames that do not agree."""
    if frames is not None and (not isinstance(frames, int) or frames < 1):
        raise ValueError(f"frames={frames!r} must be an integer of at least 1")
    if dims not in (None, 2, 3):
        raise ValueError(
            f"dims={dims!r} must be 3 (clips B C T H W) or 2 (maps B C H W); for other dims use "
            "the classes: NonLocal(channels, dims=1)"
        )
    if dims == 2 and frames is not None:
        raise ValueError(
            f"frames={frames} has no effect with dims=2, which is for maps B C H W: remove one"
        )


def no_weight_decay(module: nn.Module) -> set[str]:
    """Names (as in `named_parameters`) of all parameters that must not have weight decay.

    Vectors and scalars (biases, norms, alpha) of any network, and the blocks' frequency weights w,
    b and orthogonal P, Q, which are matrices but are near 1 or have a fixed norm.
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        for name, parameter in part.named_parameters(recurse=False)
        if parameter.ndim <= 1 or isinstance(part, (SpectralReLU, LearnedOrthogonal))
    }


def _of_classes(blocks: Mapping[str, Callable[..., nn.Module]]) -> dict[str, str]:
    """The first block's name by its class in small letters: "nonlocal" -> "nl"."""
    return {
        getattr(blocks[name], "func", blocks[name]).__name__.lower(): name
        for name in reversed(list(blocks))
    }


def _did_you_mean(given: str, known: Mapping[str, str]) -> str:
    """A hint with the name whose key, in small letters, is the nearest."""
    close = difflib.get_close_matches(given.lower(), known, n=1)
    return f". Did you mean {known[close[0]]!r}?" if close else ""
