"""keypoint train with a fault on rank 1: FAULT says which, from step FAULT_STEP on.

With COUNT it is without a fault and writes the number of steps done to that file.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch

from keypoint.commands import cli
from keypoint.training.step import TrainingStep
from keypoint.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[2]))  # some installed packages bring a `tests`, too
from tests.calling import command  # noqa: E402

FAULT, STEP = os.environ.get("FAULT"), int(os.environ.get("FAULT_STEP", "2"))

ONCE = Path(os.environ["FAULT_ONCE"]) if "FAULT_ONCE" in os.environ else None  # marks the first


def plant():
    """Replace the step's own work by one that goes wrong."""
    gradients, calls = TrainingStep.gradients, []

    def faulty(step, batches, group):
        calls.append(1)
        here = len(calls) == STEP + 1
        if here and FAULT == "raise":
            raise ValueError("planted on rank 1")
        if here and FAULT == "kill":
            if ONCE:
                ONCE.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if here and FAULT == "exit":
            os._exit(0)
        if here and FAULT == "hang":
            time.sleep(1000)
        if here and FAULT == "drift":
            with torch.no_grad():
                next(step.model.parameters()).add_(1e-6)
        loss = step.loss
        if here and FAULT == "nan":
            step.loss = lambda *arguments: loss(*arguments) * torch.nan
        try:
            return gradients(step, batches, group)
        finally:
            step.loss = loss

    TrainingStep.gradients = faulty


def count(file):
    """Keep the number of steps done in a file."""
    step = Trainer._step

    def counted(trainer, batches, group):
        done = step(trainer, batches, group)
        file.write_text(str(trainer.at.step))
        return done

    Trainer._step = counted


def main(argv):
    train = command("train")
    if "COUNT" in os.environ:
        count(Path(os.environ["COUNT"]))
    if os.environ.get("RANK") == "1" and not (ONCE and ONCE.exists()):
        plant()
        argv = [*argv, *os.environ.get("RANK1_ARGUMENTS", "").split()]
        if FAULT == "parameters":
            create_model = train.create_model

            def other(*arguments, **options):
                model = create_model(*arguments, **options)
                torch.nn.init.ones_(next(model.parameters()))
                return model

            train.create_model = other
    train.main(argv)


if __name__ == "__main__":
    raise SystemExit(cli.run(main, sys.argv[1:]))
