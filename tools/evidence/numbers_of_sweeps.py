"""The numbers of a sweep as a table: mean over seeds, and difference to the first point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from keypoint.action.checkpoint import load_action
from keypoint.action.echo.dataset import SPLITS, make_clip
from keypoint.action.echo.table import change_on_reversal, row_of
from keypoint.action.evaluation.scores import load_scores
from keypoint.checkpoint.file import load_model
from keypoint.commands.action.demo import REVERSED_CLIPS
from keypoint.config.sweep import read_sweep
from keypoint.errors import DataError
from keypoint.evaluation.runs.markdown import table
from keypoint.evaluation.runs.read import read_run
from keypoint.evaluation.runs.statistics import (
    Difference,
    Summary,
    paired_difference,
    summarise,
)


def runs_of(sweep: Path, folder: Path) -> dict[str, list[Path]]:
    """The folders of a sweep's runs by point, in the order of its file, each with its seeds.

    Args:
        sweep: The file.
        folder: Its output.

    Raises:
        DataError: A point lacks a seed that another one has, or fewer than two were tested.
    """
    points = [point.name for point in read_sweep(sweep).points]
    found = {point: sorted((folder / point).glob("seed*/metrics.json")) for point in points}
    seeds = {tuple(path.parent.name for path in paths) for paths in found.values()}
    if len(seeds) > 1 or min(map(len, seeds)) < 2:
        counts = ", ".join(f"{point} {len(paths)}" for point, paths in found.items())
        raise DataError(
            f"{folder}: tested runs: {counts}; run keypoint sweep {sweep} --resume: an interval "
            "needs at least two seeds, the same for each point"
        )
    return {point: [path.parent for path in paths] for point, paths in found.items()}


def persons(sweep: Path, folder: Path) -> str:
    """AP, inversions and the AP of the ankles by point, in percent, as a Markdown table."""
    found = runs_of(sweep, folder)
    values = {point: [_of_persons(run) for run in runs] for point, runs in found.items()}
    extra = {point: f"{_parameters(runs[0]) / 1e6:.3f}" for point, runs in found.items()}
    return _table("blocks", "M parameters", extra, values)


def _of_persons(run: Path) -> dict[str, float]:
    """Numbers of a run, 0 to 1."""
    read = read_run(run)
    ankles = [read.per_keypoint[f"{side}_ankle"] for side in ("left", "right")]
    return {
        "AP": read.metrics["AP"],
        "inversions": read.errors["inversion"],
        "AP of the ankles": float(np.mean(ankles)),
    }


def _parameters(run: Path) -> int:
    return sum(p.numel() for p in load_model(run / "last.pt").model.parameters())


def clips(sweep: Path, folder: Path) -> str:
    """Top-1 and its two questions by block, in percent, as a Markdown table."""
    found = runs_of(sweep, folder)
    values = {point: [_of_clips(run) for run in runs] for point, runs in found.items()}
    sample = [make_clip(0, SPLITS.index("val"), index)[0] for index in range(REVERSED_CLIPS)]
    batch = torch.from_numpy(np.stack(sample))
    extra = {}
    for point, runs in found.items():
        changes = [change_on_reversal(load_action(run / "last.pt").model, batch) for run in runs]
        extra[point] = f"{max(changes):.0e}"
    return _table("blocks", "score change on reversal", extra, values)


def _of_clips(run: Path) -> dict[str, float]:
    """Numbers of a run, 0 to 1."""
    row = row_of(run.parent.name, load_scores(run), 0.0)
    return {"top-1": row.top1, "same gesture?": row.same, "who first?": row.first}


def _table(
    what: str,
    extra: str,
    extras: Mapping[str, str],
    values: Mapping[str, Sequence[Mapping[str, float]]],
) -> str:
    """A line a point: each number's mean and interval, and that of its difference to the first.

    Args:
        what: Head of the points' column.
        extra: Head of a last column.
        extras: Its cells.
        values: By point, a mapping of numbers for each seed.
    """
    base = next(iter(values))
    numbers = list(values[base][0])
    head = [what, "n"]
    for number in numbers:
        head += [number, f"minus {base}"]
    rows = []
    for point, seeds in values.items():
        cells = [point, str(len(seeds))]
        for number in numbers:
            own, of_base = ([seed[number] for seed in s] for s in (seeds, values[base]))
            cells.append(percent(summarise(own)))
            apart = "" if point == base else percent(paired_difference(of_base, own), sign="+")
            cells.append(apart)
        rows.append([*cells, extras[point]])
    return table([*head, extra], rows)


def percent(found: Summary | Difference, sign: str = "") -> str:
    """A mean with its interval, "56.6 (55.1 to 58.1)"; of a difference with its sign."""
    assert found.low is not None  # runs_of gives two seeds at least
    assert found.high is not None
    mean, low, high = (f"{100 * each:{sign}.1f}" for each in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})"
