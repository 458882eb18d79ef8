"""Count a module, or one of our networks part by part; both columns at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from keypoint.models import SimpleBaseline, create_model
from keypoint.models.complexity.formulas import FORMULAS
from keypoint.models.complexity.paper import Cost, counted_modules, paper_cost


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
    """Count the cost of `module(x)` by running it, in its present mode.

    Args:
        module: Any module; the `paper` column counts our blocks by their modules, and other
            modules by the layers that are called.
        x: A batch of one; on the "meta" device or in a FakeTensorMode nothing is computed.

    Raises:
        ValueError: The batch is not of one image.
    """
    if x.shape[0] != 1:
        raise ValueError(f"x is a batch of {x.shape[0]}; give a batch of 1: costs are per image")
    return _count_and_run(module, x)[0]


def _count_and_run(module: nn.Module, x: Tensor) -> tuple[Count, Tensor]:
    paper: list[Cost] = []

    def note(called: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        paper.append(paper_cost(called, inputs[0], output))

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

    Nothing is computed: fake tensors only have a shape.

    Args:
        encoder: As `create_model` takes it.
        **options: The other arguments of `create_model`, without weights.

    Returns:
        By name in the order of the forward pass: stem, layer1 .. 4, deconv1 .. 3 or fewer,
        head, and each block as `block at <site>`.

    Raises:
        ConfigError: A part does not exist or does not fit.
    """
    counts = {}
    with FakeTensorMode():
        model = create_model(encoder, **options)
        model.train()
        x = torch.zeros(2, 3, *model.input_size)  # a batch norm refuses one image's map of a pixel
        for name, part in parts_of(model):
            counts[name], x = _count_and_run(part, x)
    return counts


def parts_of(model: SimpleBaseline) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules that make the network when applied one after the other."""
    yield "stem", nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    for site in ("layer1", "layer2", "layer3", "layer4", *model.deconv_sites):
        if site in model.deconv_sites:
            i = 3 * model.deconv_sites.index(site)
            yield site, model.deconv_layers[i : i + 3]
        else:
            yield site, getattr(model, site)
        if site in model.blocks:
            yield f"block at {site}", model.blocks[site]
    yield "head", model.final_layer
