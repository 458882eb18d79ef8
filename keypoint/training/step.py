"""One optimiser step: forward, loss, backward, update, average; on one process or on many.

Letters: B batch, K keypoints.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from keypoint import distributed
from keypoint.data.batches import TrainBatch
from keypoint.errors import CheckpointError, ConfigError, NumericsError
from keypoint.models import SimpleBaseline
from keypoint.training.optimization import check_state

AMP_DTYPES = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingStep:
    """A network with all that changes it.

    Args:
        model: On its device.
        optimizer: Over the model's parameters.
        loss: From predicted and target heatmaps and weights (B, K) to a scalar.
        amp: None, "bf16" or "fp16" (with a loss scaler: this loss's gradients are tiny).
        channels_last: Memory format of the network; its input lies so already.
        compile_model: torch.compile the network; the first step then takes up to a minute.
        ema: Decay of an average of the weights that is evaluated in place of them; None for none.
    """

    def __init__(
        self,
        model: SimpleBaseline,
        *,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor, Tensor], Tensor],
        amp: str | None,
        channels_last: bool,
        compile_model: bool,
        ema: float | None,
    ) -> None:
        if channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        self.device = model.pixel_mean.device
        self.optimizer, self.loss = optimizer, loss
        self.amp_dtype = AMP_DTYPES[amp]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == "fp16")
        average = get_ema_multi_avg_fn(ema) if ema else None
        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if ema else None
        self.network = cast(nn.Module, torch.compile(model)) if compile_model else model
        if distributed.world_size() > 1:
            # DDP would quietly give rank 0's parameters to all.
            self.require_same(0)
            # Of a 1x1 convolution's gradient in channels_last: a copy of a few kilobytes.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            on_gpu = [self.device.index] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network, device_ids=on_gpu)

    def gradients(
        self, batches: Iterator[TrainBatch], group: int
    ) -> tuple[Tensor, Tensor, TrainBatch]:
        """Gradients of the mean loss of the next `group` batches, and of all processes.

        Returns:
            This process's mean loss, the image ids of its samples, its last batch.

        Raises:
            ConfigError: The memory does not suffice, or BatchNorm has a single value to work on.
        """
        self.optimizer.zero_grad(set_to_none=True)
        mean_loss = torch.zeros((), device=self.device)
        image_ids = []
        for number in range(group):
            batch = next(batches)
            # Gradients travel between processes once a step, with the last batch of the group.
            travels = number == group - 1 or not isinstance(self.network, DistributedDataParallel)
            try:
                with nullcontext() if travels else self.network.no_sync():  # type: ignore[operator]
                    loss = self._loss(batch) / group
                    self.scaler.scale(loss).backward()
            except (RuntimeError, ValueError) as error:
                _name_the_key(error, batch)
                raise
            mean_loss += loss.detach()
            image_ids.append(batch.image_ids)
        return mean_loss, torch.cat(image_ids), batch

    def update(self, lr: float) -> None:
        """Change the parameters by the gradients.

        Raises:
            ArithmeticError: A block finds its parameters not finite.
        """
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.model)

    def _loss(self, batch: TrainBatch) -> Tensor:
        crops = batch.crops.to(self.device, non_blocking=True)
        keypoints = batch.keypoints_crop.to(self.device, non_blocking=True)
        labelled = batch.visibility.to(self.device, non_blocking=True) > 0
        target, weight = self.model.codec.encode(keypoints, labelled)
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            predicted = self.network(self.model.normalize(crops))
        return self.loss(predicted, target, weight)

    def evaluated_model(self) -> SimpleBaseline:
        """The averaged network if there is one, else the network."""
        return cast(SimpleBaseline, self.average.module) if self.average else self.model

    def require_same(self, step: int) -> None:
        """Refuse to go on with parameters that have drifted apart between processes.

        Raises:
            ConfigError: They differ; the text names the first rank with others than rank 0.
        """
        if distributed.world_size() > 1:
            name = f"the network's parameters at step {step}"
            distributed.require_same({name: distributed.name_of(self.model)})

    def require_finite(self, step: int) -> None:
        """Refuse to go on with parameters that are not finite.

        Raises:
            NumericsError: Names the first such parameter.
        """
        tensors = dict(self.model.named_parameters())
        finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors.values()]).tolist()
        if not all(finite):
            name = list(tensors)[finite.index(False)]
            raise NumericsError(
                f"{name} is nan or inf after step {step}, though the loss was finite; nothing was "
                "saved. Lower train.lr, add train.warmup_steps, or use bf16"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "model": dict(self.model.state_dict()),
            "ema": dict(self.average.module.state_dict()) if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **self.model.colors(),
        }

    def load(self, content: dict[str, Any], path: Path) -> None:
        """Take the state of a checkpoint over.

        Args:
            content: With `state`'s keys and `step`.
            path: Of the checkpoint, for messages.

        Raises:
            CheckpointError: A tensor is missing, one too many, of another shape or type; the
                optimiser's state is not whole.
        """
        try:
            if bool(content["ema"]) != bool(self.average):
                raise ValueError(f"train.ema was {'on' if content['ema'] else 'off'}")
            _check_tensors(content["model"], self.model)
            skipped = self.scaler.is_enabled() and not content["optimizer"]["state"]
            steps = 0 if skipped else content["step"]  # the scaler leaves out its first ones
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
                f"{path}: does not fit this run ({first}); resume with the config it was saved by"
            ) from None
        for network in (self.model, self.evaluated_model()):
            network.set_colors(content["color_order"], content["mean"], content["std"])


def _check_tensors(saved: dict[str, Tensor], network: nn.Module) -> None:
    """Exactly the network's names, shapes and types.

    `load_state_dict` by itself casts another type without a word.

    Raises:
        ValueError: Names the first tensor that is not so.
    """
    own = network.state_dict()
    for name in own.keys() ^ saved.keys():
        raise ValueError(f"{name} is {'missing' if name in own else 'unexpected'}")
    for name, tensor in own.items():
        given = saved[name]
        if (given.shape, given.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"{name} is {given.dtype} {tuple(given.shape)} "
                f"in place of {tensor.dtype} {tuple(tensor.shape)}"
            )


def _name_the_key(error: Exception, batch: TrainBatch) -> None:
    """Tell what torch says of a batch by the keys of the config that made it."""
    number, height, width, _ = batch.crops.shape
    given = f"train.batch_size={number} at model.input_size=[{height},{width}]"
    first = str(error).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in first:
        raise ConfigError(
            f"{given} does not fit into the memory ({first}); lower one of them, or lower the "
            "first and raise train.accumulate"
        ) from error
    if "more than 1 value per channel" in first:
        raise ConfigError(
            f"{given} leaves BatchNorm one value per channel, which has no variance ({first}); "
            "raise one of them"
        ) from error
