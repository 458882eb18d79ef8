"""Clips of two stick figures: the second to act echoes the first's gesture, or does not.

Own work, no source. In 8 frames each figure raises one arm once, for one of the four frame pairs
that C2D pools (0-1, 2-3, 4-5, 6-7); the two pairs differ. The class combines two factors:

    label = 2 * (both raise the arm on the same side) + (the right figure acts first)

A single frame without its time shows neither: both figures act in every clip, never in the same
frame, and each with either arm equally often.

Letters: T frames, H W size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAMES, SIDE = 8, 48
PAIRS = FRAMES // 2
# Sorted names are in the order of the labels, because folders of classes are read in this order.
CLASSES = (
    "different_left_first",
    "different_right_first",
    "same_left_first",
    "same_right_first",
)
POSES = 9  # poses of a frame: 3 * the left figure's + the right one's; 0 at rest, 1 and 2 gestures
REST, GESTURES = 0, (1, 2)  # arm up on the picture's left, on its right

# A figure of height 1 around its center: both ends of each limb as complex numbers x + iy, y down.
BODY = ((-0.26j, 0.12j), (0.12j, -0.15 + 0.5j), (0.12j, 0.15 + 0.5j))
SHOULDER, HEAD, HEAD_RADIUS = -0.2j, -0.38j, 0.11
HAND_DOWN, HAND_UP = 0.22 + 0.1j, 0.26 - 0.48j  # of the arm on the right; mirrored on the left
HALF_WIDTH = 0.04  # of a limb
Y, X = np.mgrid[:SIDE, :SIDE]
PIXELS = (X + 0.5 + 1j * (Y + 0.5)).astype(np.complex64)


@dataclass(frozen=True)
class Story:
    """The gestures of a clip.

    Attributes:
        gestures: Of the left and the right figure, 1 or 2.
        pairs: The frame pair in which each acts, 0 to 3; they differ.
    """

    gestures: tuple[int, int]
    pairs: tuple[int, int]

    @property
    def label(self) -> int:
        """Index into `CLASSES`."""
        return 2 * (self.gestures[0] == self.gestures[1]) + (self.pairs[1] < self.pairs[0])

    def poses(self) -> NDArray[np.int64]:
        """Return the pose of the left and the right figure in each frame, (T, 2), 0 to 2."""
        poses = np.zeros((FRAMES, 2), np.int64)
        for figure in (0, 1):
            first = 2 * self.pairs[figure]
            poses[first : first + 2, figure] = self.gestures[figure]
        return poses


def tell_story(rng: np.random.Generator, label: int) -> Story:
    """Draw the gestures and frame pairs of a class, with equal probability."""
    same, right_first = divmod(label, 2)
    left = int(rng.choice(GESTURES))
    right = left if same else sum(GESTURES) - left
    early, late = np.sort(rng.permutation(PAIRS)[:2]).tolist()
    return Story((left, right), (late, early) if right_first else (early, late))


def draw_clip(rng: np.random.Generator, poses: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Draw two figures on noise, each with random position, size and contrast.

    Args:
        rng: The only source of randomness.
        poses: (T, 2) of the left and the right figure in each frame, 0 to 2.

    Returns:
        (T, H, W, 3) uint8 RGB, grey.
    """
    background = rng.uniform(70, 185) + rng.uniform(5, 20) * _smooth_noise(rng)  # H W
    frames = np.repeat(background[None], len(poses), axis=0)  # T H W
    for figure, middle in enumerate((0.27 + 0.5j, 0.73 + 0.5j)):
        height = SIDE * rng.uniform(0.5, 0.7)
        place = SIDE * (middle + complex(rng.uniform(-0.05, 0.05), rng.uniform(-0.1, 0.1)))
        contrast = rng.uniform(40, 70) * rng.choice((-1, 1))
        for pose in np.unique(poses[:, figure]):
            frames[poses[:, figure] == pose] += contrast * _figure(place, height, int(pose))
    noise = rng.standard_normal(frames.shape, np.float32)
    frames += rng.uniform(4, 12) * noise
    grey = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def _figure(place: complex, height: float, pose: int) -> NDArray[np.float32]:
    """Return the share of each pixel that a figure covers, (H, W) from 0 to 1."""
    right = HAND_UP if pose == GESTURES[1] else HAND_DOWN
    left = HAND_UP if pose == GESTURES[0] else HAND_DOWN
    arms = ((SHOULDER, right), (SHOULDER, -left.conjugate()))
    ends = np.array([*BODY, *arms], np.complex64) * np.float32(height) + np.complex64(place)
    start, end = ends.T  # of each limb
    along = end - start
    from_start = PIXELS[..., None] - start  # H W limb
    share = np.clip((from_start * along.conj()).real / np.abs(along) ** 2, 0, 1)
    to_limb = np.abs(from_start - share * along).min(axis=2) - np.float32(HALF_WIDTH * height)
    head = np.complex64(place + HEAD * height)
    to_head = np.abs(PIXELS - head) - np.float32(HEAD_RADIUS * height)
    cover: NDArray[np.float32] = np.clip(0.5 - np.minimum(to_limb, to_head), 0, 1)
    return cover


def _smooth_noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the sum of six random waves, longer than a third of the picture, (H, W); std 1."""
    a, b, phase = (rng.uniform(-limit, limit, 6) for limit in (9.0, 9.0, np.pi))
    waves = np.cos((X[..., None] * a + Y[..., None] * b) / SIDE + phase)
    smooth: NDArray[np.float64] = waves.sum(axis=2) / np.sqrt(3)  # each has a variance of 1/2
    return smooth
