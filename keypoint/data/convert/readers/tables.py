"""DeepLabCut's tables, CollectedData_*.csv and .h5: rows of images, columns of named coordinates.

The .h5 is what pandas writes in its "fixed" form; it is read as plain arrays by h5py, because
pandas' own reader needs PyTables and may unpickle. DeepLabCut writes both files with equal content.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.data.convert.labels import INSTALL
from keypoint.errors import ConfigError, DataError

LEVELS = ("scorer", "individuals", "bodyparts", "coords")


@dataclass
class Table:
    """A table of labels.

    Attributes:
        columns: (scorer, individual, body part, x or y); "" for a level that the file lacks.
        rows: Image path and a number for each column, nan if it is not labelled.
    """

    columns: list[tuple[str, ...]]
    rows: list[tuple[str, list[float]]]


def read_table(file: Path) -> Table:
    """Read a CSV, or an HDF5 file.

    Raises:
        DataError: It is not DeepLabCut's.
        ConfigError: It is HDF5 and h5py is not installed.
    """
    return _read_h5(file) if file.suffix == ".h5" else _read_csv(file)


def _read_csv(file: Path) -> Table:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = [line for line in csv.reader(opened) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as CSV ({error}); save it again") from None
    heads = [line for line in lines[:4] if line[0] in LEVELS]
    depth = len(heads)
    if [line[0] for line in heads] not in ([*LEVELS], ["scorer", "bodyparts", "coords"]):
        raise DataError(
            f"{file}: its first rows {[line[0] for line in lines[:4]]} are not DeepLabCut's: "
            "scorer, (individuals,) bodyparts, coords"
        )
    # The image's path is one cell, or three: labeled-data, the video, the file.
    first = next((n for n, word in enumerate(heads[-1]) if n and word), 1)
    columns = _columns([(line[0], line[first:]) for line in heads], file)
    rows = []
    for number, line in enumerate(lines[depth:], depth + 1):
        if len(line) != first + len(columns):
            raise DataError(
                f"{file}: row {number} has {len(line)} cells, not {first + len(columns)}; fix it"
            )
        path = "/".join(cell for cell in line[:first] if cell)
        rows.append((path, [_number(cell, file, number) for cell in line[first:]]))
    return Table(columns, rows)


def _columns(heads: list[tuple[str, list[str]]], file: Path) -> list[tuple[str, ...]]:
    levels = dict(heads)
    length = len(levels["coords"])
    if any(len(values) != length for values in levels.values()):
        raise DataError(f"{file}: its first rows have different lengths; save it again")
    columns = list(zip(*(levels.get(name, [""] * length) for name in LEVELS), strict=True))
    odd = [column for column in columns if column[3] not in ("x", "y")]
    if odd:
        raise DataError(f"{file}: a column {odd[0]} is not x or y; labels have no likelihood")
    return columns


def _number(cell: str, file: Path, row: int) -> float:
    if not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{file}: row {row} has {cell!r} for a coordinate; fix it") from None


def _read_h5(file: Path) -> Table:
    try:
        import h5py
    except ImportError:
        raise ConfigError(f"{file}: reading HDF5 needs h5py; {INSTALL}; or give the CSV") from None
    try:
        with h5py.File(file, "r") as opened:
            (name,) = list(opened)
            group = opened[name]
            heads = _index(group, "axis0")
            rows = _index(group, "axis1")
            blocks = {column: values for column, values in _blocks(group)}
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{file}: not a table that DeepLabCut saved ({error}); give the CSV next to it"
        ) from None
    names = [level for level in heads if level[0] in LEVELS]
    columns = _columns(names, file)
    order = list(zip(*(values for _, values in heads), strict=True))
    numbers = [[float(blocks[column][row]) for column in order] for row in range(len(rows[0][1]))]
    paths = ["/".join(parts) for parts in zip(*(values for _, values in rows), strict=True)]
    return Table(columns, list(zip(paths, numbers, strict=True)))


def _index(group: Any, name: str) -> list[tuple[str, list[str]]]:
    """The levels of a pandas index: their names and, for each entry, their values."""
    if name in group:  # one level
        return [(_text(group[name].attrs["name"]), [_text(value) for value in group[name][()]])]
    levels = []
    for number in range(int(group.attrs[f"{name}_nlevels"])):
        node = group[f"{name}_level{number}"]
        values, codes = node[()], group[f"{name}_label{number}"][()]
        levels.append((_text(node.attrs["name"]), [_text(values[code]) for code in codes]))
    return levels


def _blocks(group: Any) -> Any:
    """Each column's key and values; pandas stores columns of one type as a block."""
    for number in range(int(group.attrs["nblocks"])):
        items = _index(group, f"block{number}_items")
        keys = list(zip(*(values for _, values in items), strict=True))
        values = group[f"block{number}_values"][()]
        for column, key in enumerate(keys):
            yield key, values[:, column]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
