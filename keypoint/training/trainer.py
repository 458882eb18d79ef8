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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypoint import distributed
from keypoint.checkpoint.content import check_training
from keypoint.checkpoint.file import FORMAT, read_checkpoint, save_checkpoint
from keypoint.data.batches import TrainBatch, TrainSampler
from keypoint.drawing.persons import training_sheet
from keypoint.errors import lost_worker
from keypoint.models import SimpleBaseline
from keypoint.progress import progress
from keypoint.training.log import RunLog, Window
from keypoint.training.losses import heatmap_loss
from keypoint.training.resume import card_of_resumed, require_same_run
from keypoint.training.step import TrainingStep
from keypoint.training.stop_signal import Interrupted, StopSignal

logger = logging.getLogger(__name__)

PICTURE_CROPS = 8
PATIENCE_S = 6  # after SIGTERM, beside twice a step's time; torchrun kills after 30 s


@dataclass
class Position:
    """Where a run is: next epoch, next batch in it, optimiser steps done, the epoch's losses."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    losses: int = 0


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
        evaluate: From a network in eval mode to the ten COCO numbers and what they hold for, called
            on every process; a long one calls `stop_signal.check` now and then, as the run is saved
            before it. None for no evaluation.
        evaluate_every: Epochs between evaluations; the last epoch is always evaluated.
        save_every: Optimiser steps between saves within an epoch; None for one save after each
            epoch.
        log_every: Optimiser steps between lines of numbers.
        accumulate: Batches whose gradients make one step.
        amp: None, "bf16" or "fp16" (with a loss scaler: this loss's gradients are tiny).
        channels_last: Memory format of the network; its input lies so already.
        compile_model: torch.compile the network; the first step then takes up to a minute.
        ema: Decay of an average of the weights that is evaluated in place of them; None for none.
        card: What a checkpoint says beside the numbers: `config`, `skeleton`, `versions`, `data`
            and `card`, as plain types.
        stop_signal: Where `evaluate` asks whether to stop; None for an own one.
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
        evaluate: Callable[[SimpleBaseline], tuple[dict[str, float], dict[str, Any]]] | None = None,
        evaluate_every: int = 10,
        save_every: int | None = None,
        log_every: int = 50,
        accumulate: int = 1,
        amp: str | None = None,
        channels_last: bool = True,
        compile_model: bool = False,
        ema: float | None = None,
        card: dict[str, Any],
        stop_signal: StopSignal | None = None,
    ) -> None:
        self.step = TrainingStep(
            model,
            optimizer=optimizer,
            loss=loss,
            amp=amp,
            channels_last=channels_last,
            compile_model=compile_model,
            ema=ema,
        )
        self.model = model
        self.loader, self.sampler = loader, sampler
        self.learning_rate = learning_rate
        self.epochs, self.output = epochs, output
        self.evaluate, self.evaluate_every = evaluate, evaluate_every
        self.save_every, self.log_every = save_every, log_every
        self.accumulate = accumulate
        self.card = card
        self.at = Position()
        self.best: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self._signal = stop_signal or StopSignal()
        self._losses: list[tuple[Tensor, Tensor, int]] = []  # not looked at: loss, image ids, step

    def fit(self) -> dict[str, Any] | None:
        """Run to the last epoch.

        Returns:
            The best evaluation, {"epoch": .., "metrics": {..}}, or None without one.

        Raises:
            NumericsError: A loss that is not finite, on any process; nothing is saved after it.
            Interrupted: SIGTERM or SIGINT; the step was finished and saved.
        """
        log = RunLog(self.output, enabled=distributed.is_main(), first_step=self.at.step)
        log.text("config", json.dumps(self.card["config"], indent=2))
        try:
            with self._signal:
                while self.at.epoch < self.epochs:
                    self._train_epoch(log)
                    self._finish_epoch(log)
        except RuntimeError as error:
            if self._signal.number is None or (
                lost_worker(error) is None and not distributed.says_lost(error)
            ):
                raise
            # The signal went to workers or to other processes as well.
            raise Interrupted(self._signal.number, saved=False) from error
        finally:
            log.close()
        return self.best

    def _train_epoch(self, log: RunLog) -> None:
        self.model.train()
        self.sampler.set_position(self.at.epoch, self.at.batch)
        total = self.sampler.num_batches
        if self.at.batch >= total:  # resumed: what is left of this epoch is its evaluation
            return
        window = Window()
        name = f"epoch {self.at.epoch + 1}/{self.epochs}"
        with progress(total, name, "batch", enabled=distributed.is_main()) as bar:
            bar.skip(self.at.batch)
            batches = self._timed(window)
            patience = None
            while self.at.batch < total:
                group = min(self.accumulate, total - self.at.batch)
                begin = time.perf_counter()
                self._signal.patience_s = patience
                loss, lr, batch = self._step(batches, group)
                if distributed.world_size() > 1:  # the others may wait for one that hangs
                    patience = PATIENCE_S + 2 * (time.perf_counter() - begin)
                bar.update(group)
                is_last = self.at.batch == total
                is_save = bool(self.save_every) and self.at.step % (self.save_every or 1) == 0
                stop = self._agree(pending=0 if is_last or is_save else 1)
                self._signal.seen()
                if self.at.step % self.log_every == 0 or is_last:
                    value = float(loss)
                    bar.set_postfix(loss=f"{value:.2e}", lr=f"{lr:.1e}")
                    log.scalars(
                        {"train/loss": value, "train/lr": lr, **window.take()}, self.at.step
                    )
                if stop:
                    self._agree(pending=0)
                    self.save("last.pt")
                    raise Interrupted(self._signal.number or signal.SIGTERM)
                if is_last and distributed.is_main():
                    log.picture("train/crops", self._picture(batch), self.at.step)
                elif is_save:
                    self.save("last.pt")

    def _timed(self, window: Window) -> Iterator[TrainBatch]:
        batches = iter(self.loader)
        while True:
            begin = time.perf_counter()
            batch = next(batches)
            window.add(time.perf_counter() - begin, len(batch.crops))
            yield batch

    def _step(self, batches: Iterator[TrainBatch], group: int) -> tuple[Tensor, float, TrainBatch]:
        """One optimiser step on the mean loss of `group` batches."""
        lr = self.learning_rate(self.at.step, self.at.epoch)
        loss, image_ids, batch = self.step.gradients(batches, group)
        self._losses.append((loss, image_ids, self.at.step))
        try:
            self.step.update(lr)
        except ArithmeticError:  # a block finds its parameters not finite
            self._agree(pending=0)
            raise
        self.at.step += 1
        self.at.batch += group
        return loss, lr, batch

    def _agree(self, pending: int) -> bool:
        """Whether to stop, for all processes alike.

        Args:
            pending: Losses not to look at yet: a GPU is still busy with the latest one, and nobody
                should wait for it.

        Raises:
            NumericsError: A loss that is not finite, on any process.
        """
        problem = None
        while len(self._losses) > pending:
            loss, image_ids, step = self._losses.pop(0)
            value = float(loss)
            if not math.isfinite(value) and problem is None:
                words = (
                    f"the loss is {value} at step {step}, learning rate "
                    f"{self.learning_rate(step, self.at.epoch):.2e}, image ids "
                    f"{image_ids.tolist()}; nothing was saved since. Lower train.lr, "
                    "add train.warmup_steps, or use bf16"
                )
                problem = step, words
            self.at.loss_sum += value
            self.at.losses += 1
        return distributed.agree(self._signal.number is not None, problem)

    def _finish_epoch(self, log: RunLog) -> None:
        """Evaluate if it is due, keep the numbers, save."""
        record: dict[str, Any] = {
            "epoch": self.at.epoch + 1,
            "step": self.at.step,
            "loss": self.at.loss_sum / self.at.losses,
        }
        self.step.require_same(self.at.step)
        due = (self.at.epoch + 1) % self.evaluate_every == 0 or self.at.epoch + 1 == self.epochs
        evaluate = self.evaluate if due else None
        if evaluate is not None:
            self.save("last.pt")  # a run that ends during the evaluation goes on with it
        self.at = Position(epoch=self.at.epoch + 1, step=self.at.step)
        improved = False
        if evaluate is not None:
            network = self.step.evaluated_model()
            distributed.share_buffers(network)
            metrics, conditions = evaluate(network)
            record |= {"metrics": metrics, "conditions": conditions}
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
        if self._agree(pending=0) and self.at.epoch < self.epochs:
            raise Interrupted(self._signal.number or signal.SIGTERM)

    def save(self, name: str) -> None:
        """Write a checkpoint into the output folder, from rank 0.

        Raises:
            NumericsError: A parameter is not finite, though the losses were: nothing is written.
        """
        assert not self._losses, "a loss was not looked at: it could be nan"
        if not distributed.is_main():
            return
        self.step.require_finite(self.at.step)
        on_gpu = self.step.device.type == "cuda"
        content = {
            "format": FORMAT,
            **self.step.state(),
            "epoch": self.at.epoch,
            "batch": self.at.batch,
            "batch_persons": self.sampler.batch_persons,
            "step": self.at.step,
            "loss_sum": self.at.loss_sum,
            "losses": self.at.losses,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(self.step.device) if on_gpu else None,
            },
            "best": self.best,
            "history": self.history,
            "world_size": distributed.world_size(),
            **self.card,
        }
        save_checkpoint(self.output / name, content)

    def resume(self, path: Path, allow_changed: bool = False, changes: Sequence[str] = ()) -> None:
        """Go on from a checkpoint of the same run.

        Args:
            path: The checkpoint.
            allow_changed: Also with other persons or another number of processes, which is logged
                and kept in the model card.
            changes: What `check_same_config` allowed, kept there too.

        Raises:
            CheckpointError: Other persons, another number of processes, or a state that is not
                whole or does not fit.
        """
        content = read_checkpoint(path)
        check_training(path, content)
        changed = require_same_run(
            path, content, self.card["data"], distributed.world_size(), allow_changed=allow_changed
        )
        told = card_of_resumed(self.card, content, [*changes, *changed])
        self.card = self.card | {"card": told}
        self.step.load(content, path)
        torch.set_rng_state(content["random"]["cpu"])
        if self.step.device.type == "cuda" and content["random"]["cuda"] is not None:
            torch.cuda.set_rng_state(content["random"]["cuda"], self.step.device)
        # Of as many persons where the batches have another size now.
        batch = content["batch"] * content["batch_persons"] // self.sampler.batch_persons
        self.at = Position(
            content["epoch"], batch, content["step"], content["loss_sum"], content["losses"]
        )
        self.best, self.history = content["best"], content["history"]
        distributed.require_same({"the position in last.pt": vars(self.at)})
        self.step.require_same(self.at.step)
        logger.info("%s: going on at epoch %d, batch %d", path, self.at.epoch + 1, self.at.batch)

    @torch.no_grad()
    def _picture(self, batch: TrainBatch) -> Any:
        """The first crops of a batch with their targets and the network's heatmaps."""
        crops = batch.crops[:PICTURE_CROPS].to(self.step.device)
        self.model.eval()
        heatmaps = self.model(self.model.normalize(crops)).float().cpu().numpy()
        self.model.train()
        return training_sheet(
            crops.cpu().numpy(),
            batch.keypoints_crop.numpy(),
            batch.visibility.numpy(),
            heatmaps,
            self.card["skeleton"],
            udp=self.model.codec.udp,
        )
