"""Who is who from frame to frame of a video: persons are given ids by how alike their poses are.

Source: the greedy matching of Xiao et al. 2018 (Simple Baselines, section 3.3) with OKS as the
similarity, but without optical flow: a person is looked for where the last frame had them.
Different here: keypoints count that both frames are sure of (a wrist behind a back is anywhere),
and a person who was hidden for a while gets the old id back.

Keypoints are in the image's frame, in pixels. Letters: P persons, T tracks, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# OKS from which two poses may be one person's. With COCO's sigmas and a box a third as wide as high
# that is a move of 0.15 of the height from one frame to the next: 7 m/s at 30 frames a second.
SIMILAR = 0.2
PATIENCE_S = 1.0  # how long somebody unseen keeps an id
SEEN = 0.2  # keypoint score above which a keypoint counts, as in evaluation


@dataclass
class _Track:
    number: int
    seconds: float
    keypoints: Floats  # K 2
    seen: NDArray[np.bool_]  # K
    area: float


class Tracker:
    """Ids of the persons of one video, frame after frame.

    Args:
        oks_sigmas: (K,) of the skeleton: how exact each keypoint is.
        similar: OKS from which a person may be the one of an earlier frame.
        patience_s: Seconds after which a track without a person ends; one of the last frame goes
            on however long ago that was.
    """

    def __init__(
        self,
        oks_sigmas: Sequence[float],
        *,
        similar: float = SIMILAR,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.variances = (2 * np.asarray(oks_sigmas, dtype=np.float64)) ** 2  # K
        self.similar = similar
        self.patience_s = patience_s
        self._tracks: list[_Track] = []
        self._last = 0
        self._seconds = 0.0

    def update(
        self, seconds: float, keypoints: Floats, scores: Floats, boxes_xywh: Floats
    ) -> NDArray[np.int64]:
        """Ids of the persons of the next frame.

        Args:
            seconds: When it was; not before the frame of the last call.
            keypoints: (P, K, 2), finite.
            scores: (P, K).
            boxes_xywh: (P, 4); the area scales the similarity.

        Returns:
            (P,) from 1, each once; a person unlike all tracks has a new one.
        """
        since = min(self._seconds, seconds - self.patience_s)
        self._tracks = [track for track in self._tracks if track.seconds >= since]
        self._seconds = seconds
        areas = boxes_xywh[:, 2:].prod(axis=1)
        similarity = self._similarity(keypoints, scores > SEEN, areas)  # P T
        owner: dict[int, _Track] = {}
        while similarity.size and similarity.max() >= self.similar:
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
        """(P, T) OKS over the keypoints that both have; 0 where there is none."""
        if not self._tracks:
            return np.zeros((len(keypoints), 0))
        before = np.stack([t.keypoints for t in self._tracks])  # T K 2
        both = seen[:, None] & np.stack([t.seen for t in self._tracks])  # P T K
        area = (areas[:, None] + np.array([t.area for t in self._tracks])) / 2  # P T
        squared = ((keypoints[:, None] - before) ** 2).sum(axis=3)  # P T K
        alike = np.exp(-squared / (2 * area[..., None] * self.variances))
        return np.asarray((alike * both).sum(axis=2) / np.maximum(both.sum(axis=2), 1))
