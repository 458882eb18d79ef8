"""Several seeds of one config, one training after the other: keypoint train --seeds 0 1 2.

Each is a training of its own, a process with its folder output/seedN, as if it had been typed;
--dry-run prints these commands, for a scheduler that is to start them.
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
    """Train with each seed; with --resume those that are done are left as they are.

    Args:
        args: Of `keypoint train`.
        config: Of the first seed's training, but for seed and output.

    Raises:
        ConfigError: A folder holds a run that the options do not deal with; nothing was started.
        CheckpointError: A folder holds a run of another config; nothing was started.
        RunFailedError: A training failed; those after it were not started.
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
    print(f"compare them: keypoint compare {shlex.quote(str(output))}/seed* OTHER/seed*")


def _begins(run: Run, commands: Sequence[runs.Words]) -> None:
    print(f"{run.name}: {'' if commands else 'done, '}{run.folder}", flush=True)


def _ended(run: Run, status: int) -> None:
    """End all with the first failure."""
    if status:
        raise RunFailedError(
            f"the training with {run.name} ended with status {status}, its error is above; "
            "--resume continues it and those after it",
            status,
        )
