"""One optimizer step: loss, gradients, update, average; on one process or on many."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from keypoint import distributed
from keypoint.blocks.spectral.orthogonal import look_at
from keypoint.errors import CheckpointError, ConfigError, NumericsError
from keypoint.processes import keep_freed_memory
from keypoint.training.optimizer import check_state

AMP_DTYPES = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Batch(Protocol):
    """The part of a batch that every task has; the rest depends on the task."""

    def __len__(self) -> int:
        """Number of samples."""

    def origin(self) -> str:
        """Name the samples in an error, such as "image ids [7, 12]"."""


class Colors(Protocol):
    """The part of a network that a checkpoint stores in addition to its state dict."""

    def colors(self) -> dict[str, Any]:
        """`color_order`, `mean` and `std` of the images that it expects."""

    def set_colors(self, color_order: str, mean: Any, std: Any) -> None:
        """Set these values."""


Forward = Callable[[Tensor], Tensor]


class TrainingStep:
    """A network with its loss, optimizer and average.

    The process keeps freed memory from then on (`keep_freed_memory`).

    Args:
        model: On its device; it has `colors` and `set_colors`.
        optimizer: Over the model's parameters.
        loss: Maps (forward, batch) to a scalar. `forward` is the model as it trains: compiled, in
            mixed precision, on all processes. The loss moves the batch to the device.
        accumulate: Batches whose gradients make one step.
        amp: None, "bf16" or "fp16" (with a loss scaler: a heatmap loss has tiny gradients).
        channels_last: Memory format of the network.
        compile_model: torch.compile the network; the first step then takes up to a minute.
        ema: Decay of an average of the weights that is evaluated instead of them; None for none.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Forward, Any], Tensor],
        accumulate: int = 1,
        amp: str | None = None,
        channels_last: bool = False,
        compile_model: bool = False,
        ema: float | None = None,
    ) -> None:
        keep_freed_memory()
        if channels_last:
            _to_channels_last(model)
        self.model = model
        self.device = next(model.parameters()).device
        self.optimizer, self.loss, self.accumulate = optimizer, loss, accumulate
        self.amp_dtype = AMP_DTYPES[amp]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == "fp16")
        average = get_ema_multi_avg_fn(ema) if ema else None
        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if ema else None
        self.network = cast(nn.Module, torch.compile(model)) if compile_model else model
        if distributed.world_size() > 1:
            # DDP would silently give rank 0's parameters to all.
            self.require_same(0)
            # About a 1x1 convolution's gradient in channels_last: a copy of a few kilobytes.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            on_gpu = [self.device.index] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network, device_ids=on_gpu)

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the model as it trains."""
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            output: Tensor = self.network(images)
        return output

    def gradients(self, batches: Iterator[Batch], group: int) -> tuple[Tensor, str, Batch]:
        """Compute the gradients of the mean loss of the next `group` batches of all processes.

        Returns:
            This process's mean loss, the origin of its samples, its last batch.

        Raises:
            ConfigError: There is not enough memory, or BatchNorm gets a single value per channel.
        """
        self.optimizer.zero_grad(set_to_none=True)
        mean_loss = torch.zeros((), device=self.device)
        origins = []
        for number in range(group):
            batch = next(batches)
            # Gradients are exchanged once per step, with the last batch of the group.
            travels = number == group - 1 or not isinstance(self.network, DistributedDataParallel)
            try:
                with nullcontext() if travels else self.network.no_sync():  # type: ignore[operator]
                    loss = self.loss(self.forward, batch) / group
                    self.scaler.scale(loss).backward()
            except (RuntimeError, ValueError) as error:
                _name_the_key(error, len(batch))
                raise
            mean_loss += loss.detach()
            origins.append(batch.origin())
        return mean_loss, ", ".join(origins), batch

    def update(self, lr: float) -> None:
        """Change the parameters by the gradients.

        Raises:
            ArithmeticError: The parameters of a block are not finite.
        """
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.model)
            # Updated after each step, not when it is saved: an interruption must not change it.
            look_at(self.average)

    def evaluated_model(self) -> nn.Module:
        """The averaged network if there is one, else the network."""
        return self.average.module if self.average else self.model

    def require_same(self, step: int) -> None:
        """Refuse to continue with parameters that differ between processes.

        Raises:
            ConfigError: They differ; the text names the first rank that differs from rank 0.
        """
        if distributed.world_size() > 1:
            name = f"the network's parameters at step {step}"
            distributed.require_same({name: distributed.name_of(self.model)})

    def require_finite(self, step: int) -> None:
        """Refuse to continue with parameters that are not finite.

        Raises:
            NumericsError: There is one; the text names the first.
        """
        tensors = dict(self.model.named_parameters())
        finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors.values()]).tolist()
        if not all(finite):
            name = list(tensors)[finite.index(False)]
            raise NumericsError(
                f"{name} is nan or inf after step {step}, although the loss was finite; nothing "
                "was saved. Lower train.lr, add train.warmup_steps, or use bf16"
            )

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint that describes the network and its optimizer."""
        return {
            "model": dict(self.model.state_dict()),
            "ema": dict(self.average.module.state_dict()) if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **cast(Colors, self.model).colors(),
        }

    def load(self, content: dict[str, Any], path: Path) -> None:
        """Load the state of a checkpoint.

        Args:
            content: The keys of `state`, and `step`.
            path: The checkpoint, named in errors.

        Raises:
            CheckpointError: A tensor is missing, unexpected, or has another shape or type; the
                optimizer's state is incomplete.
        """
        try:
            if bool(content["ema"]) != bool(self.average):
                raise ValueError(f"train.ema was {'on' if content['ema'] else 'off'}")
            _check_tensors(content["model"], self.model)
            skipped = self.scaler.is_enabled() and not content["optimizer"]["state"]
            steps = 0 if skipped else content["step"]  # the scaler skips its first steps
            check_state(content["optimizer"], self.optimizer, steps)
            self.model.load_state_dict(content["model"])
            if self.average:
                _check_tensors(content["ema"], self.average.module)
                self.average.module.load_state_dict(content["ema"])
                self.average.n_averaged.fill_(content["step"])
            # The options are the config's: equal to the saved ones, or changed on purpose.
            own = self.optimizer.state_dict()["param_groups"]
            state = {"state": content["optimizer"]["state"], "param_groups": own}
            self.optimizer.load_state_dict(state)
            self.scaler.load_state_dict(content["scaler"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            first = str(error).splitlines()[0]
            raise CheckpointError(
                f"{path}: does not fit this run ({first}); resume with the config it was saved with"
            ) from None
        for network in (self.model, self.evaluated_model()):
            cast(Colors, network).set_colors(
                content["color_order"], content["mean"], content["std"]
            )


def _to_channels_last(model: nn.Module) -> None:
    """Do as `model.to(memory_format=..)`, which refuses mixed 2-D and 3-D convolutions."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in model.parameters():
        if tensor.ndim in formats:
            tensor.data = tensor.data.contiguous(memory_format=formats[tensor.ndim])


def _check_tensors(saved: dict[str, Tensor], network: nn.Module) -> None:
    """Require exactly the network's names, shapes and types.

    `load_state_dict` alone would silently cast another type.

    Raises:
        ValueError: One differs; the text names the first.
    """
    own = network.state_dict()
    for name in own.keys() ^ saved.keys():
        raise ValueError(f"{name} is {'missing' if name in own else 'unexpected'}")
    for name, tensor in own.items():
        given = saved[name]
        if (given.shape, given.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"{name} is {given.dtype} {tuple(given.shape)} "
                f"instead of {tensor.dtype} {tuple(tensor.shape)}"
            )


def _name_the_key(error: Exception, batch_size: int) -> None:
    """Report an error of torch by the config key that caused it."""
    first = str(error).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in first:
        raise ConfigError(
            f"train.batch_size={batch_size} does not fit into memory ({first}); lower it or "
            "the input size, or lower it and raise train.accumulate"
        ) from error
    if "more than 1 value per channel" in first:
        raise ConfigError(
            f"train.batch_size={batch_size} leaves BatchNorm one value per channel, which has no "
            f"variance ({first}); raise it or the input size"
        ) from error
