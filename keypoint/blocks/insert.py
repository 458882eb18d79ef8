"""A block into any network, behind submodules called by name.

    insert_blocks(net, "srl_fft", after=["layer3"], example=torch.zeros(1, 3, 256, 192))

Where the submodule stood now stands a Sequential of it (`site`) and the block (`block`): an
ordinary module, so that deepcopy, EMA, DDP, compile and export hold. A forward hook would not do:
in a deep copy of the network it still calls the original's block.

The example runs before and after. The first run tells channels and sizes of the maps; the second,
that every block is called and the output the same to the bit. Otherwise all is put back.

Letters: B batch, C channels, H W size, N tokens.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from keypoint.blocks.build import build_block
from keypoint.blocks.trial import Calls, Map, run, same

Net = TypeVar("Net", bound=nn.Module)
# They took stock of the modules inside and would not, or not always, see a block among them.
WRAPPERS = {
    "OptimizedModule": "torch.compile",
    "ScriptModule": "torch.jit",
    "DataParallel": "DataParallel",
    "DistributedDataParallel": "DistributedDataParallel",
    "FullyShardedDataParallel": "FullyShardedDataParallel",
    "FSDPModule": "fully_shard",
}


def insert_blocks(
    net: Net, name: str, *, after: Sequence[str], example: Any, **options: object
) -> Net:
    """Put a new block behind each of the named submodules of any network, in place.

    The order of things: build the network, load its weights, insert, then build the optimiser (an
    older one does not know the new parameters; `no_weight_decay(net)` names those that must not
    decay) and wrap in compile, DDP or EMA. Weights saved from then on carry the names
    `<submodule>.site...` and `<submodule>.block...`, and are loaded after the insertion.

    A submodule that is called several times, or stands under several names, gets one block for all
    of its calls, built for the largest of its maps and run at the other sizes too. Names may lie
    inside one another, and a submodule may get a second block on top of the first. Hooks stay with
    the submodule: they see its output without the block.

    Args:
        net: Any module, on any device (meta too), in any dtype; a block takes over its map's.
        name: The block's, as `build_block` takes it.
        after: Names as in `net.named_modules()` of submodules that give one map B C H W. One that
            gives B H W C is refused, as far as the layers inside it tell the two apart.
        example: What the network takes: `net(example)`, or `net(*example)` for a tuple. Blocks are
            built for the size of its maps; how many samples it has does not matter.
        options: The block's, as `build_block` takes them.

    Returns:
        The network itself; each block is in training or eval mode as its submodule.

    Raises:
        ValueError: No, unknown or equal names; a submodule that the example does not call or that
            gives no map; an unknown block or option; a network that wants more of a submodule than
            to call it. The network is as it was.
        RuntimeError: The network is compiled, scripted or wrapped already, or inference mode is on.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "insert_blocks was called under torch.inference_mode, where parameters that can be "
            "trained cannot be made: call it outside"
        )
    given = sorted({"channels", "size"} & options.keys())
    if given:
        raise ValueError(f"{given[0]} is learned from the example: leave it out")
    sites = find_sites(net, after)
    expected, calls = run(net, example)
    pairs: dict[nn.Module, WithBlock] = {}
    for where, site in sites.items():
        x = largest_map(net, where, calls)
        try:
            block = build_block(name, x.shape[1], (x.shape[2], x.shape[3]), **options)
        except ValueError as error:
            raise ValueError(f"after {where!r}, whose map is {x.shape}: {error}") from None
        block = block.to(x.device, dtype_of(site, net, x)).train(site.training)
        pairs[site] = WithBlock(OrderedDict(site=site, block=block))
        pairs[site].training = site.training

    places = [
        (parent, child, site)
        for parent in net.modules()
        for child, site in parent._modules.items()
        if site in pairs
    ]
    for parent, child, site in places:
        setattr(parent, child, pairs[site])
    try:
        blocks = {where: (pairs[site].block, len(calls[site])) for where, site in sites.items()}
        check_it_still_runs(net, example, expected, blocks)
    except BaseException:
        for parent, child, site in places:
            setattr(parent, child, site)
        raise
    return net


class WithBlock(nn.Sequential):
    """A submodule, `site`, and the block behind it, `block`; called as the submodule was."""

    site: nn.Module
    block: nn.Module

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the submodule takes -> B C H W."""
        y: Tensor = self.block(self.site(*args, **kwargs))
        return y

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Say why weights of the network without the block do not fit, strict or not."""
        super()._load_from_state_dict(state_dict, prefix, *rest)
        known = (f"{prefix}site.", f"{prefix}block.")
        if any(key.startswith(prefix) and not key.startswith(known) for key in state_dict):
            errors: list[str] = rest[-1]
            errors.append(
                f"the state dict has {prefix}* but no {prefix}block.*: weights of the network "
                f"without the block after {prefix[:-1]!r} are loaded first, and insert_blocks is "
                "called afterwards."
            )


def dtype_of(site: nn.Module, net: nn.Module, x: Map) -> torch.dtype:
    """Of the parameters around the block: under autocast the map itself is in another."""
    floating = (p.dtype for m in (site, net) for p in m.parameters() if p.is_floating_point())
    return next(floating, x.dtype)


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
            close = difflib.get_close_matches(name, modules, n=3)
            hint = f"did you mean one of {close}?" if close else f"it has {list(net._modules)}"
            raise ValueError(f"{type(net).__name__} has no submodule {name!r}; {hint}")
        if modules[name] in sites.values():
            raise ValueError(
                f"after={list(after)} names the module at {name!r} twice: once is enough, as a "
                "block serves all places and calls of its module"
            )
        sites[name] = modules[name]
    return sites


def check_not_wrapped(name: str, module: nn.Module | None) -> None:
    """Raise RuntimeError if a block put inside this module would come too late."""
    for kind in type(module).__mro__:
        if kind.__name__ in WRAPPERS:
            what = f"the submodule {name!r}" if name else "the network"
            raise RuntimeError(
                f"{what} went through {WRAPPERS[kind.__name__]} already: insert the blocks into "
                "the plain network and wrap it afterwards"
            )


def largest_map(net: nn.Module, name: str, calls: Calls) -> Map:
    """The largest map that this submodule gave."""
    site = net.get_submodule(name)
    fault = fault_of(net, site, calls)
    if fault is None:
        maps = [output for output in calls[site] if isinstance(output, Map)]
        return max(maps, key=lambda x: x.shape[2] * x.shape[3])
    inside = fitting_names(net, f"{name}.", calls)
    instead = inside or fitting_names(net, "", calls) or "none"
    raise ValueError(
        f"no block can follow {name!r} ({type(site).__name__}): {fault}. A block takes one map "
        f"B C H W. Submodules {'inside it ' if inside else ''}that give one: {instead}"
    )


def fitting_names(net: nn.Module, prefix: str, calls: Calls) -> list[str]:
    """Up to five submodules of this prefix that a block can follow, outermost first."""
    convolved = widths(net)[0]  # attention's B heads N N is no map, though it has four axes
    fitting = (
        name
        for name, module in sorted(net.named_modules(), key=lambda item: item[0].count("."))
        if name and name.startswith(prefix) and fault_of(net, module, calls) is None
        if all(isinstance(x, Map) and x.shape[1] in convolved for x in calls[module])
    )
    return list(islice(fitting, 5))


def fault_of(net: nn.Module, site: nn.Module, calls: Calls) -> str | None:
    """Why no block can follow this submodule, or None."""
    if site not in calls:
        return "the example does not call it (in eval mode)"
    channels = set()
    for output in calls[site]:
        if isinstance(output, str):
            return f"it gives {output}"
        if channels_last(net, site, output.shape):
            return (
                f"its output {output.shape} looks like B H W C, as the last axis is the width of "
                "linear or layer norm layers and the second that of no convolution (if it is "
                "B C H W nevertheless, give an example of another size)"
            )
        channels.add(output.shape[1])
    if len(channels) > 1:
        return f"it gives maps of {sorted(channels)} channels in one run"
    return None


def channels_last(net: nn.Module, site: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a map is B H W C by the layers of its submodule or, has it none, of the network."""
    convolved, linear = widths(site)
    if not convolved and not linear:
        convolved, linear = widths(net)
    return shape[3] in linear and shape[1] not in convolved


def widths(module: nn.Module) -> tuple[set[int], set[int]]:
    """Numbers of channels that the layers inside write along the second and along the last axis."""
    convolved, linear = set(), set()
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            convolved.add(part.out_channels)
        elif isinstance(part, nn.BatchNorm2d):
            convolved.add(part.num_features)
        elif isinstance(part, nn.Linear):
            linear.add(part.out_features)
        elif isinstance(part, nn.LayerNorm):
            linear.add(part.normalized_shape[-1])
    return convolved, linear


def check_it_still_runs(
    net: nn.Module,
    example: Any,
    expected: object,
    blocks: Mapping[str, tuple[nn.Module, int]],
) -> None:
    """Raise ValueError unless the output is the same and each block was called so many times."""
    names = list(blocks)
    remedy = "Name a submodule inside or beside it; the network is as it was"
    try:
        output, calls = run(net, example)
    except Exception as error:
        raise ValueError(
            f"with blocks after {names} the network fails ({type(error).__name__}: {error}). "
            f"Does it want an attribute or item of a submodule, not only its call? {remedy}"
        ) from error
    for name, (block, times) in blocks.items():
        if len(calls.get(block, ())) != times:
            raise ValueError(
                f"the network does not always go through the block after {name!r}: it reaches the "
                f"submodule by another way than its name, as an item or a list of its own. {remedy}"
            )
    if not same(output, expected):
        raise ValueError(f"with blocks after {names} the output changes. {remedy}")
