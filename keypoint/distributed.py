"""One process or many: the few calls that behave the same in both.

`torchrun` starts many; this file notices. Every function here works without torch.distributed
being initialised: then there is one process, of rank 0.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from keypoint.errors import ConfigError

TIMEOUT = timedelta(minutes=30)  # evaluation on rank 0 alone (COCOeval) must fit in


def choose_device(name: str | None = None) -> torch.device:
    """A device that exists here.

    Args:
        name: "cpu", "cuda" or "cuda:1"; None for CUDA where there is one.

    Raises:
        ConfigError: It does not exist here.
    """
    kind = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch("cpu|cuda|cuda:[0-9]{1,2}", kind):  # torch knows others, which fail later
        raise ConfigError(f"device={kind!r} is unknown; give cpu, cuda or cuda:NUMBER")
    device = torch.device(kind)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device={kind}: torch sees {torch.cuda.device_count()} CUDA devices here; use cpu"
        )
    return device


def initialise(device: str | None = None) -> torch.device:
    """Join the processes that torchrun started, if it did, and choose this process's device.

    Args:
        device: As for `choose_device`; under torchrun the local rank picks the GPU.

    Raises:
        ConfigError: The device does not exist here.
    """
    chosen = choose_device(device)
    if "LOCAL_RANK" not in os.environ:
        return chosen
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=TIMEOUT)
    return chosen


def finish() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 if it is the only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes files and logs."""
    return rank() == 0


def gather(value: Any) -> list[Any]:
    """The values of all processes, by rank, on every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """Rank 0's value on every process."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any process.

    All of them get the same answer, so all leave a loop at the same step.
    """
    if world_size() == 1:
        return flag
    tensor = torch.tensor(float(flag), device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return bool(tensor.item())
