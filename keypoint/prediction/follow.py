"""Persons of a video as one goes on in the next frame: ids, and smoothed keypoints.

Stands between the stream and what writes: both need the frames in order, and neither looks ahead,
so a camera is followed as it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.frames import Unread, VideoEnd
from keypoint.prediction.one_euro import OneEuro
from keypoint.prediction.stream import Predicted
from keypoint.prediction.tracking import SEEN, Tracker


def follow(
    events: Iterable[Predicted | Unread | VideoEnd], skeleton: Skeleton, *, smooth: bool
) -> Iterator[Predicted | Unread | VideoEnd]:
    """Give the persons of videos ids, from 1 in each video; images pass as they are.

    Args:
        events: Of `predict_stream`.
        skeleton: Of the keypoints.
        smooth: Also smooth the keypoints of each person over time.
    """
    tracker, filters = Tracker(skeleton.oks_sigmas), dict[int, OneEuro]()
    for event in events:
        if isinstance(event, VideoEnd):
            tracker, filters = Tracker(skeleton.oks_sigmas), {}
        elif isinstance(event, Predicted) and event.frame.number is not None:
            seconds = event.frame.seconds
            event.ids = tracker.update(seconds, event.keypoints, event.scores, event.boxes)
            if smooth:
                filters = {number: one for number, one in filters.items() if tracker.holds(number)}
                for person, number in enumerate(event.ids.tolist()):
                    event.keypoints[person] = filters.setdefault(number, OneEuro())(
                        seconds,
                        event.keypoints[person],
                        event.scores[person] > SEEN,
                        float(event.boxes[person, 2:].prod()) ** 0.5,
                    )
        yield event
