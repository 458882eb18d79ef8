"""Whether a checkpoint may be gone on from: the same config, persons and number of processes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from keypoint.checkpoint import read_checkpoint
from keypoint.config import Config, config_from_dict
from keypoint.errors import CheckpointError

logger = logging.getLogger(__name__)

# What may differ between a run and its resumption: nothing that changes a number of the training.
FREE_KEYS = {"output", "data.workers", "data.root", "train.log_every", "train.save_every"}
OF_THE_MACHINE = ("output", "data.root", "data.workers")


def check_same_config(path: Path, config: Config, *, allow_changed: bool = False) -> None:
    """Refuse to resume a run under a config that would make it another run.

    Args:
        path: The run's checkpoint.
        config: To go on with.
        allow_changed: Log what differs in place of refusing it.

    Raises:
        CheckpointError: Lists the keys that differ, with both values.
    """
    given = config_from_dict(read_checkpoint(path)["config"], source=str(path))
    theirs, ours = flat(given), flat(config)
    different = [
        f"{key}={ours.get(key)!r} (was {theirs.get(key)!r})"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key) and key not in FREE_KEYS and not key.startswith("test.")
    ]
    if different:
        more = " .." if len(different) > 5 else ""
        _refuse(
            f"{path}: was trained with another config: {', '.join(different[:5])}{more}",
            "resume with the same, or begin anew in another output=",
            allow_changed,
        )


def require_same_run(
    path: Path,
    content: dict[str, Any],
    data: dict[str, str],
    world_size: int,
    *,
    allow_changed: bool = False,
) -> None:
    """Refuse to resume on other persons or another number of processes.

    Args:
        path: The checkpoint.
        content: What is in it.
        data: Fingerprints of the persons by split, as the checkpoint has them.
        world_size: Processes now.
        allow_changed: Log what differs in place of refusing it.

    Raises:
        CheckpointError: What differs.
    """
    for split, name in data.items():
        if content["data"].get(split) != name:
            _refuse(
                f"{path}: was trained with other {split} persons (fingerprint "
                f"{content['data'].get(split)}, now {name}): annotations, boxes or what is left "
                "out of them changed",
                "resume with the same",
                allow_changed,
            )
    if content["world_size"] != world_size:
        _refuse(
            f"{path}: was trained on {content['world_size']} process(es), this is {world_size}; "
            "batches would differ",
            "resume with the same number",
            allow_changed,
        )


def _refuse(what: str, what_to_do: str, allow_changed: bool) -> None:
    if not allow_changed:
        raise CheckpointError(f"{what}; {what_to_do}, or allow it with --allow-changed")
    logger.warning("%s; allowed by --allow-changed: the run is another from here on", what)


def shared(config: Config) -> dict[str, Any]:
    """What must be the same on all processes: everything but where a machine keeps its files."""
    return {key: value for key, value in flat(config).items() if key not in OF_THE_MACHINE}


def flat(config: Config) -> dict[str, Any]:
    """Sections and keys joined by a dot; values as they are."""
    nested = config.to_dict()
    values = {key: value for key, value in nested.items() if not isinstance(value, dict)}
    for section, keys in nested.items():
        if isinstance(keys, dict):
            values |= {f"{section}.{key}": value for key, value in keys.items()}
    return values
