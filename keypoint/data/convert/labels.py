"""Content of a labelling tool's files, in one form for all tools: pictures, persons, named points.

A reader fills `Labels` from its files and opens no image. Entries that it cannot use are counted in
`left_out` by reason, with their places, so that nothing is dropped silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError

VISIBLE, OCCLUDED = 2, 1  # COCO's flags; a missing keypoint has no point
INSTALL = 'pip install "keypoint[convert]", or in a clone: -e ".[convert]"'
Bbox = tuple[float, float, float, float]


@dataclass
class Person:
    """One labelled object.

    Attributes:
        points: (x, y, flag) of each labelled keypoint, by its name.
        bbox_xywh: The labelled box; None if the tool has none.
        category: Name of its class.
        track: The tool's name of the same object on other frames, if any.
    """

    points: dict[str, tuple[float, float, int]]
    bbox_xywh: Bbox | None = None
    category: str = "object"
    track: str | int | None = None


@dataclass
class Picture:
    """One labelled image.

    Attributes:
        name: The image as the label file calls it, with "/" between folders.
        persons: Objects on it.
        image_size: (height, width) that the label file states; None if it does not.
        relative: Coordinates are shares of width and height instead of pixels.
        group: The video or folder it is of: a split does not divide one.
        video: Video file and frame number (from 0), if it has to be read from one.
        is_frame: It is a video frame, so its neighbours look alike.
        content: The image itself if the label file holds it: the bytes of an image file, or the
            decoded (H, W, 3) or (H, W, 1) uint8 RGB.
        split: "train", "val" or "test", if the tool has a split.
        file: Its image on this computer, once it is found or written.
    """

    name: str
    persons: list[Person]
    image_size: tuple[int, int] | None = None
    relative: bool = False
    group: str = ""
    video: tuple[str, int] | None = None
    is_frame: bool = False
    content: Callable[[], bytes | NDArray[np.uint8]] | None = None
    split: str | None = None
    file: Path | None = None


@dataclass
class Labels:
    """Everything that was read.

    Attributes:
        form: The tool's name, for the messages.
        keypoints: Keypoint names in order, by the name of the class.
        edges: Limbs to draw, by the name of the class.
        pairs: (left, right) names, if the tool states them; None to guess by names.
        pictures: Images in the order of the files.
        left_out: Places of what was left out, by reason.
        loose: Names of points that were labelled one by one, without a class.
        notes: Remarks about the reading for the user.
    """

    form: str
    keypoints: dict[str, list[str]] = field(default_factory=dict)
    edges: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    pairs: list[tuple[str, str]] | None = None
    pictures: list[Picture] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, place: str) -> None:
        """Count something that is not used."""
        self.left_out.setdefault(reason, []).append(place)

    def left_out_lines(self) -> list[str]:
        """A line for each reason: how many, and an example."""
        return [f"{why}: {len(at)} (for example {at[0]})" for why, at in self.left_out.items()]

    def add_name(self, category: str, name: str) -> None:
        """Append a keypoint to those of a class, if it is new."""
        names = self.keypoints.setdefault(category, [])
        if name not in names:
            names.append(name)


def one_class(labels: Labels, category: str | None) -> tuple[list[str], list[tuple[str, str]]]:
    """Keep the objects to convert: of one class, or of all that have equal keypoints.

    Args:
        labels: What was read; objects of other classes are moved to `left_out`.
        category: The class; None for all.

    Returns:
        Keypoint names and edges.

    Raises:
        DataError: No class has this name, no keypoints, or classes with different keypoints.
    """
    classes = {name: points for name, points in labels.keypoints.items() if points}
    if category is not None and category not in classes:
        raise DataError(
            f"--category {category!r}: no such class with keypoints; there are {list(classes)}"
        )
    if not classes:
        raise DataError.of_many(
            f"{labels.form}: no keypoint is labelled; label keypoints, or give another file",
            labels.left_out_lines() or [f"images: {len(labels.pictures)}"],
        )
    nameless = [name for name, points in classes.items() if any(not p.strip() for p in points)]
    if nameless:
        raise DataError(
            f"{labels.form}: class {nameless[0]!r} has a keypoint without a name; give it one in "
            "the tool"
        )
    chosen = [category] if category is not None else list(classes)
    first = chosen[0]
    if any(classes[name] != classes[first] for name in chosen):
        counts = {name: f"{len(points)} keypoints" for name, points in classes.items()}
        raise DataError(
            f"{labels.form}: classes with different keypoints ({counts}); a network is trained on "
            "one: convert each with its own --category NAME and --output"
        )
    for picture in labels.pictures:
        for person in picture.persons:
            if person.category not in chosen:
                labels.leave_out("objects of another class", f"{picture.name}: {person.category}")
        picture.persons = [person for person in picture.persons if person.category in chosen]
    note_joined(labels)
    return classes[first], labels.edges.get(first, [])


def note_joined(labels: Labels) -> None:
    """Note the classes that become one, with an image of the rarest, whose name may be misspelt."""
    first: dict[str, str] = {}  # image of each class
    counts: Counter[str] = Counter()
    for picture in labels.pictures:
        for person in picture.persons:
            counts[person.category] += 1
            first.setdefault(person.category, picture.name)
    if len(counts) < 2:
        return
    listed = ", ".join(f"{name} ({number})" for name, number in counts.most_common())
    rarest = counts.most_common()[-1][0]
    labels.notes.append(
        f"{len(counts)} classes with equal keypoints are joined, by their number of objects: "
        f"{listed}; {rarest} is for example on {first[rarest]}"
    )


def incomplete(labels: Labels, names: Sequence[str]) -> list[str]:
    """Return a line for each object that has some of these keypoints and lacks others."""
    lines = []
    for picture in labels.pictures:
        for number, person in enumerate(picture.persons, 1):
            missing = [name for name in names if name not in person.points]
            if person.points and missing:
                lines.append(f"{picture.name}, object {number}: {', '.join(missing)}")
    return lines
