"""DeepLabCut projects: CollectedData tables in labeled-data/, of one animal or of several.

Source: DeepLabCut's user guides. A missing point is an empty cell; there are no boxes and no flag
for occluded points. The edges are `skeleton` of config.yaml. Points of "single" in a table of
several animals belong to the scene; they form a separate class. sleap-io also reads projects, but
not .h5.
"""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath
from typing import Any

from keypoint.data.convert.labels import VISIBLE, Labels, Person, Picture
from keypoint.data.convert.readers.tables import Table, read_table
from keypoint.strict_yaml import read_yaml

SCENE = "single"  # DeepLabCut's name for points that no animal has


def find_tables(folder: Path) -> list[Path]:
    """The tables of a project, or of one folder of it; not the copies for training."""
    places = folder / "labeled-data"
    found = (places if places.is_dir() else folder).rglob("CollectedData_*")
    return sorted(file for file in found if file.suffix in (".csv", ".h5"))


def read(files: list[Path]) -> Labels:
    """Read tables; of equal ones the CSV, of several scorers' the project's."""
    labels = Labels("DeepLabCut")
    chosen: dict[Path, Path] = {}
    for file in files:
        chosen.setdefault(file.with_suffix(""), file)  # .csv comes before .h5
    done: set[Path] = set()
    for file in chosen.values():
        config = _config(file, labels)
        scorer = config.get("scorer")
        others = [f for f in chosen.values() if f.parent == file.parent and f != file]
        if others and scorer and file.stem != f"CollectedData_{scorer}":
            labels.leave_out(f"tables of another scorer than {scorer}", str(file))
        elif others and file.parent in done:
            labels.leave_out("tables of a second scorer", str(file))
        else:
            done.add(file.parent)
            _add_table(file, read_table(file), config, labels)
    return labels


def _config(file: Path, labels: Labels) -> dict[str, Any]:
    """The project's config.yaml, two folders above a table; empty if there is none."""
    for folder in list(file.absolute().parents)[:4]:
        path = folder / "config.yaml"
        if path.is_file():
            document = read_yaml(path)
            if isinstance(document.content, dict) and not document.problems:
                return document.content
            text = document.problems[0][2] if document.problems else "no keys"
            note = f"{path} is not used, so there are no edges: {text}"
            if note not in labels.notes:
                labels.notes.append(note)
            return {}
    return {}


def _add_table(file: Path, table: Table, config: dict[str, Any], labels: Labels) -> None:
    animal = str(config.get("Task") or "animal")
    parts: dict[str, dict[str, list[int]]] = {}  # individual to body part to columns of x and y
    for number, (_, individual, part, axis) in enumerate(table.columns):
        place = parts.setdefault(individual, {}).setdefault(part, [-1, -1])
        place["xy".index(axis)] = number
    several = [name for name in parts if name != SCENE]
    categories = {name: SCENE if name == SCENE and several else animal for name in parts}
    for individual, columns in parts.items():
        for part in columns:
            labels.add_name(categories[individual], part)
    couples = config.get("skeleton")
    for category, names in labels.keypoints.items():
        edges = (
            [tuple(c) for c in couples if isinstance(c, list)] if isinstance(couples, list) else []
        )
        fit = [c for c in edges if len(c) == 2 and set(c) <= set(names) and c[0] != c[1]]
        labels.edges[category] = list(dict.fromkeys(fit))
    for row, (path, numbers) in enumerate(table.rows):
        name = PureWindowsPath(path).as_posix()
        picture = Picture(
            str(file.parent / Path(name).name), [], group=str(file.parent), is_frame=True
        )
        for individual, columns in parts.items():
            points = {}
            for part, (x, y) in columns.items():
                pair = numbers[x], numbers[y]
                if all(map(math.isfinite, pair)):
                    points[part] = (*pair, VISIBLE)
                elif not all(map(math.isnan, pair)):
                    labels.leave_out("points with one coordinate", f"{file}: row {row}: {part}")
            if points:
                track = individual or None
                picture.persons.append(Person(points, None, categories[individual], track))
        labels.pictures.append(picture)
