"""Group runs: those of one group differ only in the seed.

A group is determined by the config without keys that change no number, the training data, and the
conditions of the measurement. Differences between groups are named; some forbid a comparison.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.errors import ConfigError
from keypoint.evaluation.runs.read import UNKNOWN, Run

# Keys of a config that change no number: paths, number of workers, logging. The section `test` is
# excluded too, because the conditions describe the test that was actually done.
FREE = {
    "seed", "output", "data.root", "data.workers", "train.log_every", "train.logger",
    "train.save_every",
}  # fmt: skip
# Conditions that are outcomes or repeat others, and those that are a property of the network: two
# networks may differ in them and be compared.
OUTCOMES = {"results", "notes"}
OF_NETWORK = {
    "input_size", "color_order", "codec", "flip_shift", "network", "blocks", "places", "frames",
    "sampling", "stride", "fps", "short", "crop_size", "short_side", "amp",
}  # fmt: skip
FILES = ("boxes_file", "annotations", "list")
NUMBERED = re.compile(r"[/_.-]*(seed|s|run)?[/_.-]*$")


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed.

    Attributes:
        name: Short and unique.
        runs: By name, in the order given.
        config: Dotted keys that determine the group.
        conditions: Of the measurement, without outcomes.
    """

    name: str
    runs: dict[str, Run]
    config: dict[str, Any]
    conditions: dict[str, Any]

    @property
    def first(self) -> Run:
        """The run given first."""
        return next(iter(self.runs.values()))

    def by_seed(self, metric: str) -> dict[int | None, float]:
        """A number of the runs that have it, by seed."""
        numbers = ((run.seed, run.numbers) for run in self.runs.values())
        return {seed: found[metric] for seed, found in numbers if metric in found}

    def fact(self, key: str) -> str:
        """A fact of the runs; several values are listed."""
        return ", ".join(dict.fromkeys(run.facts.get(key, UNKNOWN) for run in self.runs.values()))


def group_runs(runs: Mapping[str, Run], called: Mapping[str, str] | None = None) -> list[Group]:
    """Group runs that differ only in the seed, in the given order.

    Args:
        runs: By name; a run without a config is a group of its own.
        called: The name of each run's group; None for the common part of the runs' names.

    Raises:
        ConfigError: The runs are of two tasks, or two of a group have the same seed: they are
            the same run twice, not two measurements.
    """
    tasks = {run.task: name for name, run in runs.items()}
    if len(tasks) > 1:
        raise ConfigError(
            f"{' and '.join(tasks.values())} are runs of {' and '.join(tasks)}; compare runs of "
            "one task"
        )
    found: dict[str, list[str]] = {}
    for name, run in runs.items():
        decides = [
            deciding_config(run.config),
            measured(run.conditions),
            run.facts.get("train_data"),
        ]
        key = name if run.config is None else json.dumps(decides, sort_keys=True, default=str)
        found.setdefault(key, []).append(name)
    members = [{name: runs[name] for name in names} for names in found.values()]
    groups = []
    for name, of_group in zip(group_names(members, called), members, strict=True):
        require_own_seeds(of_group)
        first = next(iter(of_group.values()))
        config, conditions = deciding_config(first.config), measured(first.conditions)
        groups.append(Group(name, of_group, config, conditions))
    return groups


def require_own_seeds(runs: Mapping[str, Run]) -> None:
    """Refuse two runs of one seed.

    Raises:
        ConfigError: There are such runs; the text names them.
    """
    seen: dict[int | None, str] = {}
    for name, run in runs.items():
        if run.seed in seen:
            raise ConfigError(
                f"{seen[run.seed]} and {name} have the same config and the same seed, {run.seed}; "
                "give only one of them, as the second adds no evidence"
            )
        seen[run.seed] = name


def deciding_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the config of a run by dotted keys, without those that change no number."""
    flat = flatten(config or {})
    return {k: v for k, v in flat.items() if k not in FREE and not k.startswith("test.")}


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def measured(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions of a measurement without outcomes; files by name, counts of persons flat."""
    had = {key: value for key, value in conditions.items() if key not in OUTCOMES}
    had |= {key: Path(str(had[key])).name for key in FILES if had.get(key) is not None}
    if isinstance(had.get("persons"), Mapping):
        persons = had.pop("persons")
        had["persons"] = persons.get("used")
        had["skipped"] = dict(persons.get("skipped") or {})
    had["amp"] = had.get("amp")  # not stored by a test, because the config has it
    return had


def group_names(
    groups: Sequence[Mapping[str, Run]], called: Mapping[str, str] | None = None
) -> list[str]:
    """Name each group by the common part of its runs' names, their folder, or the first run."""
    names = []
    for runs in groups:
        first = next(iter(runs))
        if called is not None:
            names.append(called[first])
            continue
        parents = {run.folder.resolve().parent for run in runs.values()}
        common = first
        if len(runs) > 1:
            common = NUMBERED.sub("", os.path.commonprefix(list(runs)))
            common = common or (parents.pop().name if len(parents) == 1 else "")
        names.append(common or first)
    return [
        name if names.count(name) == 1 else next(iter(runs))
        for name, runs in zip(names, groups, strict=True)
    ]


def differences(groups: Sequence[Group]) -> dict[str, tuple[Any, ...]]:
    """Return what differs between groups besides the numbers: the value of each, or None.

    A key of the config is "unknown" for a group without a config, which is not a difference.
    """
    all_known = all(group.config for group in groups)
    configured = dict.fromkeys(key for group in groups for key in group.config)
    columns = [
        {key: group.fact(key) for key in ("commit", "train_data", "truth", "numbers")}
        | {key: group.config.get(key) if group.config else UNKNOWN for key in configured}
        | {
            f"measured: {key}": value
            for key, value in group.conditions.items()
            if not (all_known and key in OF_NETWORK)  # the configs have them
        }
        for group in groups
    ]
    rows = {
        key: tuple(column.get(key) for column in columns)
        for key in dict.fromkeys(key for column in columns for key in column)
    }

    def differs(key: str) -> bool:
        pairs = zip(rows[key], groups, strict=True)
        known = [value for value, group in pairs if group.config or key not in configured]
        return any(value != known[0] for value in known)

    return {key: row for key, row in rows.items() if differs(key)}


def incomparable(groups: Sequence[Group]) -> list[str]:
    """Return reasons against a comparison; none if the groups may be compared.

    These are other conditions, another test set, another origin of numbers, unfinished training.
    """
    reasons = []
    first = groups[0]
    for group in groups[1:]:
        keys = dict.fromkeys([*first.conditions, *group.conditions])
        changed = [key for key in keys if first.conditions.get(key) != group.conditions.get(key)]
        free = OF_NETWORK | ({"decoding"} if "codec" in changed else set())
        reasons += [
            f"{key}: {first.conditions.get(key)!r} in {first.name}, "
            f"{group.conditions.get(key)!r} in {group.name}"
            for key in changed
            if key not in free
        ]
        for fact, words in (
            ("truth", "annotations or labels scored against"),
            ("numbers", "numbers of"),
        ):
            theirs = {first.fact(fact), group.fact(fact)} - {UNKNOWN}
            if len(theirs) > 1:
                reasons.append(
                    f"{words}: {first.fact(fact)} in {first.name}, {group.fact(fact)} in "
                    f"{group.name}"
                )
    for group in groups:
        for name, run in group.runs.items():
            state = run.facts.get("finished", UNKNOWN)
            if state not in ("yes", UNKNOWN):
                reasons.append(f"{name}: training has not ended, {state}")
    return reasons


def require_comparable(groups: Sequence[Group]) -> None:
    """Refuse groups whose numbers are not comparable.

    Raises:
        ConfigError: They are not; the text has all reasons.
    """
    reasons = incomparable(groups)
    if reasons:
        raise ConfigError(
            "these runs are not comparable: " + "; ".join(reasons) + "; test them under the same "
            "conditions (keypoint test), or give --anyway to compare them anyway"
        )
