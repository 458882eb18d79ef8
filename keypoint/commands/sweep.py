"""Train and test a grid of configs with several seeds: keypoint sweep FILE.yaml [key=value ...].

Each run is a training and a test in OUTPUT/POINT/seedN. At the end all points are compared with the
first.
"""

from __future__ import annotations

import argparse
import heapq
import signal
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from keypoint.action.config import ActionConfig
from keypoint.commands import cli, compare, runs
from keypoint.commands.options.sweep import LOG, parse
from keypoint.commands.process import refuse_torchrun
from keypoint.commands.runs import Run, RunFailedError
from keypoint.commands.task import options_of
from keypoint.config.fields import RunConfig
from keypoint.config.load import Config, find_config, override_as, task_of
from keypoint.config.sweep import Sweep, check_points, read_sweep
from keypoint.errors import ConfigError, KeypointError
from keypoint.evaluation.runs.group import deciding_config


class SweepStoppedError(KeypointError):
    """Ctrl-C or SIGTERM ended a sweep; `exit_status` is that of the signal."""

    def __init__(self, done: int, total: int, stopped: KeyboardInterrupt | SystemExit) -> None:
        super().__init__(f"stopped: {done} of {total} runs are done; --resume continues")
        by_user = isinstance(stopped, KeyboardInterrupt)
        self.exit_status = 128 + (signal.SIGINT if by_user else signal.SIGTERM)


def main(argv: Sequence[str]) -> None:
    """Parse, check, run, compare."""
    args = parse(argv)
    check_options(args)
    sweep = read_sweep(find_config(args.file), args.overrides)
    points = make_runs(args, sweep)
    all_runs = [run for of_point in points.values() for run in of_point]
    if args.dry_run:
        work = [(run, run.all() if args.overwrite else run.left()) for run in all_runs]
        require_startable(work, args)
        for _, commands in work:
            if commands:
                print(runs.shell_line(commands))
        return
    work = [(run, run.left() if args.resume else run.all()) for run in all_runs]
    require_startable(work, args)
    compare.require_free(sweep.output, args.resume or args.overwrite, "output=")
    cli.log_to()
    carry_out(work, args.jobs)
    names = {run.name: point for point, of_point in points.items() for run in of_point}
    text, files = compare.tables({run.name: run.folder for run in all_runs}, called=names)
    print(text)
    compare.write(files, sweep.output)


def check_options(args: argparse.Namespace) -> None:
    """Check that the options do not contradict each other.

    Raises:
        ConfigError: They do.
    """
    if args.resume and args.overwrite:
        raise ConfigError("--resume continues runs, --overwrite starts over; give one of them")
    if args.dry_run and args.jobs > 1:
        raise ConfigError("--jobs has no effect with --dry-run, which starts no run")
    refuse_torchrun("keypoint sweep")


def make_runs(args: argparse.Namespace, sweep: Sweep) -> dict[str, list[Run]]:
    """Return the runs of each point by its name, the base first.

    Raises:
        ConfigError: A config or an option of the test is wrong; names every mistake.
    """
    task = task_of(find_config(sweep.cfg))
    configs = check_points(sweep, ActionConfig if task == "action" else Config)
    require_different(sweep, configs)
    check_test(sweep, task, configs[sweep.points[0].name])
    return {
        point.name: [
            runs.make_run(
                args,
                f"{point.name}/seed{seed}",
                sweep.output / point.name / f"seed{seed}",
                configs[point.name],
                cfg=sweep.cfg,
                overrides=point.overrides,
                seed=seed,
                test=sweep.test,
            )
            for seed in sweep.seeds
        ]
        for point in sweep.points
    }


def require_different(sweep: Sweep, configs: Mapping[str, RunConfig]) -> None:
    """Refuse two points with the same training.

    Raises:
        ConfigError: Two points train the same network in the same way.
    """
    seen: list[tuple[str, object]] = []
    for name, config in configs.items():
        decides = deciding_config(config.to_dict())
        same = [other for other, theirs in seen if theirs == decides]
        if same:
            raise ConfigError(
                f"{sweep.path}: the points {same[0]} and {name} train the same network in the same "
                "way; points differ in keys that change the training (test.*, data.root, "
                "data.workers and what is logged or saved do not)"
            )
        seen.append((name, decides))


def check_test(sweep: Sweep, task: str, config: RunConfig) -> None:
    """Refuse options of the test that keypoint test would refuse, and those the sweep sets.

    Args:
        sweep: The sweep.
        task: Task of its runs.
        config: Config of one of its runs.

    Raises:
        ConfigError: An option is refused.
    """
    parser = options_of("test", task).make_parser()
    _, *words = runs.test_words(sweep.output, sweep.test)
    why = cli.why_refused(parser, words)
    if why is None:
        given = parser.parse_intermixed_args(words)
        own = ["--checkpoint", "--weights", "--cfg", "--device"]
        typed = [word.partition("=")[0] for word in sweep.test]
        taken = [word for word in typed if word in (*own, "output")]
        if taken:
            why = f"{taken[0]} is set by keypoint sweep; leave it out"
        elif len(getattr(given, "boxes", None) or []) > 1:
            why = "--boxes is given twice, but only one kind of boxes can be compared; give one"
        else:
            try:
                override_as(config, given.overrides)
            except ConfigError as error:
                why = str(error)
    if why is not None:
        raise ConfigError(f"{sweep.path}: test: {why}")


def require_startable(
    work: Sequence[tuple[Run, Sequence[runs.Words]]], args: argparse.Namespace
) -> None:
    """Call `runs.require_startable` on the runs that will be trained."""
    runs.require_startable([run for run, commands in work if run.train in commands], args)


def carry_out(work: Sequence[tuple[Run, list[runs.Words]]], jobs: int) -> None:
    """Run what is not finished; a run that fails is reported, and the others continue.

    Raises:
        RunFailedError: Runs failed; `exit_status` is that of the first.
        SweepStoppedError: Ctrl-C or SIGTERM ended the sweep.
    """
    left = [(run, commands) for run, commands in work if commands]
    failed: list[tuple[str, int]] = []
    began: dict[str, float] = {}  # of the runs in progress, by name
    took: list[float] = []
    waiting = len(left)

    def begins(run: Run, _: Sequence[runs.Words]) -> None:
        nonlocal waiting
        waiting -= 1
        began[run.name] = time.perf_counter()
        cli.logger.info("%s: %s", run.name, run.folder)

    def ended(run: Run, status: int) -> None:
        now = time.perf_counter()
        seconds = now - began.pop(run.name)
        over = len(work) - waiting - len(began)
        if not status:
            took.append(seconds)
            to_go = seconds_to_go(took, [now - each for each in began.values()], waiting, jobs)
            runs_done = f"{over} of {len(work)} runs, {tqdm.format_interval(to_go)} to go"
            cli.logger.info("%s: done, %s (%s)", run.name, run.folder, runs_done)
            return
        failed.append((run.name, status))
        said = "its error is above"
        if jobs > 1:
            log = run.folder / LOG
            said = f"{log}: {runs.last_words(log)}"
        cli.logger.warning("%s: ended with status %d, %s", run.name, status, said)

    try:
        runs.carry_out(left, at_once=jobs, begins=begins, ended=ended)
    except (KeyboardInterrupt, SystemExit) as stopped:
        done = len(work) - len(left) + len(took)
        raise SweepStoppedError(done, len(work), stopped) from None
    if failed:
        names = ", ".join(name for name, _ in failed)
        raise RunFailedError(
            f"{len(failed)} of {len(work)} runs failed, so there is no table: {names}; continue "
            "them with --resume",
            failed[0][1],
        )


def seconds_to_go(
    took: Sequence[float], running: Sequence[float], waiting: int, jobs: int
) -> float:
    """Estimate the time until all runs have ended, if each takes as long as the mean so far.

    Args:
        took: Seconds of each run that has ended; at least one.
        running: Seconds since the start of each run in progress.
        waiting: Number of runs that have not started.
        jobs: Runs at a time.
    """
    mean = sum(took) / len(took)
    free = [max(0.0, mean - seconds) for seconds in running]  # until a job is free
    free += [0.0] * (jobs - len(free))
    heapq.heapify(free)
    for _ in range(waiting):
        heapq.heapreplace(free, free[0] + mean)
    return max(free)
