"""Insert a block into any network, after submodules given by name.

    insert_blocks(net, "srl_fft", after=["layer3"], example=torch.zeros(1, 3, 256, 192))
    insert_blocks(vit, "srl_fft", after=["blocks.8"], example=..., grid=(16, 12))   # tokens B N C
    insert_blocks(swin, "srl_fft", after=["layers.2"], example=..., layout="bhwc")
    insert_blocks(c2d, "srl_fft", after=["layer3"], example=..., frames=8)          # B*8 C H W

A Sequential of the submodule (`site`) and the block (`block`) replaces the submodule: an ordinary
module, so that deepcopy, EMA, DDP, compile and export work. A forward hook does not work: in a deep
copy of the network it still calls the original's block.

The example runs before and after. The first run determines channels and sizes of the maps; the
second must call every block and return bitwise the same output. Otherwise everything is undone.

Letters: B batch, C channels, T frames, H W size, N tokens, h w size of the tokens' grid.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import nn

from keypoint.blocks.build import build_block
from keypoint.blocks.layout import Layout
from keypoint.blocks.named_layout import compared_with_example, layout_of
from keypoint.blocks.trial import Calls, Map, run, same
from keypoint.blocks.with_block import WithBlock

Net = TypeVar("Net", bound=nn.Module)
# These recorded the modules inside, and may not use a block that is added later.
WRAPPERS = {
    "OptimizedModule": "torch.compile",
    "ScriptModule": "torch.jit",
    "DataParallel": "DataParallel",
    "DistributedDataParallel": "DistributedDataParallel",
    "FullyShardedDataParallel": "FullyShardedDataParallel",
    "FSDPModule": "fully_shard",
}


def insert_blocks(
    net: Net,
    name: str,
    *,
    after: Sequence[str],
    example: Any,
    grid: tuple[int, int] | None = None,
    layout: str | None = None,
    frames: int | None = None,
    **options: object,
) -> Net:
    """Put a new block after each of the named submodules of any network, in place.

    Build the network, load its weights, insert, then build the optimiser (an older one lacks the
    new parameters; `no_weight_decay(net)` names those that must not decay) and wrap in compile, DDP
    or EMA. Weights saved later have the names `<submodule>.site...` and `<submodule>.block...`, and
    must be loaded after the insertion.

    A submodule that is called several times, or has several names, gets one block for all of its
    calls, built for the largest of its maps and also run at the other sizes. Submodules may be
    nested. A second block after the first one goes after `<submodule>.block`, which returns a map
    B C H W or clip B C T H W in any layout. Hooks stay on the submodule: they get its output
    without the block.

    Args:
        net: Any module, on any device (meta too), in any dtype; a block gets those of its map.
        name: The block's name, as in `build_block`.
        after: Names, as in `net.named_modules()`, of submodules that return one map B C H W or one
            clip B C T H W; with `grid` tokens B N C, with `layout` a map B H W C or clip B T H W C,
            with `frames` a map BT C H W. Only one of these per call.
        example: Input of the network: `net(example)`, or `net(*example)` for a tuple. Blocks are
            built for the size of its maps; the batch size does not matter.
        grid: (height, width) of token maps B N C, row by row. The first N - hw tokens (class,
            registers) are unchanged. They must be fewer than hw, and the grid must be confirmed:
            another submodule returns hw tokens, or a convolution a map h x w, as in patch
            embeddings. Other tokens after or between the grid's are not detected. Later inputs must
            have the same number of tokens; a rotated image (192x256 instead of 256x192) has it,
            and is not detected. In attention windows (maps of one window) the grid is a window's,
            and the block runs on each window.
        layout: "bhwc" for maps B H W C, as in Swin and inside ConvNeXt's blocks, "bthwc" for clips
            B T H W C, as in Video Swin; later inputs may have any size. The shape does not show
            the channel axis: by default it is the second one, with `layout` the last one.
        frames: T of a video network that folds frames into the batch at these submodules: maps
            BT C H W, with consecutive frames of a clip. The block gets B C T H W (rcca, which does
            not support clips, each frame alone). Later inputs must be whole clips of T frames;
            another T that divides the batch is not detected.
        options: Options of the block, as in `build_block`.

    Returns:
        The network itself; each block is in training or eval mode as its submodule.

    Raises:
        ValueError: The network is not a module; names are missing, unknown or repeated, or have a
            block already; the example is not an input, or does not call a submodule, or it does
            not return a map; grid, layout or frames do not fit; a block or option is unknown; the
            network uses a submodule other than by calling it. The network is unchanged.
        RuntimeError: The network is already compiled, scripted or wrapped, or inference mode is on.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "insert_blocks was called under torch.inference_mode, which does not allow trainable "
            "parameters: call it outside"
        )
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"net is of type {type(net).__name__}, but must be a torch.nn.Module: give the network "
            "itself, not the function or class that builds it"
        )
    for key in ("channels", "size", "dims"):
        if key in options:
            raise ValueError(f"{key} is derived from the example: remove it")
    named = layout_of(name, grid, layout, frames)
    sites = find_sites(net, after)
    expected, calls = first_run(net, example)
    named = compared_with_example(named, net, calls)
    pairs = {
        site: with_block(net, where, calls, named, name, options) for where, site in sites.items()
    }
    places = [
        (parent, child, site)
        for parent in net.modules()
        for child, site in parent._modules.items()
        if site in pairs
    ]
    try:
        for parent, child, site in places:
            setattr(parent, child, pairs[site])
        check_unchanged(
            net,
            example,
            expected,
            {where: (pairs[site].block, len(calls[site])) for where, site in sites.items()},
        )
    except BaseException:
        for parent, child, site in places:
            setattr(parent, child, site)
        raise
    return net


def find_sites(net: nn.Module, after: Sequence[str]) -> dict[str, nn.Module]:
    """The submodules of these names."""
    if isinstance(after, str) or not after:
        raise ValueError(f"after={after!r} must be a list of submodules' names: after=['layer3']")
    modules = dict(net.named_modules(remove_duplicate=False))
    sites: dict[str, nn.Module] = {}
    for name in after:
        for parent in ["", *(name[:i] for i, letter in enumerate(name) if letter == ".")]:
            check_not_wrapped(parent, modules.get(parent))
        if name == "":
            raise ValueError(
                "after names '', the network itself: name a submodule, or write "
                "nn.Sequential(net, build_block(...))"
            )
        if name not in modules:
            same = [
                known for known in modules if known and without_sites(known) == without_sites(name)
            ]
            close = same[:1] or difflib.get_close_matches(name, modules, n=3)
            hint = f"did you mean one of {close}?" if close else f"it has {list(net._modules)}"
            raise ValueError(f"{type(net).__name__} has no submodule {name!r}; {hint}")
        if isinstance(modules[name], WithBlock):
            raise ValueError(
                f"a block follows {name!r} already: build the network again to insert another "
                f"instead; for a second block after the first, use after=['{name}.block'] without "
                "grid, layout and frames"
            )
        if modules[name] in sites.values():
            raise ValueError(
                f"after={list(after)} names the module at {name!r} twice: give it once, as one "
                "block is used for all names and calls of a module"
            )
        sites[name] = modules[name]
    return sites


def without_sites(name: str) -> str:
    """The name of a submodule before blocks were inserted: layer3.site.0 -> layer3.0."""
    return ".".join(part for part in name.split(".") if part != "site")


def check_not_wrapped(name: str, module: nn.Module | None) -> None:
    """Raise RuntimeError if it is too late to put a block inside this module."""
    for kind in type(module).__mro__:
        if kind.__name__ in WRAPPERS:
            what = f"the submodule {name!r}" if name else "the network"
            raise RuntimeError(
                f"{what} already went through {WRAPPERS[kind.__name__]}: insert the blocks into "
                "the plain network and wrap it afterwards"
            )


def first_run(net: nn.Module, example: Any) -> tuple[Any, Calls]:
    """Do as `run`; ValueError if the network fails on an example without tensors."""
    try:
        return run(net, example)
    except Exception as error:
        parts = example if isinstance(example, tuple | list) else [example]
        if not all(part is None or isinstance(part, int | float) for part in parts):
            raise
        raise ValueError(
            f"example={reprlib.repr(example)} has no tensor, and the network fails on it: give an "
            "input of the network, such as torch.zeros(1, 3, 256, 192), or a tuple of its arguments"
        ) from error


def with_block(
    net: nn.Module,
    where: str,
    calls: Calls,
    layout: Layout,
    name: str,
    options: Mapping[str, Any],
) -> WithBlock:
    """A submodule with a block for its maps."""
    site = net.get_submodule(where)
    fault = fault_of(site, calls, layout)
    if fault:
        inside = fitting_names(net, f"{where}.", calls, layout)
        instead = inside or fitting_names(net, "", calls, layout) or "none"
        raise ValueError(
            f"no block can follow {where!r} ({type(site).__name__}): {fault}. A block takes "
            f"{layout.takes}. Submodules {'inside it ' if inside else ''}that return one: {instead}"
        )
    maps = [output for output in calls[site] if isinstance(output, Map)]
    x = max(maps, key=lambda x: math.prod(layout.map_shape(x.shape)[2:]))
    channels, *frames, height, width = layout.map_shape(x.shape)[1:]
    try:
        of_clip = {"frames": frames[0]} if frames else {}
        block = build_block(name, channels, (height, width), **of_clip, **options)
    except ValueError as error:
        raise ValueError(f"after {where!r}, whose map is {x.shape}: {error}") from None
    # The dtype of the parameters around the block: under autocast the map has another.
    floating = (p.dtype for m in (site, net) for p in m.parameters() if p.is_floating_point())
    block = block.to(x.device, next(floating, x.dtype)).train(site.training)
    pair = WithBlock(OrderedDict(site=site, block=block))
    pair.training = site.training
    pair.layout = layout.of(x.shape)
    return pair


def fault_of(site: nn.Module, calls: Calls, layout: Layout) -> str | None:
    """Return why no block can follow this submodule, or None."""
    if site not in calls:
        return "the example does not call it (in eval mode)"
    shapes = set()
    for output in calls[site]:
        if isinstance(output, str):
            return f"it returns {output}"
        if fault := layout.fault(output.shape):
            return f"it returns {fault}"
        shapes.add(output.shape)
    channels = {layout.map_shape(shape)[1] for shape in shapes}
    if len(channels) > 1:
        return f"it returns maps of {sorted(channels)} channels in one run"
    if len({layout.of(shape) for shape in shapes}) > 1:
        return f"it returns {sorted({shape[1] for shape in shapes})} tokens in one run"
    return None


def fitting_names(net: nn.Module, prefix: str, calls: Calls, layout: Layout) -> list[str]:
    """Up to five submodules of this prefix that a block can follow, outermost first."""
    fitting = (
        name
        for name, module in sorted(net.named_modules(), key=lambda item: item[0].count("."))
        if name and name.startswith(prefix) and fault_of(module, calls, layout) is None
        if layout.likely(module, calls[module])
    )
    return list(islice(fitting, 5))


def check_unchanged(
    net: nn.Module,
    example: Any,
    expected: object,
    blocks: Mapping[str, tuple[nn.Module, int]],
) -> None:
    """Raise ValueError unless the output is the same and each block was called as expected."""
    names = list(blocks)
    remedy = "Name a submodule inside it or next to it; the network is unchanged"
    try:
        output, calls = run(net, example)
    except Exception as error:
        raise ValueError(
            f"with blocks after {names} the network fails ({type(error).__name__}: {error}). "
            f"Does it use an attribute or item of a submodule instead of only calling it? {remedy}"
        ) from error
    for name, (block, times) in blocks.items():
        if len(calls.get(block, ())) != times:
            raise ValueError(
                f"the network does not always call the block after {name!r}: it reaches the "
                f"submodule by another path than its name, such as a list of its own. {remedy}"
            )
    if not same(output, expected):
        raise ValueError(f"with blocks after {names} the output changes. {remedy}")
