"""The One Euro filter: still keypoints stop trembling, moving ones are followed without lag.

Source: Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012. A low-pass filter whose cut-off rises
with speed: fc = min_cutoff + beta |speed|. Different here: speed is measured in two dimensions, and
in sizes of the person a second, so that one setting does for all resolutions and distances.

Letters: K keypoints.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_CUTOFF = 1.0  # Hz, of a keypoint at rest
BETA = 5.0  # Hz for each size of the person a second
SPEED_CUTOFF = 1.0  # Hz, of the speed itself; the paper's


class OneEuro:
    """Smooths the keypoints of one person.

    Args:
        min_cutoff: Hz; lower trembles less and lags more at low speed.
        beta: Hz for a speed of one size of the person a second; higher lags less at high speed.
    """

    def __init__(self, *, min_cutoff: float = MIN_CUTOFF, beta: float = BETA) -> None:
        self.min_cutoff = min_cutoff
        self.beta = beta
        self._seconds = -math.inf
        self._known: NDArray[np.bool_] = np.zeros(
            0, np.bool_
        )  # K, whether the last frame had the keypoint
        self._raw = self._smooth = self._speed = np.zeros((0, 2))  # K 2

    def __call__(
        self, seconds: float, keypoints: Floats, seen: NDArray[np.bool_], size: float
    ) -> Floats:
        """The keypoints of the next frame, smoothed.

        Args:
            seconds: When it was; after the frame of the last call.
            keypoints: (K, 2).
            seen: (K,); an unseen keypoint is given back as it is, and begins anew when it is seen.
            size: Of the person, as long as the keypoints' unit: square root of the box's area.

        Returns:
            (K, 2).
        """
        passed = seconds - self._seconds
        if not self._known.any() or passed <= 0:
            self._known = np.zeros(len(keypoints), np.bool_)
            self._raw = self._smooth = self._speed = np.zeros_like(keypoints)
            passed = 1.0
        goes_on = (self._known & seen)[:, None]
        speed = (keypoints - self._raw) / (passed * size)  # sizes a second
        share = _share(np.array(SPEED_CUTOFF), passed)
        speed = np.where(goes_on, self._speed + share * (speed - self._speed), 0.0)
        cutoff = self.min_cutoff + self.beta * np.linalg.norm(speed, axis=1, keepdims=True)  # K 1
        smooth = self._smooth + _share(cutoff, passed) * (keypoints - self._smooth)
        smooth = np.where(goes_on, smooth, keypoints)
        self._seconds, self._known = seconds, seen.copy()
        self._raw, self._smooth, self._speed = keypoints.copy(), smooth, speed
        return np.array(smooth)


def _share(cutoff: Floats, passed: float) -> Floats:
    """How much of the new value a first-order low-pass takes: 1 / (1 + tau / T)."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * cutoff * passed)))
