"""A comparison of groups as Markdown, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from keypoint.drawing.canvas import Image
from keypoint.drawing.spread import draw_spread
from keypoint.evaluation.runs.compare import GroupComparison
from keypoint.evaluation.runs.files import CONFIG
from keypoint.evaluation.runs.group import Group
from keypoint.evaluation.runs.markdown import cell, table
from keypoint.evaluation.runs.per_image import ImageChange
from keypoint.evaluation.runs.per_image import to_csv as images_to_csv
from keypoint.evaluation.runs.per_image import to_markdown as images_table
from keypoint.evaluation.runs.read import GET_CONFIG, Run
from keypoint.evaluation.runs.statistics import (
    MOST_PAIRS,
    Difference,
    Summary,
    pairs_to_exclude_zero,
)

METHODS = {
    "paired t": "paired over the same {} seeds, t",
    "Welch": "over {} and {} seeds, Welch's t",
    "bootstrap": "bootstrap over {} {} of the test set",
}
COUNTED = {  # the same in the summary
    "paired t": "{} paired seeds",
    "Welch": "{} and {} seeds, not paired",
    "bootstrap": "these two networks only, {} {}",
}
CSV_HEAD = (
    "group", "number", "mean", "mean_low", "mean_high", "std", "n", "difference", "low", "high",
    "difference_std", "interval", "published",
)  # fmt: skip
LEARNED = 0.01  # an AP below it is of a network that has hardly learned
SAMPLES = {"keypoints": "images", "action": "videos"}
BY_CHANCE = (
    "Each interval is at 95 % on its own: of 20 such intervals between equal networks, one "
    "excludes 0 by chance on average"
)


def to_markdown(comparison: GroupComparison) -> str:
    """Summary, then tables: numbers by group, differences, keypoints, kinds of error, what differs.

    Returns:
        Markdown without a newline at the end.
    """
    parts = [f"WARNING, not comparable: {reason}" for reason in comparison.reasons]
    if comparison.compared:
        parts += [_summary(comparison)]
    parts += [_numbers(comparison)]
    if comparison.compared:
        parts += [_differences(comparison)]
    for title, names in (
        ("AP of each keypoint alone", comparison.of_keypoints()),
        (
            "Kinds of error, share of the labelled keypoints of persons with a result",
            comparison.of_kinds(),
        ),
    ):
        parts += _by_name(comparison, title, names)
    base = comparison.groups[0].name
    parts += filter(None, [images_table(i, base, name) for name, i in _images(comparison).items()])
    if comparison.differ:
        rows = [
            [key, *("-" if v is None else str(v) for v in values)]
            for key, values in comparison.differ.items()
        ]
        parts.append(f"The groups differ in\n\n{table(['', *_names(comparison)], rows)}")
    parts += _within(comparison.groups) + _without_config(comparison.runs)
    return "\n\n".join(parts)


def _names(comparison: GroupComparison) -> list[str]:
    return [group.name for group in comparison.groups]


def _summary(comparison: GroupComparison) -> str:
    """Format one line per group: its difference to the first in the main number."""
    metric, base = comparison.metric, comparison.groups[0].name
    lines = []
    for group, compared in zip(comparison.groups[1:], comparison.compared, strict=True):
        found = compared.differences[metric]
        end = "no interval"
        if interval := _interval(found):
            counted = COUNTED[found.method].format(*_counts(found, group.first.task))
            end = f"95 % interval {interval}, {counted}"
        lines.append(f"* {metric}: {cell(group.name)} - {cell(base)} = {found.mean:+.4f} ({end})")
        lines += _seeds_to_train(group, found)
    spreads = [comparison.summary(group, metric) for group in comparison.groups]
    if metric == "AP" and all(spread and spread.mean < LEARNED for spread in spreads):
        lines.append(
            f"* WARNING: AP is below {LEARNED} in every group. These networks have not learned to "
            "find keypoints, so the difference does not show which one is better"
        )
    return "\n".join(lines)


def _seeds_to_train(group: Group, found: Difference) -> list[str]:
    """Return a line on the number of seeds, if an interval over paired seeds contains 0."""
    if found.std is None or found.clear or math.isclose(found.mean, 0, abs_tol=1e-9):
        return []
    enough = pairs_to_exclude_zero(found.mean, found.std)
    seeds = f"more than {MOST_PAIRS}" if enough is None else f"about {enough}"
    return [
        f"* {cell(group.name)}: standard deviation of the differences between seeds "
        f"{found.std:.4f}; if it and the mean difference stay the same, the interval excludes 0 "
        f"with {seeds} seeds in all"
    ]


def _numbers(comparison: GroupComparison) -> str:
    """Format one row per group: runs, seeds, every number as mean +- standard deviation.

    Below a group are the published numbers of its network, or a note why they are not comparable.
    """
    metrics = comparison.metrics()
    rows: list[list[str]] = []
    against: dict[str, list[str]] = {}  # groups by what keeps them from being compared
    for group in comparison.groups:
        seeds = [run.seed for run in group.runs.values() if run.seed is not None]
        rows.append(
            [
                group.name,
                str(len(group.runs)),
                " ".join(map(str, seeds)) or "-",
                *(_spread(comparison.summary(group, metric)) for metric in metrics),
            ]
        )
        published, others = comparison.published.get(group.name, (None, []))
        if published is not None and not others:
            cells = [
                f"{published.numbers[m]:.3f}" if m in published.numbers else "-" for m in metrics
            ]
            rows.append([f"{published.name}, published", "-", "-", *cells])
        elif published is not None:
            against.setdefault(", ".join(others), []).append(f"{group.name} ({published.name})")
    head = ["group", "n", "seeds", *metrics]
    text = "Mean +- standard deviation over the runs of a group, which differ only in the seed"
    notes = [
        f"published numbers are not comparable with {', '.join(names)}: {reasons}"
        for reasons, names in against.items()
    ]
    notes += _measured(comparison.groups[0].first)
    return "\n\n".join([f"{text}\n\n{table(head, rows)}", *map(cell, notes)])


def _measured(run: Run) -> list[str]:
    """Return a sentence with the main conditions of a run of keypoints."""
    had = run.conditions
    if run.task != "keypoints" or not {"boxes", "images", "flip", "oks_sigmas"} <= set(had):
        return []
    flip = "with" if had["flip"] else "without"
    return [
        f"Measured on {had['images']} images, boxes: {had['boxes']}, {flip} flip test, OKS sigmas: "
        f"{had['oks_sigmas']}"
    ]


def _differences(comparison: GroupComparison) -> str:
    """Format the difference of each group to the first, in all numbers of the task."""
    base = comparison.groups[0].name
    rows, notes = [], []
    for group, compared in zip(comparison.groups[1:], comparison.compared, strict=True):
        for metric in comparison.metrics():
            if metric in compared.differences:
                found = difference_cells(compared.differences[metric], group.first.task)
                rows.append([group.name, metric, *found])
        notes += [f"{group.name}: {note}" for note in compared.notes]
    head = ["group", "number", "difference", "95 % interval", "excludes 0", "interval is"]
    text = f"Difference to {cell(base)}\n\n{table(head, rows)}"
    intervals = [each for compared in comparison.compared for each in compared.differences.values()]
    chance = [BY_CHANCE] if sum(each.low is not None for each in intervals) > 1 else []
    return "\n\n".join([*map(cell, notes), *chance, text])


def _by_name(comparison: GroupComparison, title: str, names: Mapping[str, str]) -> list[str]:
    """Format two tables with one row per number: the spread of each group, and the differences.

    Args:
        comparison: The groups.
        title: Of the first table.
        names: By number, what its rows are called.
    """
    groups, parts = comparison.groups, []
    spreads = {n: [comparison.summary(group, n) for group in groups] for n in names}
    rows = [[names[n], *map(_spread, spread)] for n, spread in spreads.items() if any(spread)]
    if rows:
        parts.append(f"{title}\n\n{table(['', *_names(comparison)], rows)}")
    found = [each.differences for each in comparison.compared]
    rows = [
        [names[n], *(_with_interval(each.get(n)) for each in found)]
        for n in names
        if any(n in each for each in found)
    ]
    if rows:
        has_interval = any(n in each and each[n].low is not None for each in found for n in names)
        interval = " (95 % interval)" if has_interval else ""
        title = f"The same, difference to {cell(groups[0].name)}{interval}"
        parts.append(f"{title}\n\n{table(['', *_names(comparison)[1:]], rows)}")
    return parts


def _with_interval(found: Difference | None) -> str:
    """A difference and its interval in one cell."""
    if found is None:
        return "-"
    interval = _interval(found)
    return f"{found.mean:+.4f}" + (f" ({interval})" if interval else "")


def _interval(found: Difference) -> str:
    """Format an interval; empty if there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"{found.low:+.4f} to {found.high:+.4f}"


def difference_cells(found: Difference, task: str) -> list[str]:
    """Format a difference, its interval, whether that excludes 0, and its method."""
    interval = _interval(found)
    if not interval:
        return [f"{found.mean:+.4f}", "-", "-", "-"]
    method = METHODS[found.method].format(*_counts(found, task))
    return [f"{found.mean:+.4f}", interval, "yes" if found.clear else "no", method]


def _counts(found: Difference, task: str) -> tuple[object, ...]:
    """What an interval is over: seeds of both groups, or number and name of the samples."""
    return (found.n[0], SAMPLES[task]) if found.method == "bootstrap" else found.n


def _within(groups: Sequence[Group]) -> list[str]:
    """Report commits that differ within a group: they do not split it, but may matter."""
    commits = {group.name: group.fact("commit") for group in groups}
    return [
        f"{cell(name)}: its runs were trained by different commits, {commit}"
        for name, commit in commits.items()
        if ", " in commit
    ]


def _without_config(runs: Sequence[Run]) -> list[str]:
    """Report runs that cannot be grouped, because their test was made by an older version."""
    names = [cell(str(run.folder)) for run in runs if run.config is None and not run.has_origin]
    if not names:
        return []
    return [
        f"{CONFIG} is missing in {', '.join(names)}, so the seed is not known, and each is a group "
        f"of its own; {GET_CONFIG}"
    ]


def _images(comparison: GroupComparison) -> dict[str, tuple[ImageChange, ...]]:
    """Return the change of each image by group, for single runs of keypoints."""
    pairs = zip(comparison.groups[1:], comparison.compared, strict=True)
    return {group.name: compared.images for group, compared in pairs if compared.images}


def images_csv(comparison: GroupComparison) -> str:
    """Format a line for each image of each pair of single runs; empty if there is none."""
    found = _images(comparison)
    return images_to_csv(found) if found else ""


def _spread(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    return f"{summary.mean:.4f}" + ("" if summary.std is None else f" +- {summary.std:.4f}")


def to_csv(comparison: GroupComparison) -> str:
    """Format a line for each group and number: mean and its 95 % t interval, std, n, difference.

    `low` and `high` are of the difference, `mean_low` and `mean_high` of the mean. `difference_std`
    is empty if seeds are not paired, and `published` if it is not comparable.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    names = [*comparison.metrics(), *comparison.of_keypoints(), *comparison.of_kinds()]
    for place, group in enumerate(comparison.groups):
        row, others = comparison.published.get(group.name, (None, []))
        published = {} if row is None or others else row.numbers
        found = comparison.compared[place - 1].differences if place else {}
        for metric in names:
            summary = comparison.summary(group, metric)
            if summary is None:
                continue
            apart = found.get(metric)
            cells = [""] * 5
            if apart is not None:
                numbers = apart.mean, apart.low, apart.high, apart.std
                cells = [*map(_digits, numbers), apart.method]
            mean, *spread = map(_digits, (summary.mean, summary.low, summary.high, summary.std))
            ours = [group.name, metric, mean, *spread, summary.n, *cells]
            writer.writerow([*ours, _digits(published.get(metric))])
    return text.getvalue()


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def picture(comparison: GroupComparison) -> Image:
    """Draw runs as dots and means as lines, one row per group; below, differences and intervals."""
    metric = comparison.metric
    values = {group.name: list(group.by_seed(metric).values()) for group in comparison.groups}
    apart = {}
    for group, compared in zip(comparison.groups[1:], comparison.compared, strict=True):
        found = compared.differences[metric]
        apart[group.name] = (found.mean, found.low, found.high)
    return draw_spread(values, apart, metric, comparison.groups[0].name)
