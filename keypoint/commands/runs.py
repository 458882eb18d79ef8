"""Runs as separate processes, for --seeds and keypoint sweep.

A run is a training, perhaps followed by a test of its last.pt, in its own folder. Its state is read
from the folder alone, so it does not matter how it was started.
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
from keypoint.evaluation.runs.read import facts_in
from keypoint.files import read_json, sha256_of
from keypoint.training.resume import OTHERWISE, check_same_config
from keypoint.training.run_folder import finds_run

START = ("-m", "keypoint")
INTERRUPTED = 130
OF_ALL_RUNS = "give another output=, or train all runs again with --overwrite instead of --resume"
LAST = "last.pt"
POLL_S = 0.1  # a run takes at least minutes

Words = tuple[str, ...]  # a command after `keypoint`


class RunFailedError(KeypointError):
    """A run ended with an error, which it has reported; `exit_status` is that of the run."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.exit_status = status


@dataclass(frozen=True)
class Run:
    """A training and perhaps a test.

    Attributes:
        name: Name on the terminal.
        folder: Output folder.
        config: Config of the training.
        train: Arguments of keypoint train.
        test: Arguments of keypoint test; None for no test.
    """

    name: str
    folder: Path
    config: RunConfig
    train: Words
    test: Words | None = None

    def left(self) -> list[Words]:
        """Return the commands that are not finished.

        Raises:
            CheckpointError: The run's checkpoint is damaged.
        """
        if not is_trained(self):
            return self.all()
        return [] if self.test is None or is_tested(self) else [self.test]

    def all(self) -> list[Words]:
        """Return the commands of the run, in their order."""
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
        name: Name on the terminal.
        folder: Output folder.
        config: Config of the training; seed and output are replaced.
        cfg: --cfg of `keypoint train`.
        overrides: key=value arguments, without seed and output.
        seed: Seed of the training.
        test: Arguments of `keypoint test` after the checkpoint; None for no test.
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
    """Return the arguments of a test of last.pt; best.pt is chosen by the number compared."""
    return ("test", "--checkpoint", str(folder / LAST), *words)


def is_trained(run: Run) -> bool:
    """Return whether a folder contains this training, with this config, finished.

    Raises:
        CheckpointError: The checkpoint is damaged.
    """
    folder = run.folder
    if not all((folder / name).is_file() for name in (CONFIG, HISTORY, LAST)):
        return False
    # Parsed, not compared as text: a key added by a later version has its default in both.
    found, mistakes = try_load(type(run.config), folder / CONFIG)
    same = not mistakes and found == run.config
    return same and facts_in(folder)["finished"] == "yes"


def is_tested(run: Run) -> bool:
    """Return whether the last test in a folder was of its last.pt, analysed if required."""
    card = run.folder / CARD
    if not card.is_file() or sha256_of(run.folder / LAST) not in card.read_text(encoding="utf-8"):
        return False
    metrics = read_json(run.folder / METRICS, "metrics")
    return "--analyse" not in (run.test or ()) or "analysis" in metrics


def require_startable(runs: Sequence[Run], args: argparse.Namespace) -> None:
    """Check the folders of all runs before the first one starts.

    Args:
        runs: Runs that will be trained.
        args: With `resume`, `overwrite` and perhaps `allow_changed`.

    Raises:
        ConfigError: A folder contains a run, and neither --resume nor --overwrite is given.
        CheckpointError: It contains a run of another config, or a damaged one.
    """
    otherwise = OTHERWISE if hasattr(args, "allow_changed") else OF_ALL_RUNS
    for run in runs:
        found = finds_run(run.folder, resume=args.resume, overwrite=args.overwrite)
        if found and not getattr(args, "allow_changed", False):
            check_same_config(run.folder / LAST, run.config, otherwise=otherwise)


def shell_line(commands: Sequence[Words]) -> str:
    """Return commands as a line for a shell; a command starts if the previous one succeeded."""
    return " && ".join(shlex.join(["keypoint", *words]) for words in commands)


def start(words: Words, log: Path | None, threads: int | None) -> subprocess.Popen[bytes]:
    """Start a command.

    Args:
        words: Arguments after `keypoint`.
        log: File to which the output is appended; None for the terminal.
        threads: OMP_NUM_THREADS, unless the user has set it; None to leave it.
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
    """A run in progress."""

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
    """Run commands to their end; they are ended if this process is interrupted.

    Args:
        work: Runs, each with its commands in their order. If one fails, the rest are skipped.
        at_once: Runs at a time. If several, each gets its share of the cores, and its output is
            written to a file in its folder.
        begins: Called before a run, with its commands.
        ended: Called after a run, with the exit status of its last command; may raise.

    Raises:
        KeyboardInterrupt: A run was interrupted; Ctrl-C reaches all processes.
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
    """Ask processes to save their state and end, and wait for them."""
    for process in processes:
        process.terminate()
    for process in processes:
        while process.poll() is None:
            with contextlib.suppress(SystemExit):  # SIGTERM is raised again every few seconds
                process.wait()


def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def new_log(run: Run) -> Path:
    """Make an empty file in the run's folder for its output."""
    cli.make_folder(run.folder, "output")
    log = run.folder / LOG
    log.write_bytes(b"")
    return log


def last_words(log: Path) -> str:
    """Return the first line of the error in a log file, else its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["nothing"])[-1]
