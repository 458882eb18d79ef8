"""One picture on request: read it, find its persons, and draw them with any threshold.

The network runs once. Its result is kept with a copy of the picture that is small enough to be
drawn and sent quickly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.header import read_header
from keypoint.data.images.upright import read_upright
from keypoint.drawing.persons import draw_keypoints, fit_picture, fit_points
from keypoint.errors import DataError, KeypointError
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.inputs.frames import Frame
from keypoint.prediction.output import record_of
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import FindPersons, Predicted

SHOWN_SIDE = 1600  # pixels of the longer side that a page shows
MOST_PERSONS = 100  # boxes that a visitor may give
BOX_COLUMNS = ("x", "y", "width", "height")


@dataclass(frozen=True)
class FoundPersons:
    """The persons found on a picture.

    Attributes:
        predicted: The persons, in the frame of the upright picture; its frame has no image.
        shown: (h, w, 3) uint8 RGB, the upright picture, its longer side at most `SHOWN_SIDE`.
    """

    predicted: Predicted
    shown: NDArray[np.uint8]


def find_on_picture(
    path: Path,
    predictor: Predictor,
    find_persons: FindPersons,
    boxes_xywh: NDArray[np.float64] | None = None,
) -> FoundPersons:
    """Read a picture and predict all persons on it.

    Args:
        path: A JPEG, PNG, BMP or WebP file; turned upright by its EXIF orientation.
        predictor: Finds the keypoints.
        find_persons: Finds the boxes if none are given.
        boxes_xywh: (P, 4), in pixels of the upright picture.

    Raises:
        DataError: The picture cannot be read, or a box has no area or is outside the picture. The
            message names the file without its folder.
        NumericsError: A number of the network or the detector is not finite.
    """
    try:
        image, orientation = read_upright(path)
        height, width = image.shape[:2]
        frame = Frame(Path(path.name), None, 0.0, 0.0, 1, (height, width), orientation, image)
        if boxes_xywh is None:
            [(boxes, box_scores)] = find_persons([frame])
        else:
            boxes, box_scores = boxes_xywh, np.ones(len(boxes_xywh))
        prediction = predictor(image, boxes)
    except KeypointError as error:  # do not show the folder of uploads
        raise type(error)(str(error).replace(f"{path.parent}/", "")) from None
    frame.image = None
    found = Predicted(frame, boxes, box_scores, prediction.keypoints, prediction.scores, 0)
    if max(height, width) > SHOWN_SIDE:
        image, _ = fit_picture(image, (SHOWN_SIDE, SHOWN_SIDE))
    return FoundPersons(found, image)


def write_upright(path: Path, folder: Path) -> Path | None:
    """Write an upright copy of a picture if browsers would not show it upright.

    All browsers turn a JPEG by its EXIF orientation; Chromium 156 does not turn a WebP.

    Args:
        path: A picture that `read_upright` reads.
        folder: Parent of a new folder with a PNG of the same name, which has no orientation.

    Returns:
        The PNG; None if the picture can be shown as it is.
    """
    header = read_header(path.read_bytes())
    if header is None or header.form == "JPEG" or header.orientation == 1:
        return None
    image, _ = read_upright(path)
    written = Path(tempfile.mkdtemp(dir=folder), f"{path.stem}.png")
    written.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    return written


def draw_found(found: FoundPersons, skeleton: Skeleton, threshold: float) -> NDArray[np.uint8]:
    """Draw the persons on `found.shown`, without keypoints below the threshold."""
    height, width = found.predicted.frame.image_size
    scale = np.array(found.shown.shape[1::-1]) / [width, height]  # 2, x y
    points = fit_points(found.predicted.keypoints, scale)
    return draw_keypoints(found.shown, points, found.predicted.scores, skeleton, threshold)


def describe_found(found: FoundPersons, threshold: float) -> str:
    """Return one line about the persons found."""
    predicted = found.predicted
    height, width = predicted.frame.image_size
    persons, seen = len(predicted.boxes), int((predicted.scores > threshold).sum())
    turned = predicted.frame.orientation != 1
    if not persons:
        return f"no person was found; {width} x {height} pixels"
    return (
        f"{persons} person{'' if persons == 1 else 's'}, {seen} of {predicted.scores.size} "
        f"keypoints above {threshold:.2f}; {width} x {height} pixels"
        f"{', turned upright' if turned else ''}"
    )


def record_of_found(found: FoundPersons, skeleton: Skeleton) -> dict[str, Any]:
    """Return the picture's record as in records.jsonl, and the names of its keypoints."""
    return record_of(found.predicted) | {"keypoint_names": list(skeleton.keypoints)}


def read_boxes(rows: Sequence[Sequence[Any]]) -> NDArray[np.float64] | None:
    """Return boxes from the rows of a table with `BOX_COLUMNS`; empty rows are left out.

    Returns:
        (P, 4), or None if all rows are empty.

    Raises:
        DataError: A row is not four numbers, or there are more than `MOST_PERSONS` rows.
    """
    filled = [row for row in rows if any(cell not in ("", None) for cell in row)]
    if len(filled) > MOST_PERSONS:
        raise DataError(f"{len(filled)} person boxes are too many; give at most {MOST_PERSONS}")
    boxes = np.zeros((len(filled), len(BOX_COLUMNS)))
    for number, row in enumerate(filled):
        try:
            x, y, width, height = (float(cell) for cell in row)
        except (TypeError, ValueError):
            raise DataError(
                f"box {number} is {str(row)[:60]}; give {' '.join(BOX_COLUMNS)}, four numbers in "
                "pixels"
            ) from None
        boxes[number] = x, y, width, height
    return boxes if filled else None
