"""Compare groups of runs with the first: numbers with spread, differences with intervals.

The interval of a difference is over seeds if both groups have two runs or more: paired if the seeds
are the same, otherwise Welch's. For two single runs it is over the images or videos of their test
set; a function of their task rescores the stored results of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keypoint.errors import KeypointError
from keypoint.evaluation.analysis.errors import KINDS
from keypoint.evaluation.published import Row
from keypoint.evaluation.runs.group import Group, differences
from keypoint.evaluation.runs.per_image import ImageChange
from keypoint.evaluation.runs.read import OF_KEYPOINT, OF_KIND, Run
from keypoint.evaluation.runs.statistics import (
    Difference,
    Summary,
    paired_difference,
    summarise,
    welch_difference,
)

# Of two single runs of one test set: second less first, by number and by image.
OnSamples = Callable[[Run, Run], tuple[dict[str, Difference], tuple[ImageChange, ...]]]
Published = tuple[Row, list[str]]
NO_KINDS = (
    "no interval for the kinds of error: results.json does not contain boxes, but a test with "
    "annotated boxes knows by its box which person a result is of"
)


@dataclass(frozen=True)
class Compared:
    """A group in comparison with the first one.

    Attributes:
        differences: For each number that all runs have, the group's minus the first group's.
        notes: What the intervals do not cover, and why there are none; may be empty.
        images: Of two single runs of keypoints, the change of each image.
    """

    differences: dict[str, Difference]
    notes: tuple[str, ...] = ()
    images: tuple[ImageChange, ...] = ()


@dataclass(frozen=True)
class GroupComparison:
    """All groups; the first is what the others are compared with.

    Attributes:
        groups: G.
        compared: G - 1.
        differ: What differs besides the numbers, by name a value for each group.
        reasons: Reasons against the comparison, which the user overruled.
        published: By group name, the paper's row of its network and the conditions that differ;
            only groups with a row.
    """

    groups: tuple[Group, ...]
    compared: tuple[Compared, ...]
    differ: dict[str, tuple[object, ...]]
    reasons: tuple[str, ...] = ()
    published: Mapping[str, Published] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Name of the main number, which is reported first."""
        return self.groups[0].first.metric

    @property
    def runs(self) -> list[Run]:
        """Of all groups."""
        return [run for group in self.groups for run in group.runs.values()]

    def metrics(self) -> list[str]:
        """Names of the task's numbers, in the order of the first run that has them."""
        return list(dict.fromkeys(name for run in self.runs for name in run.metrics))

    def of_keypoints(self) -> dict[str, str]:
        """Keypoints by the name of the number "AP of ..."; empty if no run was analysed."""
        names = (name for run in self.runs for name in run.per_keypoint)
        return {OF_KEYPOINT.format(name): name for name in names}

    def of_kinds(self) -> dict[str, str]:
        """Kinds of error by the name of the number "share of ..."; empty if no run was analysed."""
        return {OF_KIND.format(kind): kind for run in self.runs for kind in run.errors}

    def summary(self, group: Group, metric: str) -> Summary | None:
        """A number of a group; None if a run of it lacks the number."""
        values = group.by_seed(metric)
        return summarise(list(values.values())) if len(values) == len(group.runs) else None


def compare_groups(
    groups: Sequence[Group],
    on_samples: OnSamples,
    reasons: Sequence[str] = (),
    published: Callable[[Group], Published | None] = lambda group: None,
) -> GroupComparison:
    """Compare groups with the first.

    Args:
        groups: One at least.
        on_samples: Returns the intervals of two single runs, and the change of each image.
        reasons: Reasons against the comparison, to be reported.
        published: Returns the paper's row of a group, and the conditions that differ.
    """
    first, *others = groups
    compared = tuple(_compare(first, other, on_samples) for other in others)
    rows = {group.name: published(group) for group in groups}
    known = {name: row for name, row in rows.items() if row is not None}
    return GroupComparison(tuple(groups), compared, differences(groups), tuple(reasons), known)


def _compare(first: Group, other: Group, on_samples: OnSamples) -> Compared:
    """One group with the first."""
    found: dict[str, Difference] = {}
    notes = []
    images: tuple[ImageChange, ...] = ()
    for metric in first.first.numbers:
        one, two = first.by_seed(metric), other.by_seed(metric)
        if len(one) < len(first.runs) or len(two) < len(other.runs):
            continue
        found[metric] = difference_over_seeds(one, two)
    if len(first.runs) > 1 and len(other.runs) > 1:
        if found and next(iter(found.values())).method == "Welch":
            notes.append("the seeds are not the same, so the interval is not paired (Welch)")
    elif len(first.runs) == len(other.runs) == 1:
        try:
            drawn, images = on_samples(first.first, other.first)
        except KeypointError as error:
            notes.append(f"no interval: {error}")
        else:
            without = [name for name in found if name not in drawn]
            kinds = [OF_KIND.format(kind) for kind in KINDS]
            found |= {name: drawn[name] for name in found if name in drawn}
            notes.append(
                "one run each: the intervals are of these two networks only, not of the method; "
                "they do not cover other seeds"
            )
            if set(without) & set(kinds):
                notes.append(NO_KINDS)
            others = [name for name in without if name not in kinds]
            if others:
                names = ", ".join(others)
                notes.append(f"no interval for {names}: the stored results do not give them")
    else:
        single = first if len(first.runs) == 1 else other
        notes.append(f"no interval: {single.name} has one run; train it with more seeds")
    return Compared(found, tuple(notes), images)


def difference_over_seeds(
    first: dict[int | None, float], second: dict[int | None, float]
) -> Difference:
    """Return second minus first, of values by seed: paired, Welch's, or without an interval."""
    counts = len(first), len(second)
    if min(counts) < 2:
        mean = summarise(list(second.values())).mean - summarise(list(first.values())).mean
        return Difference(mean, None, None, "none", counts)
    if set(first) == set(second):
        seeds = list(first)
        return paired_difference([first[s] for s in seeds], [second[s] for s in seeds])
    return welch_difference(list(first.values()), list(second.values()))
