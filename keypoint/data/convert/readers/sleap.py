"""SLEAP's .slp and .pkg.slp, read by sleap-io, which supports all versions of the form.

A point that is marked as not visible still has a position in the file; it is left out, as in
sleap-io's arrays by default. There are no boxes. Predictions in the file are not labels. Our own
reader opens videos; sleap-io decodes the images inside a .pkg.slp.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.convert.labels import INSTALL, VISIBLE, Labels, Person, Picture
from keypoint.errors import ConfigError, DataError


def read(files: list[Path]) -> Labels:
    """Read project or package files.

    Raises:
        ConfigError: sleap-io is not installed.
        DataError: sleap-io cannot read a file.
    """
    try:
        import sleap_io
    except ImportError:
        raise ConfigError(f"{files[0]}: reading SLEAP needs sleap-io; {INSTALL}") from None
    labels = Labels("SLEAP")
    for file in files:
        try:
            source = sleap_io.load_slp(str(file), open_videos=False)
            _add(source, sleap_io.PredictedInstance, file, labels)
        except (OSError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: sleap-io cannot read it ({type(error).__name__}: {error}); save it again "
                "in SLEAP"
            ) from None
    return labels


def _add(source: Any, predicted: type, file: Path, labels: Labels) -> None:
    categories: dict[int, str] = {}  # of each skeleton; two in a file may have the same name
    for skeleton in source.skeletons:
        name = category = str(skeleton.name or "animal")
        while category in categories.values():
            category = f"{name} {len(categories) + 1}"
        categories[id(skeleton)] = category
        for node in skeleton.node_names:
            labels.add_name(category, str(node))
        labels.edges[category] = [(str(a), str(b)) for a, b in skeleton.edge_names]
    for frame in source.labeled_frames:
        picture = _picture(frame, file)
        for instance in frame.instances:
            if isinstance(instance, predicted):
                labels.leave_out("predictions, not labels", picture.name)
                continue
            person = _person(instance, categories[id(instance.skeleton)], labels, picture.name)
            if person.points:
                picture.persons.append(person)
        if picture.persons:
            labels.pictures.append(picture)
        else:
            labels.leave_out("frames without a labelled instance", picture.name)


def _person(instance: Any, category: str, labels: Labels, place: str) -> Person:
    points = {}
    for point in instance.points:
        name, (x, y) = str(point["name"]), point["xy"]
        if not np.isfinite((x, y)).all():
            continue
        if point["visible"]:
            points[name] = (float(x), float(y), VISIBLE)
        else:
            labels.leave_out("points marked as not visible, taken as missing", f"{place}: {name}")
    track = instance.track.name if instance.track is not None else None
    return Person(points, None, category, track)


def _picture(frame: Any, file: Path) -> Picture:
    """A frame of a video, an image of a list, or an image inside the file."""
    video, number = frame.video, int(frame.frame_idx)
    names = video.filename
    if isinstance(names, list):
        name = PureWindowsPath(str(names[number])).as_posix()
        return Picture(name, [], group=str(Path(name).parent), is_frame=True)
    dataset = (video.backend_metadata or {}).get("dataset")
    if dataset:
        group = str(dataset).split("/")[0]
        name = f"{file.name.split('.')[0]}_{group}_{number:06d}.png"
        content = _embedded(video, number)
        return Picture(name, [], group=f"{file.name} {group}", content=content, is_frame=True)
    name = PureWindowsPath(str(names)).as_posix()
    title = f"{Path(name).name} frame {number}"
    return Picture(title, [], group=name, video=(name, number), is_frame=True)


def _embedded(video: Any, number: int) -> Callable[[], NDArray[np.uint8]]:
    def decode() -> NDArray[np.uint8]:
        try:
            if video.backend is None:
                video.open()
            return np.asarray(video[number], np.uint8)
        except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
            raise DataError(f"frame {number} inside the file cannot be decoded: {error}") from None

    return decode
