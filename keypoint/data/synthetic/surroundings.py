"""Surroundings of the persons in the demo set: wall and floor, stray limbs, objects in front.

Own work, no source. Backgrounds are paler than clothes, so that persons stand out; stray limbs have
the colours of real ones, so that a coloured stick alone does not indicate an arm.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from keypoint.data.synthetic.shapes import Array, FloatImage, Hull, sample_cloth


def sample_background(rng: np.random.Generator, image_size: tuple[int, int]) -> FloatImage:
    """Wall and floor with furniture, stains, grain and tiles: (H, W, 3) RGB, about 0 to 255."""
    height, width = image_size
    horizon = int(rng.uniform(0.35, 0.85) * height)
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:horizon], canvas[horizon:] = _pale(rng), _pale(rng)
    for _ in range(rng.integers(2, 7)):
        x, y = (int(v) for v in rng.uniform(0, [width, height]))
        half_x, half_y = (int(v) + 1 for v in rng.uniform(0.03, 0.2, 2) * [width, height])
        colour = _pale(rng).tolist()
        if rng.random() < 0.7:
            corners = (x - half_x, y - half_y), (x + half_x, y + half_y)
            cv2.rectangle(canvas, *corners, colour, -1)
            cv2.rectangle(canvas, *corners, _pale(rng).tolist(), 1)
        else:
            cv2.ellipse(canvas, (x, y), (half_x, half_y), 0, 0, 360, colour, -1)
    for rows, strength in ((4, 25), (30, 8), (90, 6)):  # uneven light, stains, grain
        patch = rng.uniform(-strength, strength, (rows, rows * 4 // 3)).astype(np.float32)
        canvas += cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    if rng.random() < 0.4:  # planks or tiles
        step = int(rng.uniform(0.06, 0.15) * height) + 2
        top = horizon if rng.random() < 0.5 else 0
        canvas[top::step] *= 0.85
        if rng.random() < 0.5:
            canvas[top:, ::step] *= 0.85
    return canvas


def _pale(rng: np.random.Generator) -> Array:
    """Grey with a touch of some hue."""
    return np.clip(rng.uniform(60, 225) + rng.uniform(-22, 22, 3), 0, 255)


def cast_shadows(canvas: FloatImage, bounds_of_persons: Sequence[tuple[Array, Array]]) -> None:
    """Darken the floor under the feet, in place."""
    height, width = canvas.shape[:2]
    shade = np.zeros((height // 4 + 1, width // 4 + 1), np.float32)  # soft: a quarter is enough
    for low, high in bounds_of_persons:
        centre = (int((low[0] + high[0]) / 8), int(high[1] / 4))
        axes = (int((high[0] - low[0]) / 8) + 1, int((high[1] - low[1]) / 100) + 1)
        cv2.ellipse(shade, centre, axes, 0, 0, 360, 0.4, -1)
    canvas *= 1 - cv2.resize(cv2.blur(shade, (5, 3)), (width, height))[..., None]


def sample_stray_limb(
    rng: np.random.Generator, image_size: tuple[int, int], label: int
) -> list[Hull]:
    """Two segments that look like an arm or a leg without a person."""
    height, width = image_size
    length = rng.uniform(0.08, 0.22) * height
    angles = rng.uniform(0, 2 * np.pi) + np.array([0, rng.uniform(-1.6, 1.6)])
    steps = length * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    ends = rng.uniform(0, [width, height]) + np.stack([steps[0] * 0, steps[0], steps.sum(axis=0)])
    thick = length * rng.uniform(0.12, 0.22) * np.array([1.0, 0.8, 0.6])
    skin = np.array([225.0, 175.0, 135.0]) * rng.uniform(0.5, 1.0)
    return [
        Hull(label, colour, ends[n : n + 2], thick[n : n + 2])
        for n, colour in enumerate((sample_cloth(rng), skin))
    ]


def sample_chair(rng: np.random.Generator, floor: float, label: int) -> list[Hull]:
    """A stool or a chair under the pelvis; body frame, see :mod:`keypoint.data.synthetic.pose`."""
    colour = sample_cloth(rng) * 0.7
    half, seat = rng.uniform(0.09, 0.14), -0.05
    sides = (-half, half)
    block = np.array([[x, y, z] for x in sides for y in (floor, seat) for z in (-0.09, 0.07)])
    shapes = [Hull(label, colour, block, np.full(8, 0.004), nearer=-0.04)]  # under the person
    if rng.random() < 0.35:
        back = np.array([[x, y, -0.1] for x in sides for y in (seat, rng.uniform(0.08, 0.2))])
        shapes.append(Hull(label, colour * 1.15, back, np.full(4, 0.012)))
    return shapes


def sample_obstacle(rng: np.random.Generator, low: Array, high: Array, label: int) -> list[Hull]:
    """A box, a post or a plant that hides a part of the person between ``low`` and ``high``."""
    size = high - low
    middle = rng.uniform(low[0], high[0])
    colour = sample_cloth(rng) * 0.8
    kind = rng.choice(["box", "post", "plant"])
    if kind == "post":
        ends = np.array([[middle, low[1] - 0.3 * size[1]], [middle, high[1] + 0.1 * size[1]]])
        return [Hull(label, colour, ends, np.full(2, rng.uniform(0.02, 0.045) * size[1]))]
    top, bottom = high[1] - rng.uniform(0.1, 0.35) * size[1], high[1] + 0.05 * size[1]
    half = rng.uniform(0.15, 0.4) * size[0]
    left, right = middle - half, middle + half
    if kind == "box":
        front = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        rim = front[:2]
        lid = np.concatenate([rim, rim + np.array([0.15, -0.12]) * half])
        edge = np.full(4, 0.5)
        return [Hull(label, colour * 1.2, lid, edge), Hull(label, colour, front, edge)]
    green = np.array([rng.uniform(30, 90), rng.uniform(80, 150), rng.uniform(20, 70)])
    root = np.array([middle, bottom])
    tips = rng.uniform([left, top], [right, (top + bottom) / 2], size=(12, 2))
    width = np.array([0.05, 0.14, 0.02]) * half
    return [
        Hull(
            label, green * rng.uniform(0.7, 1.2), np.stack([root, (root + 2 * tip) / 3, tip]), width
        )
        for tip in tips
    ]
