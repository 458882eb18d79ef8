"""Count a module, or one of our networks part by part; both columns at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from keypoint.models import create_model
from keypoint.models.complexity.formulas import FORMULAS
from keypoint.models.complexity.paper import Cost, counted_modules, paper_cost
from keypoint.models.names import HRNET_SITES, HRNET_WIDTHS, NETWORKS, SITES, is_timm
from keypoint.models.network import Network

REST = "rest"
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class Count:
    """The same work counted twice; counts add."""

    paper: Cost
    true: Cost

    def __add__(self, other: Count) -> Count:
        return Count(self.paper + other.paper, self.true + other.true)

    @classmethod
    def zero(cls) -> Count:
        """The empty sum."""
        return cls(Cost(0, 0), Cost(0, 0))


def count(module: nn.Module, x: Tensor) -> Count:
    """Count the cost of `module(x)` by running it, in its present mode; its buffers stay the same.

    Args:
        module: Any module; the `paper` column counts our blocks by their modules, and other
            modules by the layers that are called.
        x: A batch of one; on the "meta" device or in a FakeTensorMode nothing is computed.

    Raises:
        ValueError: The batch has more than one image.
    """
    if x.shape[0] != 1:
        raise ValueError(f"x is a batch of {x.shape[0]}; give a batch of 1: costs are per image")
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]  # of norms in train mode
    try:
        return _count_and_run(module, x)[0]
    finally:
        for buffer, kept in before:
            buffer.copy_(kept)


def _count_and_run(module: nn.Module, x: Tensor) -> tuple[Count, Tensor]:
    paper: list[Cost] = []

    def note(called: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        paper.append(_of_sample(called, inputs[0], output, x.shape[0]))

    hooks = [part.register_forward_hook(note) for part in counted_modules(module)]
    try:
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            output: Tensor = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(p.numel() for p in module.parameters())
    true = Cost(parameters, counter.get_total_flops() // 2 // x.shape[0])  # of one image
    return Count(sum(paper, Cost(0, 0)), true), output


def count_model(encoder: str = "resnet50", **options: Any) -> dict[str, Count]:
    """Count the network that `create_model` builds from the same arguments, part by part.

    Nothing is computed, because fake tensors only have a shape.

    Args:
        encoder: As `create_model` takes it.
        **options: The other arguments of `create_model`, without weights.

    Returns:
        By name in the order of the forward pass: the network's parts, as `Network.parts` names
        them, with each block after its part as `block at <site>`; `rest` for anything else.

    Raises:
        ConfigError: A part does not exist or does not fit.
    """
    blocks = options.get("blocks")
    network = options.get("network", "simple_baseline")
    sites = HRNET_SITES if network in HRNET_WIDTHS else SITES
    by_submodule = isinstance(blocks, Mapping) and not set(blocks) <= set(sites)
    # A user's code, timm's, and the test of an inserted block may read values.
    real = None
    if by_submodule or network not in NETWORKS or is_timm(encoder):
        real = create_model(encoder, **options)
    with FakeTensorMode(allow_non_fake_inputs=real is not None):
        model = create_model(encoder, **options) if real is None else real
        return count_parts(model)


def count_parts(model: Network) -> dict[str, Count]:
    """Count any network of ours, part by part, by running it in training mode without dropout.

    The cost is assigned to its parts by the modules that run. In a FakeTensorMode,
    or on the meta device, nothing is computed.

    Args:
        model: The network; its mode stays as it is.

    Returns:
        As `count_model`.
    """
    was_training = model.training
    model.train()
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.eval()
    try:
        # A batch norm refuses a map of one pixel in a batch of one.
        return _count_parts(model, model.example(2))
    finally:
        model.train(was_training)


def _count_parts(model: Network, x: Tensor) -> dict[str, Count]:
    part_of: dict[nn.Module, str] = {}
    for name, part in [*model.parts(), *_named_blocks(model)]:
        part_of.update(dict.fromkeys(part.modules(), name))
    at_work, seen = [REST], 0
    paper: dict[str, Cost] = {}
    operations: dict[str, int] = {}

    def settle() -> None:
        nonlocal seen
        total = counter.get_total_flops()
        operations[at_work[-1]] = operations.get(at_work[-1], 0) + total - seen
        seen = total

    def begin(called: nn.Module, _: Any) -> None:
        settle()
        at_work.append(part_of[called])

    def end(*_: Any) -> None:
        settle()
        at_work.pop()

    def note(called: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = part_of.get(called, REST)
        cost = _of_sample(called, inputs[0], output, x.shape[0])
        paper[name] = paper.get(name, Cost(0, 0)) + cost

    hooks = [part.register_forward_hook(note) for part in counted_modules(model)]
    hooks += [part.register_forward_pre_hook(begin) for part in part_of]
    hooks += [part.register_forward_hook(end) for part in part_of]
    try:
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            model(x)
            settle()
    finally:
        for hook in hooks:
            hook.remove()
    parameters: dict[str, int] = {}
    for module in model.modules():
        name = part_of.get(module, REST)
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        parameters[name] = parameters.get(name, 0) + own
    return {
        name: Count(
            paper.get(name, Cost(0, 0)),
            Cost(parameters.get(name, 0), operations.get(name, 0) // 2 // x.shape[0]),
        )
        for name in dict.fromkeys([*operations, *parameters])
        if name != REST or operations.get(name) or parameters.get(name)
    }


def _of_sample(module: nn.Module, x: Tensor, output: Tensor, batch: int) -> Cost:
    """The paper's cost for one of `batch` samples; frames may be folded into the batch."""
    cost = paper_cost(module, x, output)
    folded = max(1, output.shape[0] // batch)
    return Cost(cost.parameters, cost.multiply_adds * folded)


def _named_blocks(model: Network) -> Iterator[tuple[str, nn.Module]]:
    for site, block in model.all_blocks().items():
        yield f"block at {site}", block
