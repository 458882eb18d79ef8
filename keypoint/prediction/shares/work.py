"""Work on a share: start or continue it, predict it, and merge if it is the last one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from keypoint.data.person_crops import CropPredictor
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.counts import PredictCounts
from keypoint.prediction.inputs.find import Inputs
from keypoint.prediction.job import Job
from keypoint.prediction.output import require_free
from keypoint.prediction.run import predict
from keypoint.prediction.shares.folder import Shards, continue_share, numbers_in_words
from keypoint.prediction.shares.identity import Identity
from keypoint.prediction.shares.merge import merge
from keypoint.prediction.shares.output import ShareOutput
from keypoint.prediction.shares.split import Share

logger = logging.getLogger(__name__)


def do_share(
    shards: Shards,
    share: Share,
    job: Job,
    numbers: Sequence[int],
    predictor: CropPredictor,
    *,
    run: Identity,
    overwrite: bool,
    drawing: Mapping[str, bool],
    how: Mapping[str, Any],
    begun: Callable[[], None],
) -> bool:
    """Predict a share, or the rest of it.

    Args:
        shards: The shares' folders.
        share: The share.
        job: The whole job.
        numbers: Number of each input's share, from `split_inputs`.
        predictor: Finds the keypoints.
        run: Values from `identify`.
        overwrite: Discard the share's results so far.
        drawing: Arguments of `ShareOutput`.
        how: Arguments of `predict`.
        begun: Called once this process has locked the share and the command is not refused.

    Returns:
        Whether the share was unfinished.

    Raises:
        ConfigError: There are results, another process works on this share, or the folder contains
            shares of another run.
        KeypointError: A signal arrived; the next call continues.
    """
    inputs = [
        one for one, number in zip(job.inputs, numbers, strict=True) if number == share.number
    ]
    folder, skeleton = shards.of_share(share.number), predictor.skeleton
    with ExitStack() as work:
        with shards.locked():
            require_unmerged(shards, overwrite)
            work.enter_context(shards.taken(share, run, overwrite))
        begun()
        if shards.is_done(share.number):
            logger.info("%s is already done; give --overwrite to repeat it", share)
            return False
        done, numbered = continue_share(folder, inputs, skeleton.num_keypoints)
        if done:
            logger.info("%s continues after %d of %d inputs", share, done, len(inputs))
        part = Job(
            inputs[done:],
            job.find_persons,
            # Logs faults when they occur; the merge counts for the whole job.
            PredictCounts(job.counts.source, Inputs(), persons=job.counts.records),
            job.category_id,
        )
        with ShareOutput(folder, share, skeleton, **drawing) as results:
            predict(part, predictor, results, **how, first=numbered + 1)
            results.finish(len(inputs))
        logger.info("%s is done (%d of %d inputs)", share, len(inputs), len(job.inputs))
    return True


def merge_if_last(
    shards: Shards,
    share: Share,
    job: Job,
    numbers: Sequence[int],
    skeleton: Skeleton,
    *,
    overwrite: bool,
    before: Callable[[], None],
) -> bool:
    """Merge all shares if all are done; otherwise log what is missing.

    Args:
        shards: The shares' folders.
        share: The share of this process, which is done.
        job: The whole job; the events are counted in its `counts`.
        numbers: Number of each input's share.
        skeleton: Skeleton of the keypoints.
        overwrite: Existing results may be replaced.
        before: Called before the merge, which removes the folder of the share.

    Returns:
        Whether this process merged.

    Raises:
        ConfigError: There are results, or a file cannot be written.
        DataError: A share is damaged.
    """
    with shards.locked():
        if not shards.is_done(share.number):
            logger.info("%s: all shares are merged, by the process that finished last", share)
            return False
        missing = numbers_in_words(shards.states())
        if missing:
            logger.info("%s: results are written when the last share is done; %s", share, missing)
            return False
        require_unmerged(shards, overwrite)
        before()
        merge(shards, job, numbers, skeleton)
    return True


def require_unmerged(shards: Shards, overwrite: bool) -> None:
    """Check that results in the output folder may be replaced; those of an unfinished merge may.

    Raises:
        ConfigError: They may not.
    """
    if not shards.publishing.exists():
        require_free(shards.output, overwrite, [])


def require_none_lost(shards: Shards) -> None:
    """Report missing shares that no process is working on, if this share was already done.

    Raises:
        DataError: There are such shares.
    """
    if not shards.folder.exists():
        return
    states = shards.states()
    lost = {
        state: numbers for state, numbers in states.items() if state in ("stopped", "not started")
    }
    if lost:
        first = min(number for numbers in lost.values() for number in numbers)
        raise DataError(
            f"--output {shards.output}: {sum(map(len, lost.values()))} of {shards.of} shares are "
            f"missing and not running ({numbers_in_words(lost)}); run their commands (--shard "
            f"{first}/{shards.of}); finished work is kept"
        )
