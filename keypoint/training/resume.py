"""Check whether training can resume from a checkpoint: same config, names, data, processes.

The names are a skeleton's, or those of classes.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keypoint.checkpoint.content import task_of_content
from keypoint.checkpoint.file import read_checkpoint, require_task
from keypoint.config.fields import RunConfig
from keypoint.config.load import from_dict_as
from keypoint.errors import CheckpointError
from keypoint.pose.skeleton import Skeleton, skeleton_from_dict

logger = logging.getLogger(__name__)

# Keys that may differ when a run is resumed: they affect neither weights nor AP, or name a file
# whose content is compared.
FREE_KEYS = {
    "output", "data.workers", "data.root", "data.skeleton", "data.classes", "train.log_every",
    "train.logger", "train.save_every", "test.batch_size", "test.boxes",
}  # fmt: skip
# What to do about a difference, instead of resuming with the same, in keypoint train.
ALLOW = "or allow it with --allow-changed"
OTHERWISE = f"start over in another output=, {ALLOW}"
OF_THE_MACHINE = ("output", "data.root", "data.workers")


def check_same_config(
    path: Path,
    config: RunConfig,
    skeleton: Skeleton | None = None,
    *,
    classes: Sequence[str] | None = None,
    allow_changed: bool = False,
    otherwise: str = OTHERWISE,
) -> list[str]:
    """Refuse to resume a run with a config, skeleton or classes that would change it.

    Args:
        path: The run's checkpoint.
        config: The config to resume with.
        skeleton: The skeleton to resume with, if the task has one.
        classes: The names of the classes to resume with, if the task has classes.
        allow_changed: Log differences instead of refusing them. Other classes are always refused.
        otherwise: What the command offers instead of the same config, for the error.

    Returns:
        The differences that were allowed, for the model card; empty if nothing differs.

    Raises:
        CheckpointError: The checkpoint has another task, other classes or another config; the text
            lists the keys that differ, with both values.
    """
    content = read_checkpoint(path)
    require_task(content, config.to_dict().get("task", "keypoints"), str(path))
    given = from_dict_as(type(config), content["config"], str(path))
    theirs, ours = flat(given), flat(config)
    different = [
        f"{key}={ours.get(key)!r} (was {theirs.get(key)!r})"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key) and key not in FREE_KEYS
    ]
    if skeleton is not None:
        different += skeleton_changes(skeleton_from_dict(content["skeleton"], str(path)), skeleton)
    if classes is not None:
        _require_same_classes(path, content["classes"], classes)
    if not different:
        return []
    more = " .." if len(different) > 5 else ""
    shown = f"was trained with another config: {', '.join(different[:5])}{more}"
    _refuse(path, shown, f"resume with the same, {otherwise}", allow_changed)
    return [f"was trained with another config: {', '.join(different)}"]


def _require_same_classes(path: Path, theirs: Sequence[str], ours: Sequence[str]) -> None:
    """Refuse other classes: the outputs keep their meaning only with the same names in order."""
    if list(theirs) == list(ours):
        return
    words = f"was trained for {len(theirs)} classes, but the data have {len(ours)}"
    if len(theirs) == len(ours):
        number = next(
            n for n, pair in enumerate(zip(theirs, ours, strict=True)) if len({*pair}) > 1
        )
        words = f"class {number} was {theirs[number]!r}, but is {ours[number]!r} in the data"
    raise CheckpointError(
        f"{path}: {words}; give the same data.classes, or start over in another output= with "
        "model.weights set to this file and model.new_head=true"
    )


def skeleton_changes(theirs: Skeleton, ours: Skeleton) -> list[str]:
    """Return the differences of two skeletons, a text for each key of the file.

    Their names and the order of pairs, edges and upper_body do not matter.
    """
    changes = []
    old, new = _entries(theirs), _entries(ours)
    for key in new:
        added = [text for place, text in new[key].items() if place not in old[key]]
        removed = [text for place, text in old[key].items() if place not in new[key]]
        if added or removed:
            changes.append(f"skeleton.{key}={reprlib.repr(added)} (was {reprlib.repr(removed)})")
    return changes


def _entries(skeleton: Skeleton) -> dict[str, dict[Any, Any]]:
    """Return each key's entries as indices, so that a new name counts only once."""
    names, sigmas = skeleton.keypoints, skeleton.oks_sigmas
    places = {name: place for place, name in enumerate(names)}

    def couples(entries: Sequence[tuple[str, str]]) -> dict[Any, Any]:
        return {(places[a], places[b]): [a, b] for a, b in entries}

    return {
        "keypoints": {(place, name): name for place, name in enumerate(names)},
        "oks_sigmas": {
            (place, sigma): f"{name} {sigma:g}"
            for place, (name, sigma) in enumerate(zip(names, sigmas, strict=True))
        },
        "pairs": couples(skeleton.pairs),
        "edges": couples(skeleton.edges),
        "upper_body": {places[name]: name for name in skeleton.upper_body},
    }


def require_same_run(
    path: Path,
    content: dict[str, Any],
    data: dict[str, str],
    world_size: int,
    *,
    allow_changed: bool = False,
) -> list[str]:
    """Refuse to resume on other data or another number of processes.

    Args:
        path: The checkpoint.
        content: Its content.
        data: Fingerprints of the data, as the checkpoint has them: persons by split, and the
            `truth` that results are scored against.
        world_size: Number of processes now.
        allow_changed: Log differences instead of refusing them.

    Returns:
        The differences that were allowed, for the model card; empty if nothing differs.

    Raises:
        CheckpointError: Something differs, which the text names.
    """
    allowed = []
    for split, name in data.items():
        saved = content["data"].get(split)
        if saved == name or (split == "truth" and saved is None):  # not kept by the first files
            continue
        what, cause = f"was trained with other {split} persons", "annotations, boxes"
        if split == "truth":
            what = "was scored with other annotations"
        elif task_of_content(content) == "action":
            what, cause = f"was trained with other {split} videos", "lists, labels"
        what += f" (fingerprint {saved}, now {name}): {cause} or the skipped entries changed"
        _refuse(path, what, f"resume with the same, {ALLOW}", allow_changed)
        allowed.append(what)
    if content["world_size"] != world_size:
        what = (
            f"was trained with {content['world_size']} process(es), now there are {world_size}; "
            "batches would differ"
        )
        _refuse(path, what, f"resume with the same number, {ALLOW}", allow_changed)
        allowed.append(what)
    return allowed


def card_of_resumed(
    now: Mapping[str, Any], content: Mapping[str, Any], changes: Sequence[str]
) -> dict[str, Any]:
    """Return the `card` of a resumed run, with all earlier differences.

    Args:
        now: `card` and `versions` as this process would write them.
        content: The checkpoint that it resumes from.
        changes: Differences that were allowed.
    """
    card, before = dict(now["card"]), content["card"] or {}
    commit = before.get("commit")
    theirs = {"commit": commit} if commit else {}
    theirs |= content["versions"] or {}
    ours = {"commit": card.get("commit")} | now["versions"]
    made_by = [f"{key} {value}" for key, value in theirs.items() if ours.get(key) != value]
    if made_by:
        changes = [*changes, f"was trained by {', '.join(made_by)}"]
    until = f"until epoch {content['epoch'] + 1}, batch {content['batch']}"
    return card | {"changes": [*before.get("changes", []), *(f"{until}: {c}" for c in changes)]}


def _refuse(path: Path, what: str, what_to_do: str, allow_changed: bool) -> None:
    if not allow_changed:
        raise CheckpointError(f"{path}: {what}; {what_to_do}")
    logger.warning(
        "%s: %s; allowed by --allow-changed: from here on it is a different run", path, what
    )


def shared(config: RunConfig) -> dict[str, Any]:
    """Return the keys that must be equal on all processes: all except paths and workers."""
    return {key: value for key, value in flat(config).items() if key not in OF_THE_MACHINE}


def flat(config: RunConfig) -> dict[str, Any]:
    """Sections and keys joined by a dot; values as they are."""
    nested = config.to_dict()
    values = {key: value for key, value in nested.items() if not isinstance(value, dict)}
    for section, keys in nested.items():
        if isinstance(keys, dict):
            values |= {f"{section}.{key}": value for key, value in keys.items()}
    return values
