"""Several seeds of one config, one training after the other: keypoint train --seeds 0 1 2.

Each is a training of its own, a process with its folder output/seedN, as if it had been typed;
--dry-run prints these commands, for a scheduler that is to start them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from keypoint import distributed
from keypoint.action.config import ActionConfig
from keypoint.commands import cli
from keypoint.config.load import Config, dump_config
from keypoint.errors import ConfigError, KeypointError
from keypoint.evaluation.runs.read import CONFIG, HISTORY, checkpoint_facts
from keypoint.training.run_folder import finds_run

START = ("-m", "keypoint", "train")
INTERRUPTED = 130


class SeedFailedError(KeypointError):
    """A training ended with an error, which it has reported; has its exit status."""


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add --seeds and --dry-run."""
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=cli.whole_number(0),
        metavar="N",
        help="train once with each seed, in output/seedN (key=value comes before this option)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with --seeds: print one command a run, and train nothing",
    )


def check_seeds(args: argparse.Namespace) -> None:
    """Check the options of several seeds.

    Raises:
        ConfigError: They do not go together, or a seed is given twice.
    """
    if args.seeds is None:
        if args.dry_run:
            raise ConfigError("--dry-run has no effect without --seeds")
        return
    twice = [seed for seed in args.seeds if args.seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"--seeds: {twice[0]} is given twice; give each seed once")
    if any(override.partition("=")[0] == "seed" for override in args.overrides):
        raise ConfigError("seed= has no effect with --seeds; leave one of them out")
    if args.process_timeout != distributed.TIMEOUT_S:
        raise ConfigError("--process-timeout is for torchrun; it has no effect with --seeds")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "--seeds starts one training after the other, and torchrun many processes of one; give "
            "torchrun the commands that --dry-run prints"
        )


def train_seeds(args: argparse.Namespace, config: Config | ActionConfig) -> None:
    """Train with each seed; with --resume those that are done are left as they are.

    Args:
        args: Of `keypoint train`.
        config: Of the first seed's training, but for seed and output.

    Raises:
        ConfigError: A folder holds a run that the options do not deal with; nothing was started.
        SeedFailedError: A training failed; those after it were not started.
    """
    output = Path(config.output or "")
    left = [seed for seed in args.seeds if not (args.resume and is_done(config, output, seed))]
    if args.dry_run:
        for seed in left:
            print(shlex.join(["keypoint", "train", *words_of(args, output, seed)]))
        return
    for seed in left:  # all of them before the first begins
        finds_run(folder_of(output, seed), resume=args.resume, overwrite=args.overwrite)
    for seed in args.seeds:
        if seed not in left:
            print(f"seed {seed}: done, {folder_of(output, seed)}")
            continue
        print(f"seed {seed}: {folder_of(output, seed)}", flush=True)
        status = start([sys.executable, *START, *words_of(args, output, seed)])
        if status in (INTERRUPTED, -2):
            raise KeyboardInterrupt
        if status:
            failed = SeedFailedError(
                f"the training with seed {seed} ended with status {status}, its error is above; "
                "--resume continues it and those after it"
            )
            failed.exit_status = status if status > 0 else 128 - status
            raise failed
    print(f"compare them: keypoint compare {shlex.quote(str(output))}/seed* OTHER/seed*")


def start(words: list[str]) -> int:
    """Run a command to its end; it ends with this process, however that is interrupted."""
    with subprocess.Popen(words) as process:  # noqa: S603 (our own command, no shell)
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def folder_of(output: Path, seed: int) -> Path:
    """The folder of one seed."""
    return output / f"seed{seed}"


def words_of(args: argparse.Namespace, output: Path, seed: int) -> list[str]:
    """The words of `keypoint train` for one seed."""
    kept = [each for each in args.overrides if each.partition("=")[0] != "output"]
    words = ["--cfg", args.cfg, *kept, f"seed={seed}", f"output={folder_of(output, seed)}"]
    for name in ("resume", "allow_changed", "overwrite"):
        words += [f"--{name.replace('_', '-')}"] if getattr(args, name) else []
    words += [] if args.device is None else ["--device", args.device]
    return words


def is_done(config: Config | ActionConfig, output: Path, seed: int) -> bool:
    """Whether a folder holds this training, with this config, at its end.

    Raises:
        CheckpointError: Its checkpoint is damaged.
    """
    folder = folder_of(output, seed)
    if not all((folder / name).is_file() for name in (CONFIG, HISTORY, "last.pt")):
        return False
    given = config.model_copy(update={"seed": seed, "output": str(folder)})
    same = (folder / CONFIG).read_text(encoding="utf-8") == dump_config(given)
    return same and checkpoint_facts(folder)["finished"] == "yes"
