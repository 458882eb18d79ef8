"""Shares of keypoint predict: --shard, and the processes of torchrun."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keypoint import processes
from keypoint.commands import cli
from keypoint.data.person_crops import CropPredictor
from keypoint.errors import ConfigError
from keypoint.prediction.inputs.find import Inputs
from keypoint.prediction.job import Job
from keypoint.prediction.run import require_no_faults
from keypoint.prediction.shares.folder import Shards
from keypoint.prediction.shares.identity import file_sizes, identify
from keypoint.prediction.shares.split import Share, parse_share, split_inputs
from keypoint.prediction.shares.work import do_share, merge_if_last, require_none_lost

# Options in which the shares of a run may differ; all others change the results.
MAY_DIFFER = (
    "inputs", "output", "overwrite", "shard", "device", "threads", "batch_size", "compile", "debug",
    "weights",  # found, they are the checkpoint
)  # fmt: skip


def chosen_share(given: Share | None) -> Share | None:
    """Return the share of this process, from --shard or torchrun; None without either.

    Raises:
        ConfigError: Both give one.
    """
    place = processes.place()
    if place is None:
        return given
    if given:
        raise ConfigError(
            f"--shard {given.number}/{given.of}: torchrun already gives a share to each of its "
            f"{place[1]} processes; leave out --shard or torchrun"
        )
    return parse_share(f"{place[0] + 1}/{place[1]}")


def log_share(args: argparse.Namespace, share: Share) -> None:
    """Send messages to the share's log.txt and to the terminal, which shares may have in common."""
    cli.log_to(Shards(args.output, share.of).of_share(share.number), _is_quiet(args, share))


def predict_share(
    args: argparse.Namespace,
    inputs: Inputs,
    share: Share,
    job: Job,
    predictor: CropPredictor,
    drawing: dict[str, bool],
    how: dict[str, Any],
) -> None:
    """Predict one share of the inputs, and merge all shares if it finishes last.

    Args:
        args: Arguments of the command.
        inputs: All inputs.
        share: The share.
        job: The whole job.
        predictor: Finds the keypoints.
        drawing: Arguments of `ShareOutput`.
        how: Further arguments of `run.predict`.
    """
    shards, quiet = Shards(args.output, share.of), _is_quiet(args, share)
    sizes = file_sizes(job.inputs)
    numbers = split_inputs(job.inputs, sizes, share.of)

    def begun() -> None:
        if args.shard is None:
            from keypoint import distributed

            # All start before one merges: a late one would find results that it must not replace.
            distributed.initialise(args.device)
            distributed.gather(share.number)
            distributed.finish()
        cli.keep_log()
        for fault in inputs.faults if share.number == 1 else ():
            cli.logger.warning("%s", fault.text)

    was_missing = do_share(
        shards,
        share,
        job,
        numbers,
        predictor,
        run=identify(job.inputs, sizes, decisive(args)),
        overwrite=args.overwrite,
        drawing=drawing,
        how=how | {"shows_progress": not quiet},
        begun=begun,
    )
    has_merged = merge_if_last(
        shards,
        share,
        job,
        numbers,
        predictor.skeleton,
        overwrite=args.overwrite,
        before=lambda: cli.log_to(args.output, quiet),  # closes the share's log
    )
    if has_merged:
        cli.keep_log()
        cli.print_result(job.counts.summary())
        require_no_faults(job.counts, args.output)
    elif args.shard and not was_missing:  # torchrun watches its processes itself
        require_none_lost(shards)


def decisive(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that change the results; paths are replaced by their file's content."""
    options = {name: value for name, value in vars(args).items() if name not in MAY_DIFFER}
    named = args.detector or ""  # NAME, FILE or NAME:FILE
    for part in (named, named.partition(":")[2]):
        if part and Path(part).is_file():
            options["detector"] = Path(part)
    return options


def _is_quiet(args: argparse.Namespace, share: Share) -> bool:
    """Return whether another process on this terminal prints the common messages."""
    return args.shard is None and share.number > 1
