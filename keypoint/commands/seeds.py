"""Several seeds of one config, one training after the other: keypoint train --seeds 0 1 2.

Each training is a separate process with its own folder output/seedN. --dry-run prints the commands,
for a scheduler.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from keypoint.action.config import ActionConfig
from keypoint.commands import runs
from keypoint.commands.runs import Run, RunFailedError
from keypoint.config.load import Config


def train_seeds(args: argparse.Namespace, config: Config | ActionConfig) -> None:
    """Train with each seed; with --resume finished trainings are skipped.

    Args:
        args: Arguments of `keypoint train`.
        config: Config of the training; seed and output are replaced.

    Raises:
        ConfigError: A folder contains a run, and neither --resume nor --overwrite is given.
        CheckpointError: A folder contains a run of another config.
        RunFailedError: A training failed; the later ones were not started.
    """
    output = Path(config.output or "")
    overrides = [each for each in args.overrides if each.partition("=")[0] != "output"]
    trainings = [
        runs.make_run(
            args,
            f"seed {seed}",
            output / f"seed{seed}",
            config,
            cfg=args.cfg,
            overrides=overrides,
            seed=seed,
        )
        for seed in args.seeds
    ]
    work = [(run, run.left() if args.resume else run.all()) for run in trainings]
    if args.dry_run:
        for _, commands in work:
            if commands:
                print(runs.shell_line(commands))
        return
    runs.require_startable([run for run, commands in work if commands], args)
    runs.carry_out(work, begins=_begins, ended=_ended)
    print(f"to compare: keypoint compare {shlex.quote(str(output))}/seed* OTHER/seed*")


def _begins(run: Run, commands: Sequence[runs.Words]) -> None:
    print(f"{run.name}: {'' if commands else 'done, '}{run.folder}", flush=True)


def _ended(run: Run, status: int) -> None:
    """Raise at the first failure."""
    if status:
        raise RunFailedError(
            f"the training with {run.name} ended with status {status}, its error is above; "
            "continue with --resume",
            status,
        )
