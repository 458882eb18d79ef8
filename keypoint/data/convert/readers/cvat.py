"""CVAT's own XML 1.1: "CVAT for images" and "CVAT for video", with skeletons or loose points.

Source: CVAT's "XML annotation format" and its `cvat/apps/dataset_manager/formats/cvat.py`. A
skeleton's points have the keypoint's name as label; an `outside` point does not exist. Tracks
of a video list every frame; frames between two keyframes are interpolated. datumaro also reads
CVAT's XML, but ignores skeletons.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

from keypoint.data.convert.labels import OCCLUDED, VISIBLE, Bbox, Labels, Person, Picture
from keypoint.data.convert.readers.coco import split_of
from keypoint.data.convert.readers.grouping import Box, Point, join, name_all
from keypoint.errors import DataError

LOOSE = "object"  # class of points that are in no skeleton


def read(files: list[Path]) -> Labels:
    """Read XML files, one for each task."""
    labels = Labels("CVAT XML 1.1")
    for file in files:
        root = read_xml(file)
        if root.tag != "annotations":
            raise DataError(f"{file}: <{root.tag}>, not CVAT's <annotations>; export XML 1.1 there")
        _read_meta(root, labels)
        for element in root.iter("image"):
            labels.pictures.append(_image(element, labels))
        if root.find("track") is not None:
            labels.pictures.extend(_frames(file, root, labels))
    name_all(labels)
    return labels


def read_xml(file: Path) -> ElementTree.Element:
    """Parse an XML file that declares no entities, which could grow without bound or read files.

    Raises:
        DataError: It cannot be read, is not XML, or has a document type.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give a file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8, as CVAT's XML is") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file}: has <!DOCTYPE or <!ENTITY, which CVAT does not write; remove it")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 (no entities: see above)
    except ElementTree.ParseError as error:
        raise DataError(f"{file}: not XML ({error}); export it again") from None


def _read_meta(root: ElementTree.Element, labels: Labels) -> None:
    """Keypoint names and edges of the skeletons, from the task's or the project's labels."""
    for label in root.iter("label"):
        name, parent = label.findtext("name"), label.findtext("parent")
        if name and parent:
            labels.add_name(parent, name)
    for label in root.iter("label"):
        name, drawing = label.findtext("name"), label.findtext("svg")
        names = labels.keypoints.get(name or "", [])
        if name and names and drawing:
            labels.edges[name] = _edges(drawing, names)


def _edges(drawing: str, names: list[str]) -> list[tuple[str, str]]:
    """The lines of a skeleton's SVG between its named nodes."""
    nodes, lines = {}, []
    for tag in re.findall(r"<(?:circle|line)\b[^<>]*>", drawing):
        values = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tag))
        if "node-id" in values:
            nodes[values["node-id"]] = values.get("label-name", "")
        elif "node-from" in values:
            lines.append((values["node-from"], values.get("node-to", "")))
    named = [(nodes.get(a, ""), nodes.get(b, "")) for a, b in lines]
    return [(a, b) for a, b in named if a in names and b in names and a != b]


def _image(element: ElementTree.Element, labels: Labels) -> Picture:
    name = PureWindowsPath(element.get("name", "")).as_posix()
    persons: list[tuple[Person, str | None]] = []
    points, boxes = [], []
    for shape in element:
        category = shape.get("label", LOOSE)
        if shape.tag == "skeleton":
            person = Person(_skeleton(shape, name), None, category)
            for keypoint in person.points:
                labels.add_name(category, keypoint)
            persons.append((person, _group(shape)))
        elif shape.tag == "box":
            boxes.append(Box(category, _box(shape, name), _group(shape)))
        elif shape.tag == "points" and ";" not in shape.get("points", ""):
            if shape.get("outside") != "1":
                points.append(Point(category, *_point(shape, name), _flag(shape), _group(shape)))
        else:
            labels.leave_out(f"shapes of type {shape.tag}", f"{name}: {category}")
    found = [person for person, _ in persons]
    if persons:
        _give_boxes(persons, boxes, labels, name)
        for point in points:
            labels.leave_out("points next to skeletons", f"{name}: {point.name}")
    else:
        found = join(points, boxes, labels, name)
    size = _whole(element.get("height")), _whole(element.get("width"))
    return Picture(
        name=name,
        persons=found,
        image_size=(size[0], size[1]) if size[0] and size[1] else None,
        group=str(Path(name).parent),
        split=split_of(element.get("subset", "")),
    )


def _give_boxes(
    persons: list[tuple[Person, str | None]], boxes: list[Box], labels: Labels, place: str
) -> None:
    """Assign to each skeleton the box of its group."""
    owner = {group: person for person, group in persons if group is not None}
    for box in boxes:
        person = owner.get(str(box.group))
        if person is None or person.bbox_xywh is not None:
            labels.leave_out("boxes that no skeleton has as its group", place)
        else:
            person.bbox_xywh = box.bbox_xywh


def _frames(file: Path, root: ElementTree.Element, labels: Labels) -> list[Picture]:
    """Return a picture for each frame that has a tracked skeleton."""
    source = root.findtext("meta/task/source") or root.findtext("meta/job/source") or ""
    video = PureWindowsPath(source).name or file.parent.name
    height = _whole(root.findtext(".//original_size/height"))
    width = _whole(root.findtext(".//original_size/width"))
    tasks = sorted({track.get("task_id", "") for track in root.iter("track")})
    if len(tasks) > 1:
        raise DataError(
            f"{file}: has tracks of tasks {tasks}, so a frame number may mean several videos; "
            "export the tasks one by one"
        )
    frames: dict[int, Picture] = {}
    between = 0
    for track in root.iter("track"):
        category, key = track.get("label", LOOSE), _whole(track.get("id"))
        for shape in track:
            if shape.tag != "skeleton":
                labels.leave_out(f"tracked shapes of type {shape.tag}", f"{file.name}: {category}")
                continue
            number = _whole(shape.get("frame"))
            if number is None:
                raise DataError(f"{file}: a skeleton of track {key} has no frame number")
            points = _skeleton(shape, f"{file.name}: frame {number}")
            if not points or shape.get("outside") == "1":
                continue  # not on this frame
            between += shape.get("keyframe") == "0"
            for keypoint in points:
                labels.add_name(category, keypoint)
            name = f"images/frame_{number:06d}.png"  # as CVAT exports it, with images
            size = (height, width) if height and width else None
            made = Picture(name, [], size, group=video, video=(source, number), is_frame=True)
            frames.setdefault(number, made).persons.append(Person(points, None, category, key))
    if between:
        labels.notes.append(f"{between} skeletons of {video} are interpolated between keyframes")
    return [frames[number] for number in sorted(frames)]


def _skeleton(shape: ElementTree.Element, place: str) -> dict[str, tuple[float, float, int]]:
    return {
        point.get("label", ""): (*_point(point, place), _flag(point))
        for point in shape.iter("points")
        if point.get("outside") != "1"
    }


def _flag(shape: ElementTree.Element) -> int:
    return OCCLUDED if shape.get("occluded") == "1" else VISIBLE


def _group(shape: ElementTree.Element) -> str | None:
    return shape.get("group_id") if shape.get("group_id") != "0" else None


def _point(shape: ElementTree.Element, place: str) -> tuple[float, float]:
    x, y = _numbers(shape.get("points", "").split(","), 2, place)
    return x, y


def _box(shape: ElementTree.Element, place: str) -> Bbox:
    corners = [shape.get(key, "") for key in ("xtl", "ytl", "xbr", "ybr")]
    x1, y1, x2, y2 = _numbers(corners, 4, place)
    return x1, y1, x2 - x1, y2 - y1


def _numbers(texts: list[str], length: int, place: str) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        raise DataError(f"{place}: {texts} are not {length} numbers; export the XML again")
    return numbers


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]{1,9}", text.strip()) else None
