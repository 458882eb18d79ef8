"""Merge all shares into one output, equal to that of a single run; can be interrupted and repeated.

The results are made in `OUTPUT/shards/merged`, with links to the shares' pictures, and moved to the
output folder file by file. The shares are removed at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from keypoint.data.report import write_reports
from keypoint.errors import DataError, printable
from keypoint.files import make_folders
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.drawing import CROPS, PICTURES, writing
from keypoint.prediction.inputs.find import Input
from keypoint.prediction.job import Job
from keypoint.prediction.output import PredictOutput, remove_results
from keypoint.prediction.shares.folder import EVENTS, Shards
from keypoint.prediction.shares.stored import IncompleteError, Stored, stored_events
from keypoint.prediction.stream import Predicted

MERGED, LOG = "merged", "log.txt"
DRAWN = re.compile(f"({PICTURES}|{CROPS})/-?[0-9]+_([^/\0]*)")  # the number, and the rest


def merge(shards: Shards, job: Job, numbers: Sequence[int], skeleton: Skeleton) -> None:
    """Write the results of the whole run to the output folder, and remove the shares.

    Call it inside `shards.locked()`, when all shares are done. Existing results are replaced.

    Args:
        shards: The shares' folders.
        job: The whole job; the events are counted in its `counts`.
        numbers: Number of each input's share, from `split_inputs`.
        skeleton: Skeleton of the keypoints.

    Raises:
        ConfigError: A file cannot be written.
        DataError: A share is damaged.
    """
    merged = shards.folder / MERGED
    with writing(merged):
        if merged.exists():  # of an interrupted merge
            shutil.rmtree(merged)
        merged.mkdir()
    with PredictOutput(merged, skeleton, category_id=job.category_id) as results:
        for folder, old, new in _all_events(shards, job.inputs, numbers, skeleton.num_keypoints):
            job.counts.add(new.event)
            if isinstance(new.event, Predicted):
                for name, new_name in zip(_drawn(old), _drawn(new), strict=True):
                    with writing(merged / new_name):
                        _link(folder / name, merged / new_name)
                results.write(new.event, new.picture, new.crops)
        if job.counts.files_used:
            results.finish()
    with writing(shards.output):
        remove_results(shards.output)
        shards.publishing.touch()
        for file in sorted(each for each in merged.rglob("*") if each.is_file()):
            target = shards.output / file.relative_to(merged)
            make_folders(target.parent)
            file.replace(target)
    write_reports(shards.output, **job.counts.reports())
    with writing(shards.output / LOG), (shards.output / LOG).open("ab") as log:
        for number in range(1, shards.of + 1):
            with contextlib.suppress(FileNotFoundError):
                log.write((shards.of_share(number) / LOG).read_bytes())
    shutil.rmtree(shards.folder, ignore_errors=True)


def _all_events(
    shards: Shards, inputs: Sequence[Input], numbers: Sequence[int], num_keypoints: int
) -> Iterator[tuple[Path, Stored, Stored]]:
    """Yield all events in the order of the inputs: the folder, the event as stored, and renumbered.

    Images and frames are numbered as by `read_inputs` in a single run.

    Raises:
        DataError: A share is damaged.
    """
    ids = itertools.count(1)
    with contextlib.ExitStack() as opened:
        files = {
            number: opened.enter_context((shards.of_share(number) / EVENTS).open("rb"))
            for number in range(1, shards.of + 1)
        }
        for one, number in zip(inputs, numbers, strict=True):
            folder = shards.of_share(number)
            try:
                first = None
                for stored in stored_events(files[number], one, num_keypoints):
                    if isinstance(stored.event, Predicted) or not one.is_video:
                        image_id = next(ids)  # a broken image also has a number
                        image_id = image_id if one.image_id is None else one.image_id
                        first = image_id if first is None else first
                        yield folder, stored, _numbered(stored, image_id, first)
                    else:
                        yield folder, stored, stored
            except IncompleteError as error:
                raise _damaged(folder, str(error)) from None
        for number, file in files.items():
            if file.readline():
                raise _damaged(shards.of_share(number), "too many lines for its inputs")


def _numbered(stored: Stored, image_id: int, first: int) -> Stored:
    """Number a frame and its pictures; a drawn video has the number of its first frame."""
    event = stored.event
    if not isinstance(event, Predicted):
        return stored
    return Stored(
        replace(event, frame=replace(event.frame, image_id=image_id)),
        None if stored.picture is None else _renamed(stored.picture, first),
        [_renamed(name, image_id) for name in stored.crops],
    )


def _renamed(name: str, number: int) -> str:
    match = DRAWN.fullmatch(name)
    if match is None:
        raise IncompleteError(f"a picture named {name!r}")
    return f"{match[1]}/{number:06d}_{match[2]}"


def _drawn(stored: Stored) -> list[str]:
    """Return the names of all pictures of a frame."""
    return [*([] if stored.picture is None else [stored.picture]), *stored.crops]


def _link(file: Path, target: Path) -> None:
    """Link a file; copy it if the file system has no links."""
    if target.exists():  # the video of the frame before
        return
    make_folders(target.parent)
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


def _damaged(folder: Path, why: str) -> DataError:
    return DataError(
        f"{printable(folder)}: this share is damaged ({printable(why)}); remove this folder and "
        "run the command of the share again; the other shares are kept"
    )
