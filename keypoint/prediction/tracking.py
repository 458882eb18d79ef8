"""Persons of a video over time: ids from frame to frame, and smoothed keypoints.

Ids: the greedy matching of Xiao et al. 2018 (Simple Baselines, section 3.3) by the similarity of
poses. Different here: the new position of a person is predicted from their speed, not from optical
flow; keypoints are weighted by their scores, because a hidden wrist may be anywhere; the overlap of
the boxes is included, so persons are tracked even if their keypoints are not found; and a person
who was hidden for a while keeps their id. `tools/benchmarks/run.py tracking` compares it with other
trackers.

Smoothing: the One Euro filter of Casiez, Roussel, Vogel, CHI 2012, a low-pass filter whose cut-off
rises with speed: fc = min_cutoff + beta |speed|. Different here: speed is measured in two
dimensions, and in sizes of the person per second, so one setting works at any resolution.

Later frames are not used, so live cameras work. Keypoints are in the image's frame, in pixels.
Letters: P persons, T tracks, K keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.inputs.frames import Unread, VideoEnd
from keypoint.prediction.stream import Predicted

Floats = NDArray[np.float64]

SIMILAR = 0.05  # least similarity of one person in two frames, from 0 to 1
BOX = 1 / 3  # weight of the boxes' overlap, relative to that of all keypoints with score 1
DOUBT = 2  # frames until a new track is trusted half as much as an old one
MIDDLE = np.array([[1.0, 0], [0, 1], [0.5, 0], [0, 0.5]])  # x, y, width, height to the middle
PATIENCE_S = 1.0  # time for which a hidden person keeps an id
SEEN = 0.2  # score above which a keypoint is smoothed; the threshold of evaluation

MIN_CUTOFF = 1.0  # Hz, of a keypoint at rest
BETA = 5.0  # Hz for a speed of one size of the person per second
SPEED_CUTOFF = 1.0  # Hz, for the speed; the paper's value


def follow(
    events: Iterable[Predicted | Unread | VideoEnd], skeleton: Skeleton, *, smooth: bool
) -> Iterator[Predicted | Unread | VideoEnd]:
    """Give ids to the persons of videos, from 1 in each video; images are unchanged.

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
    seconds: float  # of the last frame with the person
    keypoints: Floats  # K 2
    weights: Floats  # K
    bbox_xywh: Floats  # 4
    speed: Floats  # 2, pixels per second, of the whole person
    frames: int  # with the person

    def add(self, seconds: float, keypoints: Floats, weights: Floats, bbox_xywh: Floats) -> None:
        """Update the track with the person in the next frame."""
        passed = seconds - self.seconds
        if passed > 0:
            middle = (bbox_xywh - self.bbox_xywh) @ MIDDLE
            moved = np.vstack([keypoints - self.keypoints, middle])  # K+1 2
            weight = np.append(np.minimum(weights, self.weights), BOX * len(weights))
            speed = weight @ moved / weight.sum() / passed
            self.speed += _share(np.array(SPEED_CUTOFF), passed) * (speed - self.speed)
        self.seconds, self.keypoints, self.weights = seconds, keypoints.copy(), weights
        self.bbox_xywh = bbox_xywh.copy()
        self.frames += 1


class Tracker:
    """Assigns ids to the persons of one video, frame by frame.

    A track ends if its person was not seen for `PATIENCE_S`; tracks of the previous frame continue
    even if that was longer ago.

    Args:
        oks_sigmas: (K,) of the skeleton: the precision of each keypoint.
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

        Pairs of person and track are matched by decreasing similarity; long tracks are preferred
        to new ones, which may belong to a duplicate box.

        Args:
            seconds: Time of the frame, not before that of the previous call.
            keypoints: (P, K, 2), finite.
            scores: (P, K).
            boxes_xywh: (P, 4), with area.

        Returns:
            (P,) unique ids from 1; a person unlike all tracks gets a new one.
        """
        since = min(self._seconds, seconds - PATIENCE_S)
        self._tracks = [track for track in self._tracks if track.seconds >= since]
        self._seconds = seconds
        weights = np.maximum(scores, 0)
        similarity = self._similarity(seconds, keypoints, weights, boxes_xywh)  # P T
        trust = np.array([track.frames / (track.frames + DOUBT) for track in self._tracks])
        preference = np.where(similarity >= SIMILAR, similarity * trust, 0)
        ids = np.zeros(len(keypoints), np.int64)
        while preference.size and preference.max() > 0:
            row, column = np.unravel_index(preference.argmax(), preference.shape)
            track = self._tracks[column]
            track.add(seconds, keypoints[row], weights[row], boxes_xywh[row])
            ids[row] = track.number
            preference[row], preference[:, column] = 0, 0
        for row in np.flatnonzero(ids == 0):
            self._last += 1
            ids[row] = self._last
            new = keypoints[row].copy(), weights[row], boxes_xywh[row].copy(), np.zeros(2), 1
            self._tracks.append(_Track(self._last, seconds, *new))
        return ids

    def holds(self, number: int) -> bool:
        """Return whether a later frame may have this id again."""
        return any(track.number == number for track in self._tracks)

    def _similarity(
        self, seconds: float, keypoints: Floats, weights: Floats, boxes_xywh: Floats
    ) -> NDArray[np.float64]:
        """Return the mean of the keypoints' similarity, as in OKS, and the boxes' overlap, (P, T).

        A keypoint is weighted by the higher of its scores in the two frames, and its similarity is
        scaled by the lower score divided by the higher one, so keypoints seen in one frame only
        lower the mean.
        """
        tracks = self._tracks
        if not tracks:
            return np.zeros((len(keypoints), 0))
        passed = [min(seconds - track.seconds, PATIENCE_S) for track in tracks]
        moved = np.array(passed)[:, None] * np.stack([track.speed for track in tracks])  # T 2
        before = np.stack([track.keypoints for track in tracks]) + moved[:, None]  # T K 2
        boxes_before = np.stack([track.bbox_xywh for track in tracks])  # T 4
        boxes_before[:, :2] += moved
        areas, areas_before = boxes_xywh[:, 2:].prod(axis=1), boxes_before[:, 2:].prod(axis=1)
        area = np.minimum(areas[:, None], areas_before)  # P T; not of a box of the whole image
        squared = ((keypoints[:, None] - before) ** 2).sum(axis=3)  # P T K
        alike = np.exp(-squared / (2 * area[..., None] * self.variances))
        weights_before = np.stack([track.weights for track in tracks])  # T K
        lower = np.minimum(weights[:, None], weights_before)  # P T K
        higher = np.maximum(weights[:, None], weights_before)
        box = BOX * len(self.variances)
        total = (alike * lower).sum(axis=2) + box * _overlap(boxes_xywh, boxes_before)
        return np.asarray(total / (higher.sum(axis=2) + box))


def _overlap(boxes_xywh: Floats, others_xywh: Floats) -> Floats:
    """Return the intersection over union of boxes (P, 4) and (T, 4), (P, T)."""
    one, other = boxes_xywh[:, None], others_xywh[None]
    last = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = np.maximum(last - np.maximum(one[..., :2], other[..., :2]), 0).prod(axis=2)
    return np.asarray(shared / (one[..., 2:].prod(axis=2) + other[..., 2:].prod(axis=2) - shared))


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
            seconds: Time of the frame, after that of the previous call.
            keypoints: (K, 2).
            seen: (K,); an unseen keypoint is returned unchanged, and its filter is reset.
            size: Size of the person in the keypoints' unit: square root of the box's area.

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
    """Return the weight of the new value in a first-order low-pass: 1 / (1 + tau / T)."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * cutoff * passed)))
