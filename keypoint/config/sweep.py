"""A sweep file: a grid over the keys of one config, and seeds.

    cfg: demo.yaml
    seeds: [0, 1, 2]
    grid:
      blocks:                       # named points, each with its keys
        none: {model.blocks: none}
        nl: {model.blocks: nl}
      train.lr: [1e-3, 2e-3]        # or one key with its values: points lr=1e-3 and lr=2e-3

A point of the sweep combines one point of each axis; the first combines the first of each.
grid.py forms the points; their configs are checked like any config.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from keypoint.config.fields import STRICT, RunConfig, Text
from keypoint.config.grid import (
    TAKEN,
    Point,
    all_settings,
    axes_of,
    is_within,
    points_of,
    settings_of,
)
from keypoint.config.keys import show
from keypoint.config.load import find_config, try_load
from keypoint.errors import ConfigError
from keypoint.strict_yaml import KeyPath, read_yaml

OWN = ("output", "seeds")  # keys of the file that the command line may change
MOST_RUNS = 1000
MOST_SEED = 2**31 - 1


class SweepFile(BaseModel):
    """The keys of a sweep file."""

    model_config = STRICT

    cfg: Text = Field(description="the config that all runs share")
    output: Text | None = Field(
        default=None, description="runs are in OUTPUT/POINT/seedN; none: output/<file>"
    )
    set: dict[str, Any] = Field(
        default={},
        description="settings of all runs",
        json_schema_extra={"allowed": "{key: value, ...}, such as {train.epochs: 12}"},
    )
    seeds: tuple[int, ...] = Field(
        description="seeds of each point",
        json_schema_extra={"allowed": f"[integers], all different, in 0..{MOST_SEED}"},
    )
    grid: dict[str, Any] = Field(
        description="the axes, in order",
        json_schema_extra={"allowed": "{axis: {point: {key: value}}} or {key: [values]}"},
    )
    test: tuple[str, ...] = Field(
        default=(),
        description="arguments of keypoint test",
        json_schema_extra={"allowed": "[words] of keypoint test, such as [--analyse]"},
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if not isinstance(value, list) or not value:
            raise ValueError("seeds must be a list of integers, such as [0, 1, 2]")
        for seed in value:
            if type(seed) is not int or not 0 <= seed <= MOST_SEED:
                raise ValueError(f"{show(seed)} is not an integer in 0..{MOST_SEED}")
            if value.count(seed) > 1:
                raise ValueError(f"{seed} is given twice; give each seed once")
        return tuple(value)

    @field_validator("test", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ValueError("test must be a list of texts; write numbers in quotes, such as '4'")
        return tuple(value)

    @field_validator("grid", mode="before")
    @classmethod
    def _axes(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value:
            raise ValueError("grid must be a mapping with at least one axis")
        return value


@dataclass(frozen=True)
class Sweep:
    """Content of a sweep file.

    Attributes:
        path: The file.
        cfg: The config that all runs share, as `keypoint train --cfg` finds it.
        output: Folder of all runs.
        seeds: Seeds of each point.
        points: In the order of the file; the others are compared with the first.
        test: Arguments of `keypoint test`.
        origins: The file and line of each override that the file gives.
    """

    path: Path
    cfg: str
    output: Path
    seeds: tuple[int, ...]
    points: tuple[Point, ...]
    test: tuple[str, ...]
    origins: dict[str, str] = field(repr=False)


def read_sweep(path: Path, typed: Sequence[str] = ()) -> Sweep:
    """Read a sweep file.

    Args:
        path: The file.
        typed: ``key=value`` of the command line: the file's own `output` and `seeds`, and keys of
            all runs.

    Raises:
        ConfigError: Names the file, line and key of every mistake.
    """
    own = [text for text in typed if text.partition("=")[0] in OWN]
    file, mistakes = try_load(SweepFile, path, own)
    document = read_yaml(path)
    content = document.content if isinstance(document.content, dict) else {}
    if file is None and content and not {"cfg", "grid"} & set(content):
        raise ConfigError(
            f"{path}: has neither cfg nor grid, so it is not a sweep; keypoint train --cfg {path} "
            "trains one config"
        )
    if file is None:
        raise _of(path, mistakes)

    def refuse(key: KeyPath, message: str) -> None:
        mistakes.append(f"{path}, line {document.lines[key]}: {'.'.join(map(str, key))}: {message}")

    try:
        cfg = find_shared(file.cfg, path)
    except ConfigError as error:
        cfg = ""
        refuse(("cfg",), str(error))
    common = settings_of(document, ("set",), refuse)
    axes = axes_of(document, refuse)
    in_grid = {key for axis in axes for values in axis.values() for key in values}
    for key in common:
        if is_within(key, in_grid):
            refuse(("set", key), "is in grid too, so it has no effect here; remove it")
    of_all = [text for text in typed if text not in own]
    changed = [text.partition("=")[0] for text in of_all]
    for text, key in zip(of_all, changed, strict=True):
        if key in TAKEN or is_within(key, in_grid):
            why = TAKEN.get(key, "it is in the sweep's grid; change it there")
            mistakes.append(f"command line, {text!r}: {key}: {why}")
    runs = math.prod(map(len, [file.seeds, *axes]))
    if runs > MOST_RUNS:
        refuse(
            ("grid",), f"these are {runs} runs; at most {MOST_RUNS} are allowed; split the sweep"
        )
    if mistakes:
        raise _of(path, mistakes)
    kept = {key: setting for key, setting in common.items() if key not in changed}
    return Sweep(
        path,
        cfg,
        Path(str(file.output)),
        file.seeds,
        points_of(axes, [*(setting.text for setting in kept.values()), *of_all]),
        file.test,
        {each.text: f"{path}, line {each.line}" for each in all_settings(kept, axes)},
    )


def find_shared(name: str, sweep: Path) -> str:
    """Return the config that a sweep names: a file next to the sweep, or as --cfg finds it.

    Raises:
        ConfigError: There is no such config, or several have this name.
    """
    near = sweep.parent / name
    if near.is_file():
        return str(near)
    find_config(name)
    return name


def check_points(sweep: Sweep, kind: type[RunConfig]) -> dict[str, RunConfig]:
    """Return the config of each point by its name, with the first seed and without an output.

    Args:
        sweep: From `read_sweep`.
        kind: The model of the task's configs.

    Raises:
        ConfigError: The text names every mistake with file, line and key, and a point that has it.
    """
    found: dict[str, RunConfig] = {}
    wrong: dict[str, list[str]] = {}
    for point in sweep.points:
        config, mistakes = try_load(kind, find_config(sweep.cfg), point.overrides, sweep.origins)
        for mistake in mistakes:
            wrong.setdefault(mistake, []).append(point.name)
        if config is not None:
            found[point.name] = config
    if wrong:
        raise _of(sweep.path, [_with_points(sweep, *each) for each in wrong.items()])
    return found


def _with_points(sweep: Sweep, mistake: str, names: Sequence[str]) -> str:
    if len(names) == len(sweep.points):
        return mistake
    return f"{mistake} (in the point {names[0]}{' and others' if len(names) > 1 else ''})"


def _of(path: Path, mistakes: Sequence[str]) -> ConfigError:
    """Return the error for one or several mistakes."""
    if len(mistakes) == 1:
        return ConfigError(mistakes[0])
    return ConfigError.of_many(f"{path}: {len(mistakes)} mistakes", mistakes)
