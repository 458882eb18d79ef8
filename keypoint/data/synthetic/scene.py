"""A picture of several persons who hide parts of each other, and the owner of each pixel.

Own work, no source. Figures and objects are painted as layers and laid over each other from far to
near. The labels of the pixels are the truth: a keypoint is visible if the topmost thing at its
pixel is a part of its own person that carries it. Pixel (x, y) is the square around that point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keypoint.data.synthetic.figure import (
    KEYPOINTS,
    OBJECT,
    PARTS,
    SEEN_ON,
    TORSO,
    Figure,
    sample_figure,
)
from keypoint.data.synthetic.shapes import Array, Hull, Image, Layer, bounds, draw_hulls
from keypoint.data.synthetic.surroundings import (
    cast_shadows,
    sample_background,
    sample_obstacle,
    sample_stray_limb,
)

OBSTACLES = 0.18  # part of the persons with something in front of them
MIN_SCALE = 80.0  # standing height in pixels of the smallest person
MAX_OVERLAP = 0.3  # of the smaller of two boxes

# A person with less visible than this is left out.
MIN_VISIBLE_AREA = 500  # pixels
MIN_VISIBLE_PART = 0.4  # of the pixels inside the image
MIN_VISIBLE_KEYPOINTS = 5


def _seen_labels() -> npt.NDArray[np.bool_]:
    """(17, number of labels), whether a keypoint is visible under a label."""
    seen = np.zeros((len(KEYPOINTS), len(PARTS)), dtype=bool)
    for k, name in enumerate(KEYPOINTS):
        side, _, kind = name.rpartition("_")
        for part in SEEN_ON[kind]:
            seen[k, PARTS.index(part.replace("~", side))] = True
    return seen


SEEN_LABELS = _seen_labels()


@dataclass(frozen=True)
class Scene:
    """A finished picture and the truth about it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        owner: (H, W) index of the person that the pixel belongs to, -1 for background and objects.
        labels: (H, W) index into PARTS of the topmost thing; 0 is background.
        keypoints: (P, 17, 3) x, y, visibility; image frame, pixels.
        figures: P of them, far to near, placed in the image.
    """

    image: Image
    owner: npt.NDArray[np.int16]
    labels: Image
    keypoints: Array
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class _Thing:
    """A painted person, or an object if it has no figure."""

    layer: Layer
    figure: Figure | None


def compose_scene(rng: np.random.Generator, image_size: tuple[int, int]) -> Scene:
    """Draw up to 5 persons of different sizes, with objects in front of some of them.

    A person with too little visible is not drawn at all, so every person in the picture is in the
    ground truth. A picture may have no person, like some of COCO's.
    """
    figures = _place_figures(rng, image_size)
    limbs = [sample_stray_limb(rng, image_size, OBJECT) for _ in range(rng.integers(0, 3))]
    obstacles = [
        sample_obstacle(rng, *bounds(figure.body), OBJECT)
        for figure in figures
        if rng.random() < OBSTACLES
    ]
    groups: list[tuple[Sequence[Hull], Figure | None]] = [(limb, None) for limb in limbs]
    groups += [(figure.hulls, figure) for figure in figures]
    groups += [(obstacle, None) for obstacle in obstacles]
    light_xy = np.array([rng.uniform(-0.3, 0.3), -0.3])
    things = []
    for hulls, figure in groups:
        layer = draw_hulls(hulls, image_size, light_xy, rng)
        if layer is not None:
            things.append(_Thing(layer, figure))

    while True:
        owner, labels = _stack(things, image_size)
        persons = [thing for thing in things if thing.figure is not None]
        truth = [_label_keypoints(p.figure, n, owner, labels) for n, p in enumerate(persons)]
        hidden = [p for n, p in enumerate(persons) if _is_hidden(p, owner == n, truth[n])]
        if not hidden:
            break
        things = [thing for thing in things if thing is not hidden[0]]  # the farthest; look again

    canvas = sample_background(rng, image_size)
    standing = tuple(thing.figure for thing in things if thing.figure is not None)
    cast_shadows(canvas, [bounds(figure.body) for figure in standing])
    for thing in things:
        thing.layer.paint_on(canvas)
    canvas += rng.integers(-7, 8, size=(*image_size, 1), dtype=np.int8)
    image = np.clip(canvas * rng.uniform(0.85, 1.1), 0, 255).astype(np.uint8)
    keypoints = np.stack(truth) if truth else np.zeros((0, len(KEYPOINTS), 3))
    return Scene(image, owner, labels, keypoints, standing)


def _place_figures(rng: np.random.Generator, image_size: tuple[int, int]) -> list[Figure]:
    """Persons from far to near, without those whose boxes overlap another one too much."""
    height, width = image_size
    placed: list[tuple[float, Array, Figure]] = []
    for _ in range(rng.choice([1, 2, 3, 4, 5], p=[0.2, 0.25, 0.25, 0.2, 0.1])):
        figure = sample_figure(rng)
        low, high = bounds(figure.body)
        if rng.random() < 0.09:  # near: the lower border cuts the legs off
            scale = rng.uniform(1.0, 1.5) * height
            y = rng.uniform(0.03, 0.15) * height - low[1] * scale
        else:
            scale = max(MIN_SCALE, height * float(np.exp(rng.uniform(*np.log([0.33, 0.95])))))
            floor = max(0.7 * height, 0.97 * min(scale, height))
            y = rng.uniform(floor, height) - high[1] * scale
        # A side border may cut too.
        margin = 0.02 * width if rng.random() < 0.12 else min((high - low)[0] * scale, width) / 2
        x = rng.uniform(margin, width - margin) - (low[0] + high[0]) / 2 * scale
        offset_xy = np.array([x, y])
        box_xyxy = np.stack([low, high]) * scale + offset_xy
        box_xyxy = np.clip(box_xyxy, 0, [width, height]).ravel()
        if all(_overlap(box_xyxy, other) < MAX_OVERLAP for _, other, _ in placed):
            placed.append((scale, box_xyxy, figure.placed(scale, offset_xy)))
    return [figure for _, _, figure in sorted(placed, key=lambda entry: entry[0])]


def _overlap(a_xyxy: Array, b_xyxy: Array) -> float:
    """Intersection by the smaller box."""
    sides = np.minimum(a_xyxy[2:], b_xyxy[2:]) - np.maximum(a_xyxy[:2], b_xyxy[:2])
    smaller = min(float(np.prod(box[2:] - box[:2])) for box in (a_xyxy, b_xyxy))
    return float(np.prod(np.clip(sides, 0, None))) / max(smaller, 1.0)


def _stack(
    things: Sequence[_Thing], image_size: tuple[int, int]
) -> tuple[npt.NDArray[np.int16], Image]:
    """Topmost person and topmost label of every pixel."""
    owner = np.full(image_size, -1, np.int16)
    labels = np.zeros(image_size, np.uint8)
    person = 0
    for thing in things:
        window, drawn = thing.layer.window, thing.layer.labels
        labels[window][drawn > 0] = drawn[drawn > 0]
        owner[window][drawn > 0] = -1
        if thing.figure is not None:
            owner[window][drawn >= TORSO] = person
            person += 1
    return owner, labels


def _label_keypoints(
    figure: Figure | None, person: int, owner: npt.NDArray[np.int16], labels: Image
) -> Array:
    """(17, 3) x, y and COCO's visibility, see :mod:`keypoint.data.synthetic.demo_set`."""
    assert figure is not None, "an object has no keypoints"
    height, width = owner.shape
    points = np.round(figure.keypoints, 2)  # as the annotations are written
    labelled = ((points >= 0) & (points <= [width - 1, height - 1])).all(axis=1)
    labelled &= ~figure.faces_away
    points[~labelled] = 0
    x, y = np.rint(points).astype(int).T
    seen = (owner[y, x] == person) & SEEN_LABELS[np.arange(len(points)), labels[y, x]]
    visibility = np.where(labelled, np.where(seen, 2, 1), 0)
    return np.concatenate([points, visibility[:, None]], axis=1)


def _is_hidden(person: _Thing, mask: npt.NDArray[np.bool_], keypoints: Array) -> bool:
    whole = int((person.layer.labels >= TORSO).sum())
    return bool(
        mask.sum() < max(MIN_VISIBLE_AREA, MIN_VISIBLE_PART * whole)
        or (keypoints[:, 2] == 2).sum() < MIN_VISIBLE_KEYPOINTS
    )
