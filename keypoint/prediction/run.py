"""The loop of a prediction: read, predict, write and count every event, until a signal arrives."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Protocol

from keypoint.data.person_crops import CropPredictor
from keypoint.errors import DataError, KeypointError
from keypoint.prediction.counts import PredictCounts
from keypoint.prediction.inputs.frames import Event, Unread, VideoEnd, count_frames, read_inputs
from keypoint.prediction.job import Job
from keypoint.prediction.stream import Predicted, predict_stream
from keypoint.prediction.tracking import follow
from keypoint.progress import progress
from keypoint.training.stop_signal import StopSignal

DETECTOR_IMAGES = 4  # at a time, if they have equal sizes
SHOWN = 3  # faults repeated in the last message; all were logged when they occurred

logger = logging.getLogger(__name__)


class Output(Protocol):
    """Receives the events; `PredictOutput` or `ShareOutput`."""

    @property
    def kept(self) -> str:
        """Message about the results of an interrupted run."""

    def take(self, event: Predicted | Unread | VideoEnd) -> None:
        """Write one event."""

    def end_video(self) -> None:
        """Complete the video that is being drawn."""


def predict(
    job: Job,
    predictor: CropPredictor,
    results: Output,
    *,
    threads: int,
    batch_size: int,
    pictures: bool = False,
    crops: bool = False,
    track: bool = False,
    smooth: bool = False,
    shows_progress: bool = True,
    first: int = 1,
) -> int | None:
    """Read, predict, write and count everything.

    Args:
        job: Inputs, source of the boxes, counts.
        predictor: Finds the keypoints.
        results: Receives each event.
        threads: Threads that decode images.
        batch_size: Persons at a time.
        pictures: Frames keep their images, to draw on.
        crops: Results keep the persons' crops and heatmaps.
        track: Number persons through a video.
        smooth: Like `track`, and smooth the keypoints over time.
        shows_progress: Show a progress bar.
        first: Number of the first image or frame.

    Returns:
        The signal that ended a camera, or None.

    Raises:
        KeypointError: A signal ended a run on files; `exit_status` is that of the signal.
    """
    begin = time.perf_counter()
    live = any(one.camera is not None for one in job.inputs)
    total = count_frames(job.inputs) if shows_progress else None
    with (
        StopSignal("stopping after this image") as stop,
        closing(read_inputs(job.inputs, threads, lambda: stop.number is not None, first)) as events,
        progress(total, "predict", "image", shows_progress) as bar,
    ):
        is_cut = False

        def taken() -> Iterator[Event]:
            """End at a signal; count images when taken, as results may wait for a full batch."""
            nonlocal is_cut
            for event in events:
                is_cut = stop.number is not None and not live
                if is_cut:
                    return
                yield event
                if isinstance(event, VideoEnd):
                    bar.update(max(0, event.claimed - event.read))
                else:
                    bar.update(1)

        found = predict_stream(
            taken(),
            job.find_persons,
            predictor,
            batch_size=batch_size,
            group_size=DETECTOR_IMAGES,
            keep_images=pictures,
            keep_crops=crops,
            live=live,
        )
        if track or smooth:
            found = follow(found, predictor.skeleton, smooth=smooth)
        for event in found:
            fault = job.counts.add(event)
            if fault:
                logger.warning("%s", fault.text)
            results.take(event)
            rate = job.counts.persons / (time.perf_counter() - begin)
            bar.set_postfix(**{"persons/s": f"{rate:.3g}"})
        if is_cut and stop.number is not None:
            results.end_video()  # records.jsonl names it
            raise stopped(stop.number, results.kept)
    return stop.number


def stopped(number: int, kept: str) -> KeypointError:
    """Make the error that ends a run after a signal; its exit status is that of the signal."""
    error = KeypointError(f"stopped by {signal.Signals(number).name}; {kept}")
    error.exit_status = 128 + number
    return error


def require_no_faults(counts: PredictCounts, output: object) -> None:
    """Report the files that could not be used, or not completely.

    Args:
        counts: Counts of a finished run.
        output: Output folder, for the message.

    Raises:
        DataError: There are such files; names the first of them.
    """
    if not counts.faults:
        return
    shown = "; ".join(fault.text for fault in counts.faults[:SHOWN])
    more = f"; and {len(counts.faults) - SHOWN} more" if len(counts.faults) > SHOWN else ""
    done = (
        f"the results of the others are in {output}"
        if counts.files_used
        else "there are no results"
    )
    raise DataError(
        f"{len(counts.faults)} of {counts.files} files could not be used, or not completely: "
        f"{shown}{more}\n  {done}; data_report.json lists all"
    )
