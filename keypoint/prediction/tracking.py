"""Persons of a video over time: ids from frame to frame, and smoothed keypoints.

Ids: the greedy matching of Xiao et al. 2018 (Simple Baselines, section 3.3) with OKS as the
similarity, but without optical flow: a person is looked for where the last frame had them.
Different here: only keypoints with a high score in both frames count (a hidden wrist may be
anywhere), and a person who was hidden for a while gets the old id back.

Smoothing: the One Euro filter of Casiez, Roussel, Vogel, CHI 2012, a low-pass filter whose cut-off
rises with speed: fc = min_cutoff + beta |speed|. Different here: speed is measured in two
dimensions, and in sizes of the person a second, so one setting works at any resolution.

No frame is looked at ahead of time, so a camera is followed as it runs. Keypoints are in the
image's frame, in pixels. Letters: P persons, T tracks, K keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.frames import Unread, VideoEnd
from keypoint.prediction.stream import Predicted

Floats = NDArray[np.float64]

# Least OKS of two poses of one person. With COCO's sigmas and a box a third as wide as high that is
# a move of 0.15 of the height from one frame to the next: 7 m/s at 30 frames a second.
SIMILAR = 0.2
PATIENCE_S = 1.0  # time for which a hidden person keeps an id
SEEN = 0.2  # keypoint score above which a keypoint counts, as in evaluation

MIN_CUTOFF = 1.0  # Hz, of a keypoint at rest
BETA = 5.0  # Hz for each size of the person a second
SPEED_CUTOFF = 1.0  # Hz, of the speed itself; the paper's


def follow(
    events: Iterable[Predicted | Unread | VideoEnd], skeleton: Skeleton, *, smooth: bool
) -> Iterator[Predicted | Unread | VideoEnd]:
    """Give the persons of videos ids, from 1 in each video; images pass unchanged.

    Args:
        events: From `predict_stream`.
        skeleton: Skeleton of the keypoints.
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


@dataclass
class _Track:
    number: int
    seconds: float
    keypoints: Floats  # K 2
    seen: NDArray[np.bool_]  # K
    area: float


class Tracker:
    """Ids of the persons of one video, frame after frame.

    A track ends `PATIENCE_S` after its last person; one of the last frame continues however long
    ago that frame was.

    Args:
        oks_sigmas: (K,) of the skeleton: how exact each keypoint is.
    """

    def __init__(self, oks_sigmas: Sequence[float]) -> None:
        self.variances = (2 * np.asarray(oks_sigmas, dtype=np.float64)) ** 2  # K
        self._tracks: list[_Track] = []
        self._last = 0
        self._seconds = 0.0

    def update(
        self, seconds: float, keypoints: Floats, scores: Floats, boxes_xywh: Floats
    ) -> NDArray[np.int64]:
        """Return the ids of the persons of the next frame.

        Args:
            seconds: Time of the frame, not before that of the last call.
            keypoints: (P, K, 2), finite.
            scores: (P, K).
            boxes_xywh: (P, 4); the area scales the similarity.

        Returns:
            (P,) from 1, each once; a person unlike all tracks has a new one.
        """
        since = min(self._seconds, seconds - PATIENCE_S)
        self._tracks = [track for track in self._tracks if track.seconds >= since]
        self._seconds = seconds
        areas = boxes_xywh[:, 2:].prod(axis=1)
        similarity = self._similarity(keypoints, scores > SEEN, areas)  # P T
        owner: dict[int, _Track] = {}
        while similarity.size and similarity.max() >= SIMILAR:
            row, column = np.unravel_index(similarity.argmax(), similarity.shape)
            owner[int(row)] = self._tracks[column]
            similarity[row], similarity[:, column] = -1, -1
        ids = np.zeros(len(keypoints), np.int64)
        for person, points in enumerate(keypoints):
            if person in owner:
                number = owner[person].number
                self._tracks.remove(owner[person])
            else:
                self._last += 1
                number = self._last
            seen = scores[person] > SEEN
            self._tracks.append(_Track(number, seconds, points.copy(), seen, float(areas[person])))
            ids[person] = number
        return ids

    def holds(self, number: int) -> bool:
        """Whether a later frame may have this id again."""
        return any(track.number == number for track in self._tracks)

    def _similarity(
        self, keypoints: Floats, seen: NDArray[np.bool_], areas: Floats
    ) -> NDArray[np.float64]:
        """(P, T) OKS over the keypoints that both have; 0 if there is none."""
        if not self._tracks:
            return np.zeros((len(keypoints), 0))
        before = np.stack([t.keypoints for t in self._tracks])  # T K 2
        both = seen[:, None] & np.stack([t.seen for t in self._tracks])  # P T K
        area = (areas[:, None] + np.array([t.area for t in self._tracks])) / 2  # P T
        squared = ((keypoints[:, None] - before) ** 2).sum(axis=3)  # P T K
        alike = np.exp(-squared / (2 * area[..., None] * self.variances))
        return np.asarray((alike * both).sum(axis=2) / np.maximum(both.sum(axis=2), 1))


class OneEuro:
    """Smooths the keypoints of one person."""

    def __init__(self) -> None:
        self._seconds = -math.inf
        self._known = np.zeros(0, np.bool_)  # K, whether the last frame had the keypoint
        self._raw = self._smooth = self._speed = np.zeros((0, 2))  # K 2

    def __call__(
        self, seconds: float, keypoints: Floats, seen: NDArray[np.bool_], size: float
    ) -> Floats:
        """Return the keypoints of the next frame, smoothed.

        Args:
            seconds: Time of the frame, after that of the last call.
            keypoints: (K, 2).
            seen: (K,); an unseen keypoint is returned unchanged, and starts over when it is seen.
            size: Of the person, in the keypoints' unit: square root of the box's area.

        Returns:
            (K, 2).
        """
        passed = seconds - self._seconds
        if not self._known.any() or passed <= 0:
            self._known = np.zeros(len(keypoints), np.bool_)
            self._raw = self._smooth = self._speed = np.zeros_like(keypoints)
            passed = 1.0
        continues = (self._known & seen)[:, None]
        speed = (keypoints - self._raw) / (passed * size)  # sizes a second
        share = _share(np.array(SPEED_CUTOFF), passed)
        speed = np.where(continues, self._speed + share * (speed - self._speed), 0.0)
        cutoff = MIN_CUTOFF + BETA * np.linalg.norm(speed, axis=1, keepdims=True)  # K 1
        smooth = self._smooth + _share(cutoff, passed) * (keypoints - self._smooth)
        smooth = np.where(continues, smooth, keypoints)
        self._seconds, self._known = seconds, seen.copy()
        self._raw, self._smooth, self._speed = keypoints.copy(), smooth, speed
        return np.array(smooth)


def _share(cutoff: Floats, passed: float) -> Floats:
    """Weight of the new value in a first-order low-pass: 1 / (1 + tau / T)."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * cutoff * passed)))
