"""A clothed person of the demo set: flat shapes, back to front, and the 17 keypoints.

Own work, no source. The body's hulls of spheres are seen from the camera and sorted by their mean
distance to it (painter's algorithm).

Left and right: only the head, face or hair, distinguishes a front view from a back view. Torso,
sleeves, trousers and shoes look the same from both sides. The pose itself gives further hints
(elbows and hips bend forward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from keypoint.data.synthetic.pose import (
    SIDES,
    Pose,
    about_x,
    about_y,
    about_z,
    point,
    sample_pose,
)
from keypoint.data.synthetic.shapes import Array, Hull, sample_cloth
from keypoint.data.synthetic.surroundings import sample_chair
from keypoint.pose.skeleton import load_skeleton

KEYPOINTS = load_skeleton("coco17").keypoints

# Parts that a pixel can belong to; its label is the index. From TORSO on it belongs to a person.
PARTS = (
    *("nothing", "object", "torso", "skirt", "neck", "face", "hair"),
    *(f"{side}_{part}" for side, _ in SIDES for part in ("ear", "upper_arm", "forearm", "hand")),
    *(f"{side}_{part}" for side, _ in SIDES for part in ("thigh", "shank", "foot")),
)
LABELS = {name: label for label, name in enumerate(PARTS)}
OBJECT, TORSO = LABELS["object"], LABELS["torso"]

# The parts under which a keypoint counts as seen: its own limb ("~" is its side) and clothes on it.
SEEN_ON = {
    "nose": ("face",),
    "eye": ("face",),
    "ear": ("~_ear", "face"),
    "shoulder": ("torso", "~_upper_arm"),
    "elbow": ("~_upper_arm", "~_forearm"),
    "wrist": ("~_forearm", "~_hand"),
    "hip": ("torso", "skirt", "~_thigh"),
    "knee": ("~_thigh", "~_shank", "skirt"),
    "ankle": ("~_shank", "~_foot"),
}

# Ramps from light to dark; a person's colour lies between two neighbours.
SKINS = ("ffe0c4", "f1c29b", "e0ac7d", "be845a", "8d5536", "623c28")
HAIRS = ("969492", "c49c5c", "96633c", "6a462a", "3e281c", "1c1614")
BACK_VIEWS = 0.35


@dataclass(frozen=True)
class Figure:
    """A person in a plane of its own: x right, y down, unit = standing height, pelvis at (0, 0).

    Attributes:
        hulls: Back to front; a chair may be among them (label OBJECT).
        keypoints: (17, 2), in the order of KEYPOINTS.
        faces_away: (17,), keypoints on the side of the head that the camera does not see.
        is_back_view: The person looks away from the camera.
    """

    hulls: tuple[Hull, ...]
    keypoints: Array
    faces_away: npt.NDArray[np.bool_]
    is_back_view: bool

    @property
    def body(self) -> tuple[Hull, ...]:
        """The hulls without the chair, back to front."""
        return tuple(hull for hull in self.hulls if hull.label >= TORSO)

    def placed(self, scale: float, offset_xy: Array) -> Figure:
        """The same person, ``scale`` pixels tall, with the pelvis at ``offset_xy``."""
        hulls = tuple(hull.placed(scale, offset_xy) for hull in self.hulls)
        return Figure(hulls, self.keypoints * scale + offset_xy, self.faces_away, self.is_back_view)


@dataclass(frozen=True)
class _Clothes:
    skin: Array
    hair: Array
    shirt: Array
    trousers: Array
    shoes: Array
    hair_style: str
    legwear: str
    sleeve: float  # length as a part of the upper arm; 2 covers the forearm
    is_tucked: bool


def sample_figure(rng: np.random.Generator) -> Figure:
    """Draw a person: pose, clothes and the side it is seen from."""
    pose = sample_pose(rng)
    is_back_view = bool(rng.random() < BACK_VIEWS)
    yaw = 180 * is_back_view + float(np.clip(rng.normal(0, 18), -50, 50))
    pitch = rng.uniform(0, 16)  # the camera looks slightly down
    level = about_y(yaw)
    view = about_z(rng.uniform(-4, 4)) @ about_x(pitch) @ level  # to x right, y up, z near
    clothes = _sample_clothes(rng)

    shapes = [*_torso(pose, clothes), *_head(pose, clothes)]
    for side, sign in SIDES:
        shapes += [*_arm(pose, clothes, side), *_leg(pose, clothes, side)]
        shapes.append(_shoe(pose, clothes, side, view @ point(sign * 0.015, 0, 0.06), view))
    if clothes.legwear == "skirt":
        shapes.append(_skirt(pose, clothes, hem=rng.uniform(0.6, 1.05)))
    if pose.posture == "sitting":
        ankles = [pose.points[f"{side}_ankle"][1] for side, _ in SIDES]
        shapes += sample_chair(rng, min(ankles) - 0.05, OBJECT)

    def depth(shape: Hull) -> float:
        # Without the pitch: of two shapes over one pixel the lower is not farther.
        centres = shape.centres if shape.depth_of is None else shape.depth_of
        return float((centres @ level[2]).mean()) + shape.nearer

    down = np.array([1.0, -1.0])
    hulls = tuple(
        Hull(s.label, s.colour, (s.centres @ view.T)[:, :2] * down, s.radii, s.is_fabric)
        for s in sorted(shapes, key=depth)
    )
    keypoints = np.stack([pose.points[name] for name in KEYPOINTS])
    # A face seen from the side keeps its nose and loses an eye; ears are seen longest.
    limit = {"nose": -0.1, "left_eye": 0.1, "right_eye": 0.1, "left_ear": -0.4, "right_ear": -0.4}
    normals, level_z = pose.normals, level[2]
    faces_away = [
        name in limit and float(normals[name] @ level_z) < limit[name] for name in KEYPOINTS
    ]
    return Figure(hulls, (keypoints @ view.T)[:, :2] * down, np.array(faces_away), is_back_view)


def _sample_clothes(rng: np.random.Generator) -> _Clothes:
    styles = {"short": 0.4, "long": 0.22, "tail": 0.12, "bun": 0.08, "hat": 0.12, "bald": 0.06}
    style = str(rng.choice(list(styles), p=list(styles.values())))
    return _Clothes(
        skin=_tint(rng, SKINS),
        hair=sample_cloth(rng) if style == "hat" else _tint(rng, HAIRS),
        shirt=sample_cloth(rng),
        trousers=sample_cloth(rng),
        shoes=sample_cloth(rng) * 0.8,
        hair_style=style,
        legwear=str(rng.choice(["trousers", "shorts", "skirt"], p=[0.6, 0.22, 0.18])),
        sleeve=float(rng.choice([0.0, 0.55, 2.0], p=[0.15, 0.45, 0.4])),
        is_tucked=bool(rng.random() < 0.5),
    )


def _shape(
    part: str,
    colour: Array,
    *spheres: tuple[Array, float],
    is_fabric: bool = False,
    nearer: float = 0.0,
) -> Hull:
    centres = np.array([centre for centre, _ in spheres])
    radii = np.array([radius for _, radius in spheres])
    return Hull(LABELS[part], colour, centres, radii, is_fabric, nearer)


def _torso(pose: Pose, clothes: _Clothes) -> list[Hull]:
    thick = 0.052 * pose.build
    shoulders = [(pose.points[f"{side}_shoulder"], 0.04) for side, _ in SIDES]
    waist = [(pose.points[f"{side}_waist"], thick) for side, _ in SIDES]
    wider = point(0.01, 0, 0)
    hips = [(pose.points[f"{side}_hip"] + sign * wider, thick) for side, sign in SIDES]
    chest = [*shoulders, (pose.points["neck"], 0.03), *waist]
    shapes = [
        _shape("torso", clothes.trousers, *waist, *hips, nearer=-0.004),
        _shape("torso", clothes.shirt, *chest, is_fabric=True),
    ]
    if not clothes.is_tucked:
        hem = [(0.35 * a + 0.65 * b, thick) for (a, _), (b, _) in zip(waist, hips, strict=True)]
        shapes.append(_shape("torso", clothes.shirt, *waist, *hem, nearer=-0.002, is_fabric=True))
    return shapes


def _head(pose: Pose, clothes: _Clothes) -> list[Hull]:
    def ball(x: float, y: float, z: float, radius: float) -> tuple[Array, float]:
        centre = pose.head_centre + pose.head_frame @ point(x, y, z) * pose.head_size
        return centre, radius * pose.head_size

    skin, hair = clothes.skin, clothes.hair
    lips, white, dark = skin * [0.75, 0.42, 0.42], np.full(3, 235.0), np.full(3, 24.0)
    shapes = [
        _shape("neck", skin * 0.9, (pose.points["neck"], 0.032), ball(0, -0.03, -0.004, 0.026)),
        _shape("face", skin, ball(0, 0.008, 0, 0.052), ball(0, -0.032, 0.012, 0.034)),
        _shape("face", lips, ball(-0.014, -0.038, 0.044, 0.006), ball(0.014, -0.038, 0.044, 0.006)),
        _shape("face", skin * 0.78, ball(0, 0, 0.05, 0.004), ball(0, -0.014, 0.056, 0.009)),
    ]
    for side, sign in SIDES:
        shapes += [
            _shape(f"{side}_ear", skin * 0.93, ball(sign * 0.053, -0.004, -0.003, 0.013)),
            _shape("face", white, ball(sign * 0.021, 0.004, 0.045, 0.0105)),
            _shape("face", dark, ball(sign * 0.021, 0.003, 0.047, 0.007), nearer=0.002),
        ]
    if clothes.hair_style != "bald":
        fringe = [ball(x, 0.034, 0.024, 0.019) for x in (-0.036, 0.036)]
        fringe.append(ball(0, 0.05, 0.026, 0.018))
        shapes += [
            _shape("hair", hair, ball(0, 0.016, -0.018, 0.056), ball(0, -0.022, -0.03, 0.034)),
            _shape("hair", hair, *fringe, nearer=0.001),
        ]
    falling = {
        "long": [ball(x, y, -0.03, 0.03) for x in (-0.03, 0.03) for y in (0.0, -0.115)],
        "tail": [ball(0, 0.02, -0.07, 0.02), ball(0, -0.12, -0.075, 0.013)],
        "bun": [ball(0, 0.062, -0.03, 0.026)],
    }
    if clothes.hair_style in falling:
        shapes.append(_shape("hair", hair * 0.95, *falling[clothes.hair_style]))
    return shapes


def _arm(pose: Pose, clothes: _Clothes, side: str) -> list[Hull]:
    names = ("shoulder", "elbow", "wrist", "hand")
    shoulder, elbow, wrist, hand = (pose.points[f"{side}_{name}"] for name in names)
    thick = 0.5 + 0.5 * pose.build
    top, mid, end = 0.039 * thick, 0.031 * thick, 0.024 * thick
    is_long = clothes.sleeve > 1
    over = 0.014  # an arm next to a torso of the same depth is painted over it
    sleeve = clothes.shirt if is_long else clothes.skin
    fore, upper = ((elbow, mid), (wrist, end)), ((shoulder, top * 0.95), (elbow, mid))
    shapes = [
        _shape(f"{side}_hand", clothes.skin, (wrist, end * 0.9), (hand, end * 1.08), nearer=over),
        _shape(f"{side}_forearm", sleeve, *fore, nearer=over, is_fabric=is_long),
        _shape(f"{side}_upper_arm", clothes.skin, *upper, nearer=over),
    ]
    if clothes.sleeve > 0:
        cuff_at = shoulder + (elbow - shoulder) * min(clothes.sleeve, 1.0)
        worn = ((shoulder, top * 1.08), (cuff_at, (mid if is_long else top) * 1.08))
        over += 0.002
        shapes.append(
            _shape(f"{side}_upper_arm", clothes.shirt, *worn, nearer=over, is_fabric=True)
        )
    return shapes


def _leg(pose: Pose, clothes: _Clothes, side: str) -> list[Hull]:
    hip, knee, ankle = (pose.points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    top, mid, end = 0.056 * pose.build, 0.041 * pose.build, 0.027 * pose.build
    colour = clothes.trousers if clothes.legwear == "trousers" else clothes.skin
    under = -0.02  # the clothes of the hips, unless the thigh comes forward
    shapes = [
        _shape(f"{side}_thigh", colour, (hip, top), (knee, mid), nearer=under),
        _shape(f"{side}_shank", colour, (knee, mid), (ankle, end), nearer=0.001),
    ]
    if clothes.legwear == "shorts":
        leg = ((hip, top * 1.05), (hip + (knee - hip) * 0.62, mid * 1.25))
        shapes.append(_shape(f"{side}_thigh", clothes.trousers, *leg, nearer=under + 0.002))
    return shapes


def _shoe(pose: Pose, clothes: _Clothes, side: str, toe_seen: Array, view: Array) -> Hull:
    """A shoe that looks the same from front and back.

    The toe (``toe_seen`` from the heel, in the camera's frame) is put at the heel's height in the
    image, and the shank is painted over the shoe, in both views.
    """
    knee, ankle = pose.points[f"{side}_knee"], pose.points[f"{side}_ankle"]
    heel = ankle + point(0, -0.028, 0)
    toe = heel + view.T @ (toe_seen * [1.0, 0.0, 1.0])
    shoe = _shape(f"{side}_foot", clothes.shoes, (heel, 0.027), (toe, 0.023), nearer=-0.001)
    return replace(shoe, depth_of=np.stack([knee, ankle]))


def _skirt(pose: Pose, clothes: _Clothes, *, hem: float) -> Hull:
    spheres = []
    for side, sign in SIDES:
        hip, knee = pose.points[f"{side}_hip"], pose.points[f"{side}_knee"]
        flare = point(sign * 0.02, 0, 0)
        spheres += [(hip, 0.056 * pose.build), (hip + (knee - hip) * hem + flare, 0.045)]
    return _shape("skirt", clothes.trousers, *spheres, nearer=0.008)


def _tint(rng: np.random.Generator, ramp: Sequence[str]) -> Array:
    """A colour between two neighbours of a ramp."""
    place = rng.uniform(0, len(ramp) - 1)
    low = int(place)
    here, there = (np.array(list(bytes.fromhex(ramp[n])), np.float64) for n in (low, low + 1))
    return here + (place - low) * (there - here)
