"""Runs as processes of their own, as if each had been typed: what --seeds and keypoint sweep start.

A run is a training and, after it, perhaps a test of its last.pt, in a folder of its own. What is
done can be seen in the folder alone, whoever started it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keypoint.commands import cli
from keypoint.commands.options.sweep import LOG
from keypoint.config.fields import RunConfig
from keypoint.config.load import try_load
from keypoint.errors import KeypointError
from keypoint.evaluation.runs.files import CARD, CONFIG, HISTORY, METRICS
from keypoint.evaluation.runs.read import checkpoint_facts
from keypoint.files import read_json, sha256_of
from keypoint.training.resume import check_same_config
from keypoint.training.run_folder import finds_run

START = ("-m", "keypoint")
INTERRUPTED = 130
LAST = "last.pt"
POLL_S = 0.1  # a run takes minutes at least

Words = tuple[str, ...]  # a command after `keypoint`


class RunFailedError(KeypointError):
    """A run ended with an error, which it has reported; has its exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.exit_status = status


@dataclass(frozen=True)
class Run:
    """A training, and a test.

    Attributes:
        name: For the terminal.
        folder: Its output.
        config: Of the training.
        train: Words of the training.
        test: Words of the test; None for none.
    """

    name: str
    folder: Path
    config: RunConfig
    train: Words
    test: Words | None = None

    def left(self) -> list[Words]:
        """The commands that are not done.

        Raises:
            CheckpointError: Its checkpoint is damaged.
        """
        if not is_trained(self):
            return self.all()
        return [] if self.test is None or is_tested(self) else [self.test]

    def all(self) -> list[Words]:
        """Its commands, one after the other."""
        return [self.train, *([] if self.test is None else [self.test])]


def make_run(
    args: argparse.Namespace,
    name: str,
    folder: Path,
    config: RunConfig,
    *,
    cfg: str,
    overrides: Sequence[str],
    seed: int,
    test: Sequence[str] | None = None,
) -> Run:
    """Make the run of a config and a seed.

    Args:
        args: With `resume`, `overwrite`, `device` and perhaps `allow_changed`.
        name: For the terminal.
        folder: Its output.
        config: Of the training, but for seed and output.
        cfg: As `keypoint train` takes it.
        overrides: Without seed and output.
        seed: Of the training.
        test: Words of `keypoint test` after the checkpoint; None for no test.
    """
    device = [] if args.device is None else ["--device", args.device]
    options = [
        f"--{option.replace('_', '-')}"
        for option in ("resume", "allow_changed", "overwrite")
        if getattr(args, option, False)
    ]
    config = config.model_copy(update={"seed": seed, "output": str(folder)})
    keys = [*overrides, f"seed={seed}", f"output={folder}"]
    train = ("train", "--cfg", cfg, *keys, *options, *device)
    if test is None:
        return Run(name, folder, config, train)
    return Run(name, folder, config, train, test_words(folder, [*test, *device]))


def test_words(folder: Path, words: Sequence[str]) -> Words:
    """The words of a test of the last epoch: the best one was chosen by the number compared."""
    return ("test", "--checkpoint", str(folder / LAST), *words)


def is_trained(run: Run) -> bool:
    """Whether a folder holds this training, with this config, at its end.

    Raises:
        CheckpointError: Its checkpoint is damaged.
    """
    folder = run.folder
    if not all((folder / name).is_file() for name in (CONFIG, HISTORY, LAST)):
        return False
    # Not as text: a key that a later version has added is the default in both.
    found, mistakes = try_load(type(run.config), folder / CONFIG)
    same = not mistakes and found == run.config
    return same and checkpoint_facts(folder)["finished"] == "yes"


def is_tested(run: Run) -> bool:
    """Whether the last test in a folder was one of its last.pt, analysed if that is asked for."""
    card = run.folder / CARD
    if not card.is_file() or sha256_of(run.folder / LAST) not in card.read_text(encoding="utf-8"):
        return False
    metrics = read_json(run.folder / METRICS, "metrics")
    return "--analyse" not in (run.test or ()) or "analysis" in metrics


def require_startable(runs: Sequence[Run], args: argparse.Namespace) -> None:
    """Check the folders of all runs before the first one begins.

    Args:
        runs: Those that are to be trained.
        args: With `resume`, `overwrite` and perhaps `allow_changed`.

    Raises:
        ConfigError: A folder holds a run that the options do not deal with.
        CheckpointError: It holds a run of another config, or a damaged one.
    """
    for run in runs:
        found = finds_run(run.folder, resume=args.resume, overwrite=args.overwrite)
        if found and not getattr(args, "allow_changed", False):
            check_same_config(run.folder / LAST, run.config)


def shell_line(commands: Sequence[Words]) -> str:
    """Commands as a line for a shell; the next one begins if the one before it ended well."""
    return " && ".join(shlex.join(["keypoint", *words]) for words in commands)


def start(words: Words, log: Path | None, threads: int | None) -> subprocess.Popen[bytes]:
    """Start a command.

    Args:
        words: After `keypoint`.
        log: Gets what it prints, at the file's end; None for the terminal.
        threads: For OMP_NUM_THREADS, unless the user has set it; None to leave it.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    command = [sys.executable, *START, *words]
    if log is None:
        return subprocess.Popen(command, env=environment)  # noqa: S603 (our own command, no shell)
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 (our own command, no shell)
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@dataclass
class _Job:
    """A run under way."""

    run: Run
    left: list[Words]
    log: Path | None
    process: subprocess.Popen[bytes] | None = None


def carry_out(
    work: Sequence[tuple[Run, list[Words]]],
    *,
    at_once: int = 1,
    begins: Callable[[Run, Sequence[Words]], None],
    ended: Callable[[Run, int], None],
) -> None:
    """Run commands to their end; they end with this process, however that is interrupted.

    Args:
        work: Runs, each with its commands in their order; after one that fails the rest are left.
        at_once: Runs at a time. With several each gets its share of the cores, and what it prints
            goes to a file in its folder.
        begins: Called before a run, with its commands.
        ended: Called after a run, with the exit status of its last command; may raise.

    Raises:
        KeyboardInterrupt: A run was interrupted, as this process is at the same time.
    """
    waiting = list(work)
    running: list[_Job] = []
    threads = max(1, cores() // min(at_once, len(work) or 1)) if at_once > 1 else None
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                run, commands = waiting.pop(0)
                begins(run, commands)
                log = new_log(run) if at_once > 1 else None
                running.append(_Job(run, list(commands), log))
            for job in list(running):
                status = 0 if job.process is None else job.process.poll()
                if status in (INTERRUPTED, -2):
                    raise KeyboardInterrupt
                if status == 0 and job.left:
                    job.process = start(job.left.pop(0), job.log, threads)
                elif status is not None:
                    running.remove(job)
                    ended(job.run, status if status >= 0 else 128 - status)
            if running:
                time.sleep(POLL_S)
    except BaseException:
        _stop([job.process for job in running if job.process is not None])
        raise


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, which save what they have, and wait for them."""
    for process in processes:
        process.terminate()
    for process in processes:
        while process.poll() is None:
            with contextlib.suppress(SystemExit):  # SIGTERM is raised again every few seconds
                process.wait()


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def new_log(run: Run) -> Path:
    """An empty file in the run's folder for what it prints."""
    cli.make_folder(run.folder, "output")
    log = run.folder / LOG
    log.write_bytes(b"")
    return log


def last_words(log: Path) -> str:
    """What the command in a log file said last: its error's first line, else its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["nothing"])[-1]
