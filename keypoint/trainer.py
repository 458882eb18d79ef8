"""The training loop: plain objects in, a folder with checkpoints, log and curves out.

What makes an interrupted run equal to an uninterrupted one, bit for bit on CPU: samples are keyed
by (seed, epoch, index), the learning rate is a function of epoch and step, and a checkpoint
remembers the batch to go on with. Letters: B batch, K keypoints.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from keypoint import distributed
from keypoint.checkpoint import FORMAT, read_checkpoint, save_checkpoint
from keypoint.checkpoint_content import check_training
from keypoint.data.batches import TrainBatch, TrainSampler
from keypoint.errors import CheckpointError, NumericsError
from keypoint.losses import heatmap_loss
from keypoint.models import SimpleBaseline
from keypoint.run_log import RunLog, Window, progress
from keypoint.stop_signal import Interrupted, StopSignal
from keypoint.visualize import training_sheet

logger = logging.getLogger(__name__)

AMP_DTYPES = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}
PICTURE_CROPS = 8


@dataclass
class Position:
    """Where a run is: next epoch, next batch in it, optimiser steps done, the epoch's loss sum."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0


class Trainer:
    """Trains a network on batches, evaluates it now and then, and keeps `last.pt` and `best.pt`.

    Args:
        model: On its device.
        loader: Yields `TrainBatch`es of the epoch that `sampler` is set to.
        sampler: The loader's.
        optimizer: Over the model's parameters.
        learning_rate: From (step, epoch) to the learning rate.
        loss: From predicted and target heatmaps and weights (B, K) to a scalar.
        epochs: In all.
        output: Folder for checkpoints and logs; exists.
        evaluate: From a network in eval mode to the ten COCO numbers, called on every process;
            None for no evaluation.
        evaluate_every: Epochs between evaluations; the last epoch is always evaluated.
        save_every: Optimiser steps between saves within an epoch; None for one save after each
            epoch.
        log_every: Optimiser steps between lines of numbers.
        accumulate: Batches whose gradients make one step.
        amp: None, "bf16" or "fp16" (with a loss scaler: this loss's gradients are tiny).
        channels_last: Memory format of the network; its input lies so already.
        compile_model: torch.compile the network; the first step then takes up to a minute.
        ema: Decay of an average of the weights that is evaluated in place of them; None for none.
        card: What a checkpoint says beside the numbers: `config`, `skeleton`, `versions`, as plain
            types.
    """

    def __init__(
        self,
        model: SimpleBaseline,
        *,
        loader: Any,
        sampler: TrainSampler,
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int, int], float],
        loss: Callable[[Tensor, Tensor, Tensor], Tensor] = heatmap_loss,
        epochs: int,
        output: Path,
        evaluate: Callable[[SimpleBaseline], dict[str, float]] | None = None,
        evaluate_every: int = 10,
        save_every: int | None = None,
        log_every: int = 50,
        accumulate: int = 1,
        amp: str | None = None,
        channels_last: bool = True,
        compile_model: bool = False,
        ema: float | None = None,
        card: dict[str, Any],
    ) -> None:
        if channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        self.device = model.pixel_mean.device
        self.loader, self.sampler = loader, sampler
        self.optimizer, self.learning_rate = optimizer, learning_rate
        self.loss = loss
        self.epochs, self.output = epochs, output
        self.evaluate, self.evaluate_every = evaluate, evaluate_every
        self.save_every, self.log_every = save_every, log_every
        self.accumulate = accumulate
        self.amp_dtype = AMP_DTYPES[amp]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == "fp16")
        self.card = card
        average = get_ema_multi_avg_fn(ema) if ema else None
        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if ema else None
        self.network = cast(nn.Module, torch.compile(model)) if compile_model else model
        if distributed.world_size() > 1:
            on_gpu = [self.device.index] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network, device_ids=on_gpu)
        self.at = Position()
        self.best: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self._signal = StopSignal()
        self._unchecked: tuple[Tensor, Tensor, int] | None = None

    def fit(self) -> dict[str, Any] | None:
        """Run to the last epoch.

        Returns:
            The best evaluation, {"epoch": .., "metrics": {..}}, or None without one.

        Raises:
            NumericsError: A loss that is not finite; nothing is saved after it.
            Interrupted: SIGTERM or SIGINT; the step was finished and saved.
        """
        log = RunLog(self.output, enabled=distributed.is_main(), first_step=self.at.step)
        log.text("config", json.dumps(self.card["config"], indent=2))
        try:
            with self._signal:
                while self.at.epoch < self.epochs:
                    self._train_epoch(log)
                    self._finish_epoch(log)
        finally:
            log.close()
        return self.best

    def _train_epoch(self, log: RunLog) -> None:
        self.model.train()
        self.sampler.set_position(self.at.epoch, self.at.batch)
        total = self.sampler.num_batches
        window = Window()
        name = f"epoch {self.at.epoch + 1}/{self.epochs}"
        with progress(total, name, "batch", enabled=distributed.is_main()) as bar:
            bar.skip(self.at.batch)
            batches: Iterator[TrainBatch] = iter(self.loader)
            while self.at.batch < total:
                group = min(self.accumulate, total - self.at.batch)
                loss, lr, batch = self._step(batches, group, window)
                bar.update(group)
                if self.at.step % self.log_every == 0 or self.at.batch == total:
                    value = float(loss)
                    bar.set_postfix(loss=f"{value:.2e}", lr=f"{lr:.1e}")
                    log.scalars(
                        {"train/loss": value, "train/lr": lr, **window.take()}, self.at.step
                    )
                if self.at.batch == total:
                    self._check_loss()
                    if distributed.is_main():
                        log.picture("train/crops", self._picture(batch), self.at.step)
                    break
                if distributed.any_process(self._signal.number is not None, self.device):
                    self._stop()
                if self.save_every and self.at.step % self.save_every == 0:
                    self.save("last.pt")

    def _step(
        self, batches: Iterator[TrainBatch], group: int, window: Window
    ) -> tuple[Tensor, float, TrainBatch]:
        """One optimiser step on the mean loss of `group` batches."""
        lr = self.learning_rate(self.at.step, self.at.epoch)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        mean_loss = torch.zeros((), device=self.device)
        image_ids = []
        for number in range(group):
            begin = time.perf_counter()
            batch = next(batches)
            window.add(time.perf_counter() - begin, len(batch.crops))
            # Gradients travel between processes once a step, with the last batch of the group.
            travels = number == group - 1 or not isinstance(self.network, DistributedDataParallel)
            with nullcontext() if travels else self.network.no_sync():  # type: ignore[operator]
                loss = self._loss(batch) / group
                self.scaler.scale(loss).backward()
            mean_loss += loss.detach()
            image_ids.append(batch.image_ids)
        self._check_loss()
        self._unchecked = (mean_loss, torch.cat(image_ids), self.at.step)
        try:
            self.scaler.step(self.optimizer)
        except ArithmeticError:  # a block that finds its parameters not finite says so at once
            self._check_loss()
            raise
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.model)
        self.at.step += 1
        self.at.batch += group
        return mean_loss, lr, batch

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

    def _check_loss(self) -> None:
        """Look at the loss of the step before, which a GPU has finished by now: nobody waits."""
        if self._unchecked is None:
            return
        loss, image_ids, step = self._unchecked
        self._unchecked = None
        value = float(loss)
        if not math.isfinite(value):
            raise NumericsError(
                f"the loss is {value} at step {step}, learning rate "
                f"{self.learning_rate(step, self.at.epoch):.2e}, image ids {image_ids.tolist()}; "
                "nothing was saved since. Lower train.lr, add train.warmup_steps, or use bf16"
            )
        self.at.loss_sum += value

    def _finish_epoch(self, log: RunLog) -> None:
        """Evaluate if it is due, keep the numbers, save."""
        steps = math.ceil(self.sampler.num_batches / self.accumulate)
        record: dict[str, Any] = {
            "epoch": self.at.epoch + 1,
            "step": self.at.step,
            "loss": self.at.loss_sum / steps,
        }
        self.at = Position(epoch=self.at.epoch + 1, step=self.at.step)
        due = self.at.epoch % self.evaluate_every == 0 or self.at.epoch == self.epochs
        improved = False
        if self.evaluate is not None and due:
            metrics = self.evaluate(self.evaluated_model())
            record["metrics"] = metrics
            # AP -1 means that there was nobody to score, and a NaN would never be beaten: neither
            # is a best.
            improved = metrics["AP"] >= 0 and (
                self.best is None or metrics["AP"] > self.best["metrics"]["AP"]
            )
            if improved:
                self.best = {"epoch": self.at.epoch, "metrics": metrics}
            log.scalars({f"val/{name}": value for name, value in metrics.items()}, self.at.step)
            if self.best is not None:
                log.scalars({"val/best_AP": self.best["metrics"]["AP"]}, self.at.step)
        log.scalars({"train/epoch_loss": record["loss"]}, self.at.step)
        self.history.append(record)
        ap = f", AP {record['metrics']['AP']:.3f}" if "metrics" in record else ""
        logger.info("epoch %d/%d: loss %.3e%s", self.at.epoch, self.epochs, record["loss"], ap)
        if improved:
            self.save("best.pt")
        self.save("last.pt")
        if self.at.epoch < self.epochs and distributed.any_process(
            self._signal.number is not None, self.device
        ):
            raise Interrupted(self._signal.number or signal.SIGTERM)

    def evaluated_model(self) -> SimpleBaseline:
        """The averaged network if there is one, else the network."""
        return cast(SimpleBaseline, self.average.module) if self.average else self.model

    def save(self, name: str) -> None:
        """Write a checkpoint into the output folder, from rank 0."""
        self._check_loss()
        if not distributed.is_main():
            return
        content = {
            "format": FORMAT,
            "model": dict(self.model.state_dict()),
            "ema": dict(self.average.module.state_dict()) if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.at.epoch,
            "batch": self.at.batch,
            "step": self.at.step,
            "loss_sum": self.at.loss_sum,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            },
            "best": self.best,
            "history": self.history,
            **self.model.colors(),
            "world_size": distributed.world_size(),
            **self.card,
        }
        save_checkpoint(self.output / name, content)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same config.

        Raises:
            CheckpointError: Another config, another number of processes, or tensors that do not
                fit.
        """
        content = read_checkpoint(path)
        check_training(path, content)
        if content["world_size"] != distributed.world_size():
            raise CheckpointError(
                f"{path}: was trained on {content['world_size']} process(es), this is "
                f"{distributed.world_size()}; batches would differ: resume with the same number"
            )
        try:
            self.model.load_state_dict(content["model"])
            if self.average:
                self.average.module.load_state_dict(content["ema"])
                self.average.n_averaged.fill_(content["step"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scaler.load_state_dict(content["scaler"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            first = str(error).splitlines()[0]
            raise CheckpointError(
                f"{path}: does not fit this run ({first}); resume with the config it was saved by"
            ) from None
        for network in (self.model, self.evaluated_model()):
            network.set_colors(content["color_order"], content["mean"], content["std"])
        torch.set_rng_state(content["random"]["cpu"])
        if self.device.type == "cuda" and content["random"]["cuda"] is not None:
            torch.cuda.set_rng_state(content["random"]["cuda"])
        self.at = Position(content["epoch"], content["batch"], content["step"], content["loss_sum"])
        self.best, self.history = content["best"], content["history"]
        logger.info("%s: going on at epoch %d, batch %d", path, self.at.epoch + 1, self.at.batch)

    def _stop(self) -> None:
        self.save("last.pt")
        raise Interrupted(self._signal.number or signal.SIGTERM)

    @torch.no_grad()
    def _picture(self, batch: TrainBatch) -> Any:
        """The first crops of a batch with their targets and the network's heatmaps."""
        crops = batch.crops[:PICTURE_CROPS].to(self.device)
        self.model.eval()
        heatmaps = self.model(self.model.normalize(crops)).float().cpu().numpy()
        self.model.train()
        return training_sheet(
            crops.cpu().numpy(),
            batch.keypoints_crop.numpy(),
            batch.visibility.numpy(),
            heatmaps,
            self.card["skeleton"],
        )
