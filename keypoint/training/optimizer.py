"""Optimizer and learning rate.

Source: the SRL paper's section 4.1 and SimpleBaseline's recipe (Adam 1e-3, two drops by 10).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from keypoint.blocks import no_weight_decay
from keypoint.errors import ConfigError

WARMUP_START = 0.001  # of the learning rate, at the first step; mmpose's start_factor


def build_optimizer(
    model: nn.Module,
    name: str = "adam",
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """Create the optimizer over all parameters; biases, norms and blocks' spectra never decay.

    Args:
        model: The network to train.
        name: "adam", "adamw" or "sgd".
        lr: Learning rate.
        weight_decay: For adamw and sgd.
        momentum: For sgd.
        nesterov: For sgd: the gradient's own step is added to the momentum's.

    Raises:
        ConfigError: The name is unknown, or weight decay is used with adam, which scales it by the
            gradients; as these are tiny here, AP was only 12.
    """
    exempt = no_weight_decay(model)
    named = [
        (key, parameter) for key, parameter in model.named_parameters() if parameter.requires_grad
    ]
    groups = [
        {"params": [p for key, p in named if key not in exempt], "weight_decay": weight_decay},
        {"params": [p for key, p in named if key in exempt], "weight_decay": 0.0},
    ]
    # One pass over the parameters, half the time of Adam's step on a CPU; not on every device.
    fused = all(parameter.device.type in ("cpu", "cuda") for _, parameter in named)
    if name == "adam":
        if weight_decay:
            raise ConfigError(
                f"train.weight_decay={weight_decay} with adam; use train.optimizer=adamw"
            )
        return torch.optim.Adam(groups, lr=lr, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=fused)
    raise ConfigError(f"train.optimizer={name!r}; choose adam, adamw or sgd")


def learning_rate(
    step: int,
    epoch: int,
    *,
    lr: float,
    drops: Sequence[int],
    factor: float = 0.1,
    warmup_steps: int = 0,
) -> float:
    """Return the learning rate of a step.

    A pure function of step and epoch, so that resuming needs no state.

    Args:
        step: Optimizer steps done so far.
        epoch: Counted from 0.
        lr: Its value before any drop.
        drops: Ascending epochs; from each on, it is multiplied by `factor` once more.
        factor: Between 0 and 1.
        warmup_steps: Steps over which it rises linearly from a thousandth.
    """
    value = lr * factor ** bisect_right(drops, epoch)
    if step < warmup_steps:
        value *= WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
    return value


# The state that an optimizer keeps of each parameter.
STATE = {
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "SGD": {"momentum_buffer"},
}


def check_state(saved: dict[str, Any], optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Refuse a state that `optimizer.load_state_dict` would accept but partly ignore.

    Args:
        saved: An optimizer's state dict.
        optimizer: The one to resume with.
        steps: Optimizer steps done before it was saved.

    Raises:
        ValueError: It is from another optimizer, has other groups, or a parameter's state is
            missing or has another shape.
    """
    own = optimizer.state_dict()
    kinds = [[set(group) for group in state["param_groups"]] for state in (saved, own)]
    if kinds[0] != kinds[1]:
        raise ValueError("the optimizer's groups are from another optimizer")
    members = [[group["params"] for group in state["param_groups"]] for state in (saved, own)]
    if members[0] != members[1]:
        raise ValueError("the optimizer's groups have other parameters")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    expected = STATE[type(optimizer).__name__]
    if optimizer.defaults.get("momentum") == 0:
        expected = set()
    for number, parameter in enumerate(parameters):
        state = saved["state"].get(number, {})
        if state.keys() != expected and steps:
            raise ValueError(
                f"the optimizer's state of parameter {number} has {sorted(state)} "
                f"instead of {sorted(expected)}"
            )
        for name, value in state.items():
            shape = tuple(getattr(value, "shape", ()))
            if name != "step" and shape != tuple(parameter.shape):
                raise ValueError(
                    f"the optimizer's {name} of parameter {number} is {shape} "
                    f"instead of {tuple(parameter.shape)}"
                )
