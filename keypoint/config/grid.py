"""The grid of a sweep file: axes, their points, and the settings of each.

An axis is a mapping of named points, each with any number of keys, or one key with a list of
values. Mistakes are reported to a function `refuse`, which takes the path of the key.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keypoint.config.keys import show
from keypoint.strict_yaml import Document, KeyPath, parse_yaml

NAME = re.compile(r"\w[\w.+=-]*")  # of a point: part of a folder's name, and never like an option
KEY = re.compile(r"\w+(\.\w+)*")
TAKEN = {"seed": "give `seeds`", "output": "give the sweep's own `output`"}

Refuse = Callable[[KeyPath, str], None]


@dataclass(frozen=True)
class Setting:
    """A key with its value as the command line takes it, and the line of the file."""

    text: str
    line: int


Axis = dict[str, dict[str, Setting]]  # the settings of each point, by key


@dataclass(frozen=True)
class Point:
    """One config of a sweep.

    Attributes:
        name: Name of its folder, unique in the sweep.
        overrides: ``key=value`` for all that differs from the config that all runs share.
    """

    name: str
    overrides: tuple[str, ...]


def axes_of(document: Document, refuse: Refuse) -> list[Axis]:
    """Return the axes of the grid; no key is in two of them."""
    grid = document.content["grid"]
    values = [key for key, axis in grid.items() if isinstance(axis, list)]
    axes: list[Axis] = []
    seen: dict[str, str] = {}
    for name, axis in grid.items():
        place: KeyPath = ("grid", name)
        if isinstance(axis, list) and axis:
            points = _of_values(document, place, _short(name, values), refuse)
        elif isinstance(axis, dict) and axis:
            points = {}
            for point in axis:
                if not NAME.fullmatch(point):
                    refuse((*place, point), f"{point!r} is not the name of a point; {_NAMES}")
                points[point] = settings_of(document, (*place, point), refuse)
        else:
            refuse(place, f"given {show(axis)}; give {{point: {{key: value}}}}, or [values]")
            continue
        for key in dict.fromkeys(key for settings in points.values() for key in settings):
            if key in seen:
                refuse(place, f"{key} is in the axis {seen[key]} as well; keep it in one axis")
            seen.setdefault(key, name)
        axes.append(points)
    return axes


_NAMES = "a name has letters, digits and . _ + = -, and begins with a letter or digit"


def _of_values(document: Document, place: KeyPath, short: str, refuse: Refuse) -> Axis:
    """Return the points of an axis that is one key with its values."""
    points: Axis = {}
    key = str(place[-1])
    for number, value in enumerate(document.content["grid"][key]):
        here = (*place, number)
        name = f"{short}={_name_of(document, here, value)}"
        if not NAME.fullmatch(name):
            refuse(
                place,
                f"{show(value)} cannot be part of a folder name; give {{name: {{{key}: value}}}}",
            )
        elif name in points:
            refuse(place, f"{show(value)} is given twice; give each value once")
        points[name] = _as_settings(document, here, key, value, refuse)
    return points


def _name_of(document: Document, place: KeyPath, value: Any) -> str:
    """Return a value as part of its point's name, as it is written: ``1e-3``, ``256x192``."""
    if isinstance(value, list):
        parts = [_name_of(document, (*place, number), each) for number, each in enumerate(value)]
        return "x".join(parts)
    return document.texts.get(place, "{}")


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the shortest end of a key that no other key has."""
    parts = key.split(".")
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if sum(other.split(".")[-length:] == end for other in keys) == 1:
            return ".".join(end)
    return key


def settings_of(document: Document, place: KeyPath, refuse: Refuse) -> dict[str, Setting]:
    """Return the settings of a mapping of config keys."""
    content = document.content
    for part in place:
        content = content.get(part, {})
    if not isinstance(content, dict):
        refuse(place, f"given {show(content)}; give keys of the config, or {{}} for none")
        return {}
    settings: dict[str, Setting] = {}
    for key, value in content.items():
        settings |= _as_settings(document, (*place, key), key, value, refuse)
    return settings


def _as_settings(
    document: Document, place: KeyPath, key: str, value: Any, refuse: Refuse
) -> dict[str, Setting]:
    """Return one setting by its key; nothing if the key is refused."""
    if not KEY.fullmatch(key) or key in TAKEN:
        refuse(place, TAKEN.get(key, "is not a key of a config; give keys such as train.epochs"))
        return {}
    return {key: Setting(f"{key}={_value(document, place, value)}", document.lines[place])}


def _value(document: Document, place: KeyPath, value: Any) -> str:
    """Return a value as in an override: as written if it reads back the same, else as JSON."""
    written = document.texts.get(place)
    if written is not None:
        again = parse_yaml(written)
        if not again.problems and (type(again.content), again.content) == (type(value), value):
            return written
    if value is None:
        return "none"
    return json.dumps(value, ensure_ascii=False)


def is_within(key: str, keys: Iterable[str]) -> bool:
    """Return whether a key is one of these, or inside the value of one."""
    return any(f"{key}.".startswith(f"{other}.") for other in keys)


def all_settings(common: Mapping[str, Setting], axes: Sequence[Axis]) -> list[Setting]:
    """Return the settings of all runs, then those of all points."""
    points = [point for axis in axes for point in axis.values()]
    return [setting for each in (common, *points) for setting in each.values()]


def points_of(axes: Sequence[Axis], common: Sequence[str]) -> tuple[Point, ...]:
    """Return all combinations, in the order of the axes."""
    points = []
    for names in itertools.product(*axes):
        chosen = [axis[name] for axis, name in zip(axes, names, strict=True)]
        own = [setting.text for settings in chosen for setting in settings.values()]
        points.append(Point(",".join(names), (*common, *own)))
    return tuple(points)
