"""labelme: a JSON file per image, points and rectangles joined by their group id.

Source: labelme 6.3, `labelme/_label_file.py`. A point is a shape of type "point", whose label is
the keypoint; a rectangle's label is the class. The flag "occluded" of a point, if it is used, is
COCO's. labelme shows photos upright, and stores the image in the file by default.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

from keypoint.data.convert.labels import OCCLUDED, VISIBLE, Labels, Picture
from keypoint.data.convert.readers.grouping import Box, Point, join, name_all
from keypoint.errors import DataError
from keypoint.files import read_json


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is of this form."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(files: list[Path]) -> Labels:
    """Read label files, one for each image."""
    labels = Labels("labelme")
    for file in files:
        labels.pictures.append(_picture(file, read_json(file, "labelme labels"), labels))
    name_all(labels)
    return labels


def _picture(file: Path, content: dict[str, Any], labels: Labels) -> Picture:
    points, boxes = [], []
    if not isinstance(content["shapes"], list):
        raise DataError(f"{file}: 'shapes' is not a list; save it again in labelme")
    for shape in content["shapes"]:
        kind, corners = _shape(file, shape)
        flags = shape.get("flags")
        occluded = isinstance(flags, dict) and flags.get("occluded") is True
        group = shape.get("group_id")
        if kind == "point":
            flag = OCCLUDED if occluded else VISIBLE
            x, y = corners[0]
            points.append(Point(shape["label"], x, y, flag, group))
        elif kind == "rectangle":
            (x1, x2), (y1, y2) = (sorted(side) for side in zip(*corners[:2], strict=True))
            boxes.append(Box(shape["label"], (x1, y1, x2 - x1, y2 - y1), group))
        else:
            labels.leave_out(f"shapes of type {kind}", f"{file}: {shape['label']}")
    height, width = content.get("imageHeight"), content.get("imageWidth")
    # labelme on Windows writes "..\\images\\a.jpg".
    name = PureWindowsPath(str(content["imagePath"])).as_posix()
    return Picture(
        name=str(file.parent / name),
        persons=join(points, boxes, labels, str(file)),
        image_size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        group=str((file.parent / name).parent),
        content=_content(file, content.get("imageData")),
    )


def _shape(file: Path, shape: Any) -> tuple[str, list[list[float]]]:
    """Type and points of a shape.

    Raises:
        DataError: It is not labelme's.
    """
    points = shape.get("points") if isinstance(shape, dict) else None
    fits = isinstance(points, list) and all(
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in point)
        for point in points
    )
    kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else None
    enough = {"point": 1, "rectangle": 2}.get(str(kind), 0)
    known = isinstance(shape, dict) and isinstance(shape.get("label"), str)
    known = known and isinstance(shape.get("group_id"), (int, str, type(None)))
    if not fits or not known or len(points or []) < enough:
        raise DataError(
            f"{file}: a shape is not labelme's ({str(shape)[:80]}); it needs label, shape_type, "
            "points as [x, y], and a number or null as group_id"
        )
    return str(kind), points or []


def _content(file: Path, data: Any) -> Callable[[], bytes] | None:
    if not isinstance(data, str) or not data:
        return None

    def decode() -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise DataError(f"{file}: imageData is not an image ({error})") from None

    return decode
