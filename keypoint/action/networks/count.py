"""Cost of a network that classifies clips, part by part, and by the PNL paper's rule.

The two columns of `keypoint.models.complexity` are the SRL paper's rule and the true cost. The PNL
paper's numbers without blocks are those of fvcore: multiply-adds of convolutions and linear layers,
2 for each output of a batch norm, G = 10^9; matrix products of blocks are not counted.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from keypoint.action.networks.build import create_model
from keypoint.action.networks.network import ActionNetwork
from keypoint.models.complexity import Count, count_parts
from keypoint.models.complexity.paper import paper_cost

OF_A_NORM = 2  # multiply-adds for each element


def count_action_model(**arguments: Any) -> dict[str, Count]:
    """Count the network that `create_model` builds from the same arguments, part by part.

    No values are computed: fake tensors only have a shape.

    Returns:
        Costs by name in the order of the forward pass, as `keypoint.models.complexity.count_model`.

    Raises:
        ConfigError: A part does not exist or does not fit.
    """
    with FakeTensorMode():
        bare = create_model(**{**arguments, "blocks": None, "places": None})
        blocks = bare.describe_blocks(arguments.get("blocks"), arguments.get("places"))
        if set(blocks) <= set(bare.maps):
            return count_parts(create_model(**arguments))
    model = create_model(
        **arguments
    )  # a block at a submodule that is not a unit is tested with real values
    with FakeTensorMode(allow_non_fake_inputs=True):
        return count_parts(model)


def layer_multiply_adds(model: ActionNetwork, of_norm: int = 0) -> int:
    """Return the multiply-adds of convolutions, linear layers and norms.

    Args:
        model: The network; it is run on one clip of zeros.
        of_norm: Multiply-adds for each output of a batch norm; `OF_A_NORM` is the PNL paper's rule.
    """
    total = 0

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, _BatchNorm):
            total += of_norm * output.numel()
        else:  # of each frame, if they are folded
            total += paper_cost(layer, inputs[0], output).multiply_adds * output.shape[0]

    counted = (_ConvNd, _BatchNorm, nn.Linear)
    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, counted)]
    try:
        with next(model.parameters()).device:
            model(model.example())
    finally:
        for hook in hooks:
            hook.remove()
    return total
