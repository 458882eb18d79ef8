"""Calls that behave the same in one process and in many.

`torchrun` starts many processes, which is detected here. Every function also works if
torch.distributed is not initialised: then there is one process, of rank 0.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from keypoint.errors import ConfigError, NumericsError
from keypoint.files import fingerprint
from keypoint.processes import TIMEOUT_S, started_many

logger = logging.getLogger(__name__)

DEVICES = "cpu|cuda|cuda:[0-9]{1,2}|mps"


def choose_device(name: str | None = None) -> torch.device:
    """Return a device that exists here.

    Args:
        name: "cpu", "cuda", "cuda:1", or "mps" (Apple's GPUs; untested, which is logged); None for
            CUDA if there is one, else the CPU.

    Raises:
        ConfigError: The device does not exist.
    """
    kind = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(DEVICES, kind):  # torch knows others, which fail later
        raise ConfigError(f"device={kind!r} is unknown; give cpu, cuda, cuda:NUMBER or mps")
    device = torch.device(kind)
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError(
                "--device mps: torch finds no such device; it needs macOS on Apple "
                "processors; use cpu"
            )
        logger.warning("device=mps is untested; compare a few results with --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device={kind}: torch finds {torch.cuda.device_count()} CUDA devices; use cpu"
        )
    return device


def own_device(name: str | None = None) -> torch.device:
    """Return this process's device: under torchrun the local rank selects the GPU.

    Args:
        name: "cpu", "cuda" or "cuda:1"; None for CUDA if there is one.

    Raises:
        ConfigError: The device does not exist here, or cannot be shared by processes; or torchrun
            did not start these processes.
    """
    chosen = choose_device(name)
    if "LOCAL_RANK" not in os.environ:
        if started_many() and "RANK" in os.environ:
            raise ConfigError(
                f"WORLD_SIZE={os.environ['WORLD_SIZE']} and RANK are set and LOCAL_RANK is not, so "
                "each process would work alone; start them with torchrun"
            )
        return chosen
    if chosen.type == "mps":
        raise ConfigError(
            "--device mps: one process only; start without torchrun, or give --device cpu"
        )
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(chosen)
    return chosen


def initialise(device: str | None = None, timeout_s: int = TIMEOUT_S) -> torch.device:
    """Join the processes that torchrun started, if it did, and choose this process's device.

    Args:
        device: As `choose_device` takes it. Under torchrun the local rank selects the GPU.
        timeout_s: Seconds that a process waits for the others before it gives up.

    Raises:
        ConfigError: The device does not exist here, or cannot be shared by processes; or torchrun
            did not start these processes.
    """
    chosen = own_device(device)
    if "LOCAL_RANK" not in os.environ:
        return chosen
    if not dist.is_initialized():
        # Small messages use gloo even on GPUs, so that they do not wait for GPU work.
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    return chosen


def finish() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's rank, 0 if it is the only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process writes files and logs."""
    return rank() == 0


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, by rank, on every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """Return rank 0's value on every process."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def agree(stop: bool, problem: tuple[int, str] | None) -> bool:
    """Exchange stop requests and problems, so that all processes leave a loop together.

    Args:
        stop: Whether this process should stop.
        problem: Step and description of what went wrong on this process, or None.

    Returns:
        Whether any process should stop.

    Raises:
        NumericsError: Raised on every process, with the earliest problem and its rank: a nan
            spreads to the other ranks one step later.
    """
    if world_size() == 1:
        if problem is not None:
            raise NumericsError(problem[1])
        return stop
    flags = torch.tensor([stop, problem is not None], dtype=torch.uint8)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    if flags[1]:
        problems = [
            (said[0], number, said[1]) for number, said in enumerate(gather(problem)) if said
        ]
        _, number, words = min(problems)
        raise NumericsError(f"rank {number}: {words}")
    return bool(flags[0])


def require_same(values: Mapping[str, Any]) -> None:
    """Refuse to continue if processes differ in what must be the same.

    Args:
        values: By name; the message shows their `repr`.

    Raises:
        ConfigError: Raised on every process; the text has the first differing rank and value.
    """
    if world_size() == 1:
        return
    everyone = gather(dict(values))
    for number, theirs in enumerate(everyone):
        for name in sorted(everyone[0].keys() | theirs.keys()):
            ours, other = everyone[0].get(name), theirs.get(name)
            if ours != other:
                raise ConfigError(
                    f"rank {number} differs from rank 0 in {name}: {other!r} instead of {ours!r}; "
                    "start all processes with the same settings"
                )


def name_of(model: nn.Module, *, buffers: bool = False) -> str:
    """Return a fingerprint of the parameters.

    Args:
        model: On any device.
        buffers: Include buffers; in training, those of BatchNorm differ between processes.
    """
    tensors = [*model.parameters(), *(model.buffers() if buffers else ())]
    return fingerprint(*(tensor.detach().cpu().numpy() for tensor in tensors))


def share_buffers(model: nn.Module) -> None:
    """Copy rank 0's buffers to all processes, so that all evaluate the network that is saved.

    In training, each process has the BatchNorm statistics of its own batches.
    """
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
