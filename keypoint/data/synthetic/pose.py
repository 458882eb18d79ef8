"""Random poses for the demo set: joint angles to keypoints in three dimensions.

Own work, no source. Body frame: x to the person's left, y up, z forward; pelvis at the origin;
unit = standing height. Angles are in degrees. Limbs hang along -y and are turned by abduction
(sideways), flexion (forward), elbow or knee, in this order from the trunk outwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keypoint.data.synthetic.shapes import Array

Range = tuple[float, float]

SIDES = (("left", 1.0), ("right", -1.0))  # name, sign of x


@dataclass(frozen=True)
class ArmAngles:
    """Ranges for one way to hold an arm; ``inward`` turns the forearm about the upper arm."""

    probability: float
    abduction: Range
    flexion: Range
    elbow: Range
    inward: Range


@dataclass(frozen=True)
class BodyAngles:
    """Ranges for one posture; ``lead`` and ``trail`` are the hip flexions of the two legs."""

    probability: float
    bend: Range
    lead: Range
    trail: Range
    abduction: Range
    knee: Range


# "behind" is there so that hands in front of the body do not always mean a front view.
ARMS = {
    "hanging": ArmAngles(0.35, (4, 18), (-12, 16), (5, 35), (0, 40)),
    "sideways": ArmAngles(0.16, (55, 105), (-10, 20), (0, 60), (-90, 90)),
    "raised": ArmAngles(0.20, (130, 172), (-10, 15), (0, 70), (-100, 30)),
    "forward": ArmAngles(0.07, (5, 30), (30, 75), (0, 80), (0, 60)),
    "akimbo": ArmAngles(0.10, (35, 55), (-15, 5), (75, 105), (60, 100)),
    "folded": ArmAngles(0.06, (5, 20), (5, 30), (80, 115), (45, 80)),
    "behind": ArmAngles(0.06, (10, 25), (-45, -20), (45, 95), (70, 110)),
}
POSTURES = {
    "standing": BodyAngles(0.45, (-3, 8), (-6, 12), (-6, 12), (1, 11), (0, 12)),
    "walking": BodyAngles(0.20, (0, 12), (12, 38), (-24, -4), (-1, 6), (4, 40)),
    "astride": BodyAngles(0.10, (-3, 12), (-5, 20), (-5, 20), (14, 30), (0, 35)),
    "sitting": BodyAngles(0.15, (-4, 20), (70, 95), (70, 95), (3, 24), (70, 100)),
    "bending": BodyAngles(0.10, (30, 75), (-8, 15), (-8, 15), (2, 14), (0, 25)),
}

# On the head, in its own frame and size: position of a keypoint, and normal of the skin there.
FACE = {
    "nose": ((0.0, -0.012, 0.056), (0.0, 0.0, 1.0)),
    "left_eye": ((0.021, 0.004, 0.045), (0.4, 0.0, 0.92)),
    "right_eye": ((-0.021, 0.004, 0.045), (-0.4, 0.0, 0.92)),
    "left_ear": ((0.053, -0.004, -0.003), (1.0, 0.0, 0.0)),
    "right_ear": ((-0.053, -0.004, -0.003), (-1.0, 0.0, 0.0)),
}


@dataclass(frozen=True)
class Pose:
    """One person's keypoints and frames, body frame.

    Attributes:
        posture: Key of POSTURES.
        points: (3,) by name: the 17 keypoints, and neck, waist and hand (left_, right_).
        normals: (3,) for each name in FACE.
        head_frame: (3, 3), head frame to body frame.
        head_centre: (3,).
        head_size: 1 is an adult's head; the factor of FACE's positions.
        build: Factor of thickness, thin to stout.
    """

    posture: str
    points: Mapping[str, Array]
    normals: Mapping[str, Array]
    head_frame: Array
    head_centre: Array
    head_size: float
    build: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw posture, arms and build."""
    posture = _pick(rng, POSTURES)
    angles = POSTURES[posture]
    build = rng.uniform(1.0, 1.42)
    bend = rng.uniform(*angles.bend)
    spine = about_z(rng.uniform(-7, 7)) @ about_x(bend)

    points = {"neck": spine @ point(0, 0.295, 0)}
    chest, hips = rng.uniform(0.094, 0.112), rng.uniform(0.05, 0.058)
    leading = rng.choice(["left", "right"])
    both_arms = _pick(rng, ARMS) if rng.random() < 0.5 else None
    for side, sign in SIDES:
        points[f"{side}_shoulder"] = spine @ point(sign * chest, 0.285, 0)
        points[f"{side}_waist"] = spine @ point(sign * 0.6 * chest * build, 0.1, 0)
        points[f"{side}_hip"] = point(sign * hips, 0, 0)
        points |= _leg(rng, side, sign, points[f"{side}_hip"], angles, side == leading)
        arm = ARMS[both_arms or _pick(rng, ARMS)]
        # Gravity: arms follow a bent back only in part.
        points |= _arm(
            rng, side, sign, points[f"{side}_shoulder"], arm, spine @ about_x(-0.8 * bend)
        )

    upright = spine @ about_x(-0.5 * bend)  # a bending person still looks ahead
    head_frame = upright @ about_y(rng.normal(0, 9)) @ about_x(rng.uniform(-6, 12))
    head_size = rng.uniform(1.12, 1.4)  # large: children, and faces that can be read when small
    head_centre = points["neck"] + upright @ point(0, 0.062 + 0.042 * head_size, 0.008)
    normals = {}
    for name, (position, normal) in FACE.items():
        points[name] = head_centre + head_frame @ point(*position) * head_size
        normals[name] = head_frame @ point(*normal)
    return Pose(posture, points, normals, head_frame, head_centre, head_size, build)


def _arm(
    rng: np.random.Generator, side: str, sign: float, shoulder: Array, arm: ArmAngles, trunk: Array
) -> dict[str, Array]:
    upper = (
        trunk @ about_z(sign * rng.uniform(*arm.abduction)) @ about_x(-rng.uniform(*arm.flexion))
    )
    fore = upper @ about_y(-sign * rng.uniform(*arm.inward)) @ about_x(-rng.uniform(*arm.elbow))
    elbow = shoulder + upper @ point(0, -0.172, 0)
    wrist = elbow + fore @ point(0, -0.15, 0)
    hand = wrist + fore @ point(0, -0.04, 0)
    return {f"{side}_elbow": elbow, f"{side}_wrist": wrist, f"{side}_hand": hand}


def _leg(
    rng: np.random.Generator,
    side: str,
    sign: float,
    hip: Array,
    angles: BodyAngles,
    is_leading: bool,
) -> dict[str, Array]:
    flexion = rng.uniform(*(angles.lead if is_leading else angles.trail))
    thigh = about_z(sign * rng.uniform(*angles.abduction)) @ about_x(-flexion)
    shank = thigh @ about_x(rng.uniform(*angles.knee))
    knee = hip + thigh @ point(0, -0.245, 0)
    return {f"{side}_knee": knee, f"{side}_ankle": knee + shank @ point(0, -0.24, 0)}


def _pick(
    rng: np.random.Generator, table: Mapping[str, ArmAngles] | Mapping[str, BodyAngles]
) -> str:
    names = list(table)
    return names[rng.choice(len(names), p=[table[name].probability for name in names])]


def point(x: float, y: float, z: float) -> Array:
    """A vector of the body frame."""
    return np.array([x, y, z], dtype=np.float64)


def about_x(degrees: float) -> Array:
    """Rotation that tips up towards forward: a bow."""
    c, s = _cos_sin(degrees)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(degrees: float) -> Array:
    """Rotation that turns forward towards the person's left."""
    c, s = _cos_sin(degrees)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_z(degrees: float) -> Array:
    """Rotation that tips left towards up."""
    c, s = _cos_sin(degrees)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _cos_sin(degrees: float) -> tuple[float, float]:
    radians = np.deg2rad(degrees)
    return float(np.cos(radians)), float(np.sin(radians))
