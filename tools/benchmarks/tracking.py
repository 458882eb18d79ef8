"""`run.py tracking`: identities of persons in generated scenes, by our tracker and by others.

A scene has persons of known identity who walk and swing their limbs, and a detector and a network
with realistic errors: boxes and keypoints are jittered, detections are lost, a person behind
another has few confident keypoints, persons are boxed twice, in part, or with the whole image.

Scores are for true persons only: identity switches (a person has another id than the last time) and
IDF1 (Ristani et al. 2016), the share of detections with the person's id under the best one-to-one
assignment of ids. A detection without an id counts as missed; if a person is boxed twice, either
box may have the id.

The trackers of `trackers` are measured too, if it is installed. They follow boxes, and get the
frames' times and settings like ours: a person has an id at once, and keeps it for a second.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from timing import add_number, table

from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.tracking import Tracker

HELP, DESCRIPTION = "identities", "Count identity switches of trackers on generated scenes."
SKELETON = load_skeleton("coco17")
SECONDS = 8.0
ROOM = np.array([640.0, 200.0])  # that a person's top left corner turns back at; images are 640x480
# A standing person of height 1: x, y of COCO's keypoints.
POSE = np.array(
    [(0, 4), (1, 3), (-1, 3), (3, 4), (-3, 4), (10, 19), (-10, 19), (13, 34), (-13, 34), (14, 48)]
    + [(-14, 48), (7, 52), (-7, 52), (8, 74), (-8, 74), (8, 96), (-8, 96)]
)
POSE = (POSE / 100).astype(np.float64)
SWING = np.zeros(17)  # of height, at a step's end
SWING[7:11] = 0.05, -0.05, 0.1, -0.1
SWING[13:17] = -0.06, 0.06, -0.12, 0.12
OTHERS = ("SORTTracker", "ByteTrackTracker", "OCSORTTracker", "CBIoUTracker")
FALSE = -1  # identity of a detection that is not another person
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """A kind of scene; shares are of detections unless noted otherwise."""

    persons: int = 5
    rate: float = 30.0  # frames a second
    varied: bool = False  # frames come at uneven times
    speed: float = 0.6  # heights a second
    pan: float = 0.0  # of the camera, image widths a second
    jitter: float = 0.01  # of heights, of keypoints; of boxes twice as much
    lost: float = 0.02
    hidden: bool = False  # each person once, for half a second
    twice: float = 0.0  # boxed twice
    part: float = 0.0  # boxed in part, too
    bystanders: int = 0  # persons with one or two confident keypoints
    whole: float = 0.0  # share of frames with a box of the whole image
    level: float = 0.9  # highest score


SETTINGS = {
    "easy": Setting(persons=3),
    "crossing": Setting(persons=8, speed=0.8),
    "hidden 0.5 s": Setting(hidden=True),
    "30 % lost": Setting(lost=0.3),
    "jitter": Setting(jitter=0.03),
    "boxed twice": Setting(twice=0.1),
    "part boxes": Setting(part=0.15),
    "bystanders": Setting(bystanders=4, speed=0.9),
    "whole-image boxes": Setting(whole=0.3, speed=0.9),
    "panning camera": Setting(pan=0.5),
    "5 frames/s": Setting(rate=5.0),
    "uneven frames": Setting(rate=12.0, varied=True, speed=0.8),
    "scores of 0.1": Setting(level=0.1),
    "scores around 0.2": Setting(level=0.25),
    "all of it": Setting(
        persons=6, rate=15.0, varied=True, speed=0.8, pan=0.1, jitter=0.02, lost=0.1, hidden=True,
        twice=0.05, part=0.05, bystanders=2, whole=0.05,
    ),
}  # fmt: skip


@dataclass
class Shown:
    """Detections of one frame: time, (P,) identities, (P, K, 2), (P, K) and (P, 4)."""

    seconds: float
    identity: NDArray[np.int64]
    keypoints: Floats
    scores: Floats
    boxes_xywh: Floats


def scene(setting: Setting, seed: int) -> list[Shown]:
    """Generate the detections of a scene."""
    rng = np.random.default_rng(seed)
    count = setting.persons + setting.bystanders
    height = rng.uniform(120, 260, (count, 1))
    place = rng.uniform(0, 1, (count, 2)) * ROOM
    angle = rng.uniform(-0.3, 0.3, count) + np.pi * rng.integers(0, 2, count)
    velocity = height * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    velocity *= setting.speed * rng.uniform(0.5, 1.5, (count, 1))
    velocity[setting.persons :] = 0
    depth, phase = rng.permutation(count), rng.uniform(0, 2 * np.pi, (count, 1))
    dim = np.zeros((count, 17), bool)
    dim[setting.persons :] = rng.random((setting.bystanders, 17)).argsort(axis=1) > 1
    hidden_from = rng.uniform(1, SECONDS - 1, count) if setting.hidden else np.full(count, SECONDS)
    shown, now = [], 0.0
    while now < SECONDS:
        swing = SWING * np.sin(phase + 2 * np.pi * 0.9 * now)  # P K
        points = POSE + np.stack([swing, np.zeros_like(swing)], axis=2)
        points = place[:, None] + height[:, None] * points  # P K 2
        hidden = (now >= hidden_from) & (now < hidden_from + 0.5)
        found = _detect(points, depth, dim, hidden, setting, rng)
        shown.append(_shown(now, found, setting.level / 0.9, rng))
        step = (rng.choice([0.3, 0.7, 1.0, 2.0]) if setting.varied else 1.0) / setting.rate
        pan = (1 if now % 4 < 2 else -1) * setting.pan * 640  # turns back every two seconds
        velocity[((place < 0) & (velocity < 0)) | ((place > ROOM) & (velocity > 0))] *= -1
        place, now = place + step * (velocity + [pan, 0]), now + step
    return shown


Found = list[tuple[int, Floats, Floats, Floats]]  # identity, keypoints, scores, box


def _detect(
    points: Floats,
    depth: NDArray[np.int64],
    dim: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    setting: Setting,
    rng: np.random.Generator,
) -> Found:
    """The detections of persons at `points` (P K 2), of whom keypoints are `dim` (P K)."""
    found: Found = []
    height = (points.max(axis=1) - points.min(axis=1))[:, 1]
    for who in np.flatnonzero(~hidden):
        truth, tall = points[who], height[who]
        covered = _covered(truth, points[depth < depth[who]])
        scores = np.where(covered | dim[who], rng.uniform(0, 0.1, 17), rng.uniform(0.6, 0.9, 17))
        noise = np.where(covered, 0.06, setting.jitter)[:, None] * tall
        if rng.random() < max(setting.lost, 0.8 * (covered.mean() > 0.6)):
            continue
        box = _box(truth, 0.08) + rng.normal(0, 2 * setting.jitter * tall, 4)
        found.append((who, rng.normal(truth, noise), scores, box))
        if rng.random() < setting.twice:
            again = box + rng.normal(0, 3, 4)
            found.append((who, rng.normal(truth, noise), rng.permutation(scores), again))
        if rng.random() < setting.part:  # head and arms, legs, or any two keypoints
            kinds = np.arange(17) < 11, np.arange(17) >= 11, rng.permutation(17) < 2
            sure = kinds[rng.integers(3)]
            part = rng.normal(truth, np.where(sure[:, None], 1, 3) * noise)
            spread = np.concatenate([truth[sure], truth[sure] + 0.1 * tall])
            found.append((FALSE, part, np.where(sure, 0.8, 0.05), _box(spread, 0.1)))
    if rng.random() < setting.whole:  # with keypoints of some person
        who = rng.integers(len(points))
        mixed = rng.normal(points[who], 0.05 * height[who])
        scores = np.where(rng.random(17) < 0.5, 0.6, 0.1)
        found.append((FALSE, mixed, scores, np.array([0.0, 0.0, 640.0, 480.0])))
    return found


def _covered(points: Floats, before: Floats) -> NDArray[np.bool_]:
    """(K,) keypoints behind the middle of one of the persons before (P K 2)."""
    first, last = before.min(axis=1), before.max(axis=1)  # P 2
    quarter = (last - first) * [0.25, 0]
    inside = (points[:, None] > first + quarter) & (points[:, None] < last - quarter)  # K P 2
    return np.asarray(inside.all(axis=2).any(axis=1))


def _box(points: Floats, margin: float) -> Floats:
    first, last = points.min(axis=0), points.max(axis=0)
    return np.concatenate([first - margin * (last - first), (1 + 2 * margin) * (last - first)])


def _shown(seconds: float, found: Found, level: float, rng: np.random.Generator) -> Shown:
    """The detections as arrays, in any order."""
    order = rng.permutation(len(found))
    who, points, scores, boxes = ([found[row][column] for row in order] for column in range(4))
    return Shown(
        seconds,
        np.array(who, np.int64),
        np.array(points).reshape(-1, 17, 2),
        np.array(scores).reshape(-1, 17) * level,
        np.array(boxes).reshape(-1, 4),
    )


@dataclass
class Score:
    """Sums over scenes: identity switches, and persons in frames: right, with an id, all."""

    switches: int = 0
    right: int = 0
    with_id: int = 0
    total: int = 0

    def add(self, frames: list[Shown], ids: list[NDArray[np.int64]]) -> None:
        """Add a scene; `ids` are 0 for detections without one."""
        last: dict[int, int] = {}
        pairs: Counter[tuple[int, int]] = Counter()
        for frame, found in zip(frames, ids, strict=True):
            for who in set(frame.identity.tolist()) - {FALSE}:
                self.total += 1
                numbers = [number for number in found[frame.identity == who].tolist() if number]
                if numbers:
                    number = last[who] if last.get(who) in numbers else numbers[0]
                    self.switches += last.setdefault(who, number) != number
                    last[who] = number
                    pairs[who, number] += 1
        persons, numbers = ({pair[i] for pair in pairs} for i in (0, 1))
        counts = np.array([[pairs[who, number] for number in numbers] for who in persons])
        self.right += int(counts[linear_sum_assignment(counts, maximize=True)].sum())
        self.with_id += pairs.total()

    def cells(self) -> list[str]:
        """Switches and IDF1 in percent."""
        return [str(self.switches), f"{200 * self.right / (self.with_id + self.total):.1f}"]


Way = Callable[[list[Shown]], list[NDArray[np.int64]]]


def ours(frames: list[Shown]) -> list[NDArray[np.int64]]:
    """Our tracker."""
    tracker = Tracker(SKELETON.oks_sigmas)
    return [tracker.update(f.seconds, f.keypoints, f.scores, f.boxes_xywh) for f in frames]


def by_trackers(name: str) -> Way:
    """A tracker of the library `trackers`; each box has the score 0.9."""
    import supervision
    import trackers

    def run(frames: list[Shown]) -> list[NDArray[np.int64]]:
        tracker = getattr(trackers, name)(minimum_consecutive_frames=1)
        found = []
        for frame in frames:
            xyxy = frame.boxes_xywh.copy()
            xyxy[:, 2:] += xyxy[:, :2]
            scores, rows = np.full(len(xyxy), 0.9), {"row": np.arange(len(xyxy))}
            given = supervision.Detections(xyxy, confidence=scores, data=rows)
            result = tracker.update(given, timestamp=frame.seconds)
            ids = np.zeros(len(xyxy), np.int64)
            if len(result):
                ids[result.data["row"]] = np.asarray(result.tracker_id) + 1  # -1: none
            found.append(ids)
        return found

    return run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tracking`."""
    add_number(parser, "--scenes", 10, "scenes of each kind")


def measure(args: argparse.Namespace) -> str:
    """Score the trackers on all kinds of scenes."""
    ways, versions = {"ours": ours}, "`trackers` is not installed"
    try:
        versions = f"trackers {version('trackers')}, supervision {version('supervision')}"
        ways |= {name.removesuffix("Tracker"): by_trackers(name) for name in OTHERS}
    except PackageNotFoundError:
        pass
    rows, totals = [], {name: Score() for name in ways}
    for kind, setting in SETTINGS.items():
        scores = {name: Score() for name in ways}
        for seed in range(args.scenes):
            frames = scene(setting, seed)
            for name, way in ways.items():
                ids = way(frames)
                scores[name].add(frames, ids)
                totals[name].add(frames, ids)
        rows.append([kind, *(cell for score in scores.values() for cell in score.cells())])
    rows.append(["all", *(cell for score in totals.values() for cell in score.cells())])
    header = ["scenes", *(text for name in ways for text in (f"{name}: switches", "IDF1"))]
    head = f"* {args.scenes} scenes of {SECONDS:g} s of each kind; {versions}\n\n"
    return f"{head}{table(header, rows)}\n"
