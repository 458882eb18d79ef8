"""One picture on request: read it, find its persons, and draw them as often as somebody likes.

The network runs once; what it found is kept with a copy of the picture that is small enough to be
drawn and sent at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.upright import read_upright
from keypoint.drawing.persons import draw_keypoints
from keypoint.errors import DataError, KeypointError
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.frames import Frame
from keypoint.prediction.output import record_of
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import FindPersons, Predicted

SHOWN_SIDE = 1600  # pixels of the longer side that a page shows
MOST_PERSONS = 100  # that somebody may give boxes of
BOX_TEXT = "x y width height"


@dataclass(frozen=True)
class FoundPersons:
    """What was found on a picture.

    Attributes:
        predicted: The persons, in the frame of the upright picture; its frame has no image.
        shown: (h, w, 3) uint8 RGB, the upright picture, its longer side `SHOWN_SIDE` at most.
    """

    predicted: Predicted
    shown: NDArray[np.uint8]


def find_on_picture(
    path: Path,
    predictor: Predictor,
    find_persons: FindPersons,
    boxes_xywh: NDArray[np.float64] | None = None,
) -> FoundPersons:
    """Read a picture and predict everybody on it.

    Args:
        path: A JPEG, PNG, BMP or WebP file; turned upright by its EXIF orientation.
        predictor: Finds the keypoints.
        find_persons: Finds the boxes where none are given.
        boxes_xywh: (P, 4), in pixels of the upright picture.

    Raises:
        DataError: The picture cannot be read; a box without an area or outside the picture. The
            message names the file without its folder.
        NumericsError: The network's or the detector's numbers are not finite.
    """
    try:
        image, orientation = read_upright(path)
        height, width = image.shape[:2]
        frame = Frame(Path(path.name), None, 0.0, 0.0, 1, (height, width), orientation, image)
        if boxes_xywh is None:
            [(boxes, box_scores)] = find_persons([frame])
        else:
            boxes, box_scores = boxes_xywh, np.ones(len(boxes_xywh))
            _require_inside(boxes, frame)
        prediction = predictor(image, boxes)
    except KeypointError as error:  # where an upload lies is nobody's business
        raise type(error)(str(error).replace(f"{path.parent}/", "")) from None
    frame.image = None
    found = Predicted(frame, boxes, box_scores, prediction.keypoints, prediction.scores, 0)
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return FoundPersons(found, image)


def draw_found(found: FoundPersons, skeleton: Skeleton, threshold: float) -> NDArray[np.uint8]:
    """The persons on `found.shown`; keypoints of a lower score than the threshold are left out."""
    height, width = found.predicted.frame.image_size
    scale = np.array(found.shown.shape[1::-1]) / [width, height]  # 2, x y
    points = (found.predicted.keypoints + 0.5) * scale - 0.5  # a pixel is the square about (x, y)
    return draw_keypoints(found.shown, points, found.predicted.scores, skeleton, threshold)


def describe_found(found: FoundPersons, threshold: float) -> str:
    """One line on what was found."""
    predicted = found.predicted
    height, width = predicted.frame.image_size
    persons, seen = len(predicted.boxes), int((predicted.scores > threshold).sum())
    turned = predicted.frame.orientation != 1
    if not persons:
        return f"nobody was found; {width} x {height} pixels"
    return (
        f"{persons} person{'' if persons == 1 else 's'}, {seen} of {predicted.scores.size} "
        f"keypoints above {threshold:.2f}; {width} x {height} pixels"
        f"{', turned upright' if turned else ''}"
    )


def record_text(found: FoundPersons, skeleton: Skeleton) -> str:
    """The picture's line of records.jsonl and its keypoints' names, as JSON with a key a line."""
    record = record_of(found.predicted) | {"keypoint_names": list(skeleton.keypoints)}
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in record.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def parse_boxes(text: str) -> NDArray[np.float64] | None:
    """Boxes that somebody typed, `BOX_TEXT` a line; commas and empty lines do no harm.

    Returns:
        (P, 4), or None where nothing is given.

    Raises:
        DataError: A line is not four numbers; more than `MOST_PERSONS` lines.
    """
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > MOST_PERSONS:
        raise DataError(f"{len(lines)} person boxes; give {MOST_PERSONS} at most")
    boxes = []
    for number, line in lines:
        try:
            values = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            values = []
        if len(values) != 4:
            raise DataError(
                f"line {number} of the person boxes is {line.strip()[:60]!r}; give {BOX_TEXT}, "
                "four numbers in pixels"
            )
        boxes.append(values)
    return np.array(boxes, np.float64) if boxes else None


def _require_inside(boxes: NDArray[np.float64], frame: Frame) -> None:
    """Predictor looks at what a box is by itself, but not at where it lies."""
    size = np.array(frame.image_size[::-1])
    outside = (boxes[:, :2] >= size) | (boxes[:, :2] + boxes[:, 2:] < 0)  # as `outside`
    if outside.any():
        number = int(np.flatnonzero(outside.any(axis=1))[0])
        raise DataError(
            f"box {number} is {boxes[number].tolist()}, outside the picture of "
            f"{size[0]} x {size[1]} pixels; give boxes on it"
        )
