"""Label Studio's JSON export: a list of tasks, key points and rectangles in percent of the image.

Source: Label Studio's "Image annotation" export, and its converter in label-studio-sdk 2.1. A point
belongs to the rectangle that is its `parentID`, or that a relation connects it to. Points have no
flag for occlusion. sleap-io also reads such files, but with a random order of keypoints, without
boxes and parents, and only with its own `meta.video`; that key is read here for files it wrote.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from keypoint.data.convert.labels import VISIBLE, Bbox, Labels, Picture
from keypoint.data.convert.readers.coco import plain_key
from keypoint.data.convert.readers.grouping import Box, Point, join, name_all
from keypoint.errors import DataError
from keypoint.files import read_json

IMAGE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif)(\?|$)", re.IGNORECASE)
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of an uploaded file


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's content is of this form, or of JSON-MIN, which `read` refuses."""
    return _tasks(content, "annotations") or _tasks(content, "annotation_id")


def _tasks(content: Any, key: str) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and key in task for task in content)
    )


def read(files: list[Path]) -> Labels:
    """Read exports."""
    labels = Labels("Label Studio")
    for file in files:
        content = read_json(file, "Label Studio tasks")
        for place, task in enumerate(content):
            name = f"{file.name}: task {task.get('id', f'number {place}')}"
            if not isinstance(task.get("annotations"), list):
                raise DataError(f"{name} has no annotations; export as JSON, not JSON-MIN")
            picture = _picture(task, name, labels)
            if picture is not None:
                labels.pictures.append(picture)
    name_all(labels)
    return labels


def _picture(task: dict[str, Any], place: str, labels: Labels) -> Picture | None:
    done = [a for a in task["annotations"] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        labels.leave_out("tasks without an annotation", place)
        return None
    for _ in done[1:]:
        labels.leave_out("second annotations of a task", place)
    name, video = _image_name(task), _frame(task)
    if name is None and video is None:
        labels.leave_out("tasks without an image", place)
        return None
    points, boxes = [], []
    size: tuple[int, int] | None = None
    given = done[0].get("result")
    results = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    owners = _owners(results)
    for item in results:
        kind, value = item.get("type"), item.get("value")
        if kind == "relation" or not isinstance(value, dict):
            continue
        if item.get("image_rotation"):
            labels.leave_out("labels of an image that was rotated in Label Studio", place)
            continue
        names = value.get(kind) if isinstance(kind, str) else None
        label = str(names[0]) if isinstance(names, list) and names else None
        stated = item.get("original_height"), item.get("original_width")
        if all(isinstance(side, int) and side > 0 for side in stated):
            size = stated  # type: ignore[assignment]
        if kind == "keypointlabels" and label:
            x, y = _shares(value, ("x", "y"), place)
            points.append(Point(label, x, y, VISIBLE, owners.get(plain_key(item.get("id")))))
        elif kind == "rectanglelabels" and label:
            bbox = _bbox(value, place, size)
            key = plain_key(item.get("id"))
            boxes.append(Box(label, bbox, key if key in set(owners.values()) else None))
        else:
            labels.leave_out(f"labels of type {kind}", place)
    return Picture(
        name=name or f"{(video or ('', 0))[0]} frame {(video or ('', 0))[1]}",
        persons=join(points, boxes, labels, place),
        image_size=size,
        relative=True,
        group=video[0] if video else str(Path(name or "").parent),
        video=video,
        is_frame=video is not None,
    )


def _owners(results: list[dict[str, Any]]) -> dict[Any, Any]:
    """The rectangle of each point that has one, by id: its parent, or by a relation of the two."""
    boxes = {plain_key(r.get("id")) for r in results if r.get("type") == "rectanglelabels"}
    parents = {plain_key(r.get("id")): plain_key(r.get("parentID")) for r in results}
    owners = {key: parent for key, parent in parents.items() if parent in boxes}
    for item in results:
        if item.get("type") == "relation":
            ends = plain_key(item.get("from_id")), plain_key(item.get("to_id"))
            for point, box in (ends, ends[::-1]):
                if box in boxes and point not in boxes:
                    owners.setdefault(point, box)
    return owners


def _shares(value: dict[str, Any], keys: tuple[str, ...], place: str) -> list[float]:
    numbers = [value.get(key) for key in keys]
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise DataError(f"{place}: {dict(zip(keys, numbers, strict=True))} are not percentages")
    return [float(number) / 100 for number in numbers if number is not None]


def _bbox(value: dict[str, Any], place: str, size: tuple[int, int] | None) -> Bbox:
    """The upright box, in shares, around a rectangle that may be turned about its first corner."""
    x, y, width, height = _shares(value, ("x", "y", "width", "height"), place)
    turn = value.get("rotation", 0)
    angle = math.radians(turn) if isinstance(turn, (int, float)) and math.isfinite(turn) else 0
    if not angle:
        return x, y, width, height
    tall, wide = size or (1, 1)  # a rotation applies to pixels, not to shares
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(a * width * wide, b * height * tall) for a in (0, 1) for b in (0, 1)]
    xs = [x + (a * cosine - b * sine) / wide for a, b in corners]
    ys = [y + (a * sine + b * cosine) / tall for a, b in corners]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _image_name(task: dict[str, Any]) -> str | None:
    """Return the image's path as far as it is in the export: the upload, a local file or a URL."""
    data = task.get("data")
    values = list(data.values()) if isinstance(data, dict) else []
    meta = task.get("meta")
    video = meta.get("video") if isinstance(meta, dict) else None
    files = video.get("filename") if isinstance(video, dict) else None
    if isinstance(files, list) and isinstance(video, dict):
        values += files[video.get("frame_idx", 0) :]  # of sleap-io
    for value in values:
        if isinstance(value, str) and IMAGE.search(value):
            parts = urlsplit(value)
            local = parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/image.jpg
            path = PureWindowsPath(local[0] if local else unquote(parts.path)).as_posix()
            return path.lstrip("/") if not Path(path).is_file() else path
    return None


def _frame(task: dict[str, Any]) -> tuple[str, int] | None:
    """sleap-io's own key: the video and the number of the frame."""
    meta = task.get("meta")
    video = meta.get("video") if isinstance(meta, dict) else None
    if not isinstance(video, dict) or not isinstance(video.get("frame_idx"), int):
        return None
    if isinstance(video.get("filename"), list):
        return None  # images: see _image_name
    return str(video.get("filename")), video["frame_idx"]


def upload_name(name: str) -> str:
    """The name that a file had before it was uploaded."""
    return UPLOADED.sub("", Path(name).name)
