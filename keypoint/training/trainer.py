"""The training loop: takes plain objects, writes a folder with checkpoints, log and curves.

It is independent of the task: the loss, the evaluation and the picture of a batch are arguments
(for keypoints those of keypoints.py and the command `keypoint train`).

An interrupted run equals an uninterrupted one, bit for bit on CPU, because samples are keyed by
(seed, epoch, index), the learning rate is a function of epoch and step, and a checkpoint contains
the batch to continue with.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from keypoint import distributed, processes
from keypoint.checkpoint.content import check_training
from keypoint.checkpoint.file import FORMAT, read_checkpoint, save_checkpoint
from keypoint.errors import CheckpointError, lost_worker
from keypoint.progress import progress
from keypoint.training.log import RunLog, Window
from keypoint.training.resume import card_of_resumed, require_same_run
from keypoint.training.step import Batch, TrainingStep
from keypoint.training.stop_signal import Interrupted, StopSignal
from keypoint.training.validation import Validation

logger = logging.getLogger(__name__)


class Sampler(Protocol):
    """Chooses the batches of an epoch.

    Attributes:
        num_batches: Batches of an epoch on each process.
        batch_samples: Samples in a batch of all processes together.
    """

    num_batches: int
    batch_samples: int

    def set_position(self, epoch: int, first_batch: int) -> None:
        """Set the epoch, and its first batch."""


@dataclass
class Position:
    """Next epoch, next batch in it, optimizer steps done, sum and number of the epoch's losses."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    losses: int = 0


class Trainer:
    """Trains a network on batches, evaluates it regularly, and writes `last.pt` and `best.pt`.

    Args:
        step: The network with its loss and optimizer.
        loader: Yields the batches of the epoch that `sampler` is set to.
        sampler: The loader's.
        learning_rate: Maps (step, epoch) to the learning rate.
        epochs: Number of all epochs.
        output: An existing folder for checkpoints and logs.
        facts: Keys that are copied into each checkpoint: `config`, `skeleton`, `versions`,
            `data` and `card`, as plain types.
        validation: None for no evaluation.
        picture: Draws a batch for the log, (H, W, 3) uint8 RGB, from the network in eval mode
            and the last batch of an epoch; None for no picture.
        save_every: Optimizer steps between saves within an epoch; None for one save after each
            epoch.
        log_every: Optimizer steps between entries of the log.
        logger: A value of `train.logger`.
    """

    def __init__(
        self,
        step: TrainingStep,
        *,
        loader: Iterable[Batch],
        sampler: Sampler,
        learning_rate: Callable[[int, int], float],
        epochs: int,
        output: Path,
        facts: dict[str, Any],
        validation: Validation | None = None,
        picture: Callable[[Any, Any], NDArray[np.uint8]] | None = None,
        save_every: int | None = None,
        log_every: int = 50,
        logger: str = "tensorboard",
    ) -> None:
        self.step, self.loader, self.sampler = step, loader, sampler
        self.learning_rate = learning_rate
        self.epochs, self.output, self.facts = epochs, output, facts
        self.validation, self.picture = validation, picture
        self.save_every, self.log_every, self.logger = save_every, log_every, logger
        self.at = Position()
        self.best: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self._signal = StopSignal()
        self._begin = 0, 0.0  # epochs done before this process, and its start
        self._losses: list[tuple[Tensor, str, int]] = []  # not read yet: loss, origin, step

    def fit(self) -> dict[str, Any] | None:
        """Run to the last epoch.

        Returns:
            The best evaluation, {"epoch": .., "metrics": {..}}, or None without one.

        Raises:
            NumericsError: A loss is not finite on any process; nothing is saved after it.
            Interrupted: SIGTERM or SIGINT was received; the step was finished and saved.
        """
        self._begin = self.at.epoch, time.perf_counter()
        log = RunLog(self.output, distributed.is_main(), self.at.step, self.logger)
        log.config(self.facts["config"])
        try:
            with self._signal:
                while self.at.epoch < self.epochs:
                    self._train_epoch(log)
                    self._finish_epoch(log)
        except RuntimeError as error:
            if self._signal.number is None or (
                lost_worker(error) is None and not processes.says_lost(error)
            ):
                raise
            # The signal went to workers or to other processes as well.
            raise Interrupted(self._signal.number, saved=False) from error
        finally:
            log.close(done=self.at.epoch >= self.epochs)
        return self.best

    def _train_epoch(self, log: RunLog) -> None:
        """Train on the epoch's remaining batches, and save regularly."""
        total = self.sampler.num_batches
        if self.at.batch >= total:  # resumed: only the evaluation of this epoch is left
            return
        self.step.model.train()
        self.sampler.set_position(self.at.epoch, self.at.batch)
        window = Window()
        batches = window.timed(self.loader)
        text = f"epoch {self.at.epoch + 1}/{self.epochs}"
        with progress(total, text, "batch", enabled=distributed.is_main()) as bar:
            bar.skip(self.at.batch)
            while self.at.batch < total:
                group = min(self.step.accumulate, total - self.at.batch)
                with self._signal.delayed(limited=distributed.world_size() > 1):
                    loss, lr, batch = self._step(batches, group)
                    is_last = self.at.batch == total
                    is_save = self.save_every is not None and self.at.step % self.save_every == 0
                    stop = self._agree(pending=0 if is_last or is_save else 1)
                bar.update(group)
                if self.at.step % self.log_every == 0 or is_last:
                    value = float(loss)
                    bar.set_postfix(loss=f"{value:.2e}", lr=f"{lr:.1e}")
                    numbers = {"train/loss": value, "train/lr": lr, **window.take()}
                    log.scalars(numbers, self.at.step)
                if stop:
                    self._agree(pending=0)
                    self.save("last.pt")
                    raise Interrupted(self._signal.number or signal.SIGTERM)
                if is_last:
                    self._draw(log, batch)
                elif is_save:
                    self.save("last.pt")

    def _step(self, batches: Iterator[Batch], group: int) -> tuple[Tensor, float, Batch]:
        """One optimizer step on the mean loss of `group` batches."""
        lr = self.learning_rate(self.at.step, self.at.epoch)
        loss, origin, batch = self.step.gradients(batches, group)
        self._losses.append((loss, origin, self.at.step))
        try:
            self.step.update(lr)
        except ArithmeticError:  # the parameters of a block are not finite
            self._agree(pending=0)
            raise
        self.at.step += 1
        self.at.batch += group
        return loss, lr, batch

    def _agree(self, pending: int) -> bool:
        """Return whether to stop, the same on all processes.

        Args:
            pending: Losses not to read yet: a GPU is still computing the latest one, and reading it
                would wait.

        Raises:
            NumericsError: A loss is not finite on any process.
        """
        problem = None
        while len(self._losses) > pending:
            loss, origin, step = self._losses.pop(0)
            value = float(loss)
            if not math.isfinite(value) and problem is None:
                words = (
                    f"the loss is {value} at step {step}, learning rate "
                    f"{self.learning_rate(step, self.at.epoch):.2e}, {origin}; nothing was saved "
                    "since. Lower train.lr, add train.warmup_steps, or use bf16"
                )
                problem = step, words
            self.at.loss_sum += value
            self.at.losses += 1
        return distributed.agree(self._signal.number is not None, problem)

    def _draw(self, log: RunLog, batch: Batch) -> None:
        if self.picture is None or not distributed.is_main():
            return
        self.step.model.eval()
        log.picture("train/crops", self.picture(self.step.model, batch), self.at.step)
        self.step.model.train()

    def _finish_epoch(self, log: RunLog) -> None:
        """Evaluate if it is due, keep the numbers, save."""
        epoch, validation = self.at.epoch + 1, self.validation
        if validation and epoch % validation.every and epoch < self.epochs:
            validation = None  # not due
        loss = self.at.loss_sum / self.at.losses
        record: dict[str, Any] = {"epoch": epoch, "step": self.at.step, "loss": loss}
        self.step.require_same(self.at.step)
        if validation:
            self.save("last.pt")  # a run that ends during the evaluation resumes from here
        self.at = Position(epoch=epoch, step=self.at.step)
        text, improved = f"loss {loss:.3e}", False
        if validation:
            metrics, record["conditions"] = self._evaluate(validation)
            record["metrics"] = metrics
            text += f", {validation.metric} {metrics[validation.metric]:.3f}"
            improved = validation.improves(metrics, self.best)
            if improved:
                self.best = {"epoch": epoch, "metrics": metrics}
            log.scalars({f"val/{name}": value for name, value in metrics.items()}, self.at.step)
            if self.best:
                best = self.best["metrics"][validation.metric]
                log.scalars({f"val/best_{validation.metric}": best}, self.at.step)
        log.scalars({"train/epoch_loss": loss}, self.at.step)
        self.history.append(record)
        logger.info("epoch %d/%d: %s%s", epoch, self.epochs, text, self._time_to_go())
        if improved:
            self.save("best.pt")
        self.save("last.pt")
        if self._agree(pending=0) and epoch < self.epochs:
            raise Interrupted(self._signal.number or signal.SIGTERM)

    def _time_to_go(self) -> str:
        """The rest of the run, at the mean time of this process's epochs with their evaluations."""
        left, done = self.epochs - self.at.epoch, self.at.epoch - self._begin[0]
        seconds = (time.perf_counter() - self._begin[1]) * left / done
        return f"; about {tqdm.format_interval(seconds)} to go" if left else ""

    def _evaluate(self, validation: Validation) -> tuple[dict[str, float], dict[str, Any]]:
        network = self.step.evaluated_model()
        distributed.share_buffers(network)
        return validation.evaluate(network.eval(), self._signal.check)

    def save(self, name: str) -> None:
        """Write a checkpoint into the output folder, on rank 0.

        Raises:
            NumericsError: A parameter is not finite, although the losses were; nothing is written.
        """
        assert not self._losses, "a loss was not read: it could be nan"
        if not distributed.is_main():
            return
        self.step.require_finite(self.at.step)
        on_gpu = self.step.device.type == "cuda"
        content = {
            "format": FORMAT,
            **self.step.state(),
            **vars(self.at),
            "batch_persons": self.sampler.batch_samples,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(self.step.device) if on_gpu else None,
            },
            "best": self.best,
            "history": self.history,
            "world_size": distributed.world_size(),
            **self.facts,
        }
        save_checkpoint(self.output / name, content)

    def resume(self, path: Path, allow_changed: bool = False, changes: Sequence[str] = ()) -> None:
        """Continue from a checkpoint of the same run.

        Args:
            path: The checkpoint.
            allow_changed: Also continue with other data or another number of processes, which is
                logged and stored in the model card.
            changes: Differences of the config that `check_same_config` allowed, stored in the card.

        Raises:
            CheckpointError: The data or the number of processes differ, or the state is incomplete
                or does not fit.
        """
        content = read_checkpoint(path)
        check_training(path, content)
        changed = require_same_run(
            path, content, self.facts["data"], distributed.world_size(), allow_changed=allow_changed
        )
        metric = self.validation.metric if self.validation else None
        if metric and content["best"] and metric not in content["best"]["metrics"]:
            raise CheckpointError(
                f"{path}: its best epoch has no {metric}; resume with the task it was trained for"
            )
        card = card_of_resumed(self.facts, content, [*changes, *changed])
        self.facts = self.facts | {"card": card}
        self.step.load(content, path)
        torch.set_rng_state(content["random"]["cpu"])
        if self.step.device.type == "cuda" and content["random"]["cuda"] is not None:
            torch.cuda.set_rng_state(content["random"]["cuda"], self.step.device)
        # Continue after the same number of samples if the batch size has changed.
        batch = content["batch"] * content["batch_persons"] // self.sampler.batch_samples
        self.at = Position(
            content["epoch"], batch, content["step"], content["loss_sum"], content["losses"]
        )
        self.best, self.history = content["best"], content["history"]
        distributed.require_same({"the position in last.pt": vars(self.at)})
        self.step.require_same(self.at.step)
        logger.info("%s: resuming at epoch %d, batch %d", path, self.at.epoch + 1, self.at.batch)
