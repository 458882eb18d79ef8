"""The paper's row of a trained network, and the differences that prevent a comparison.

A row is a config of configs/coco; its numbers are in keypoint/evaluation/published.py.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keypoint.config.load import Config, config_from_dict, find_config, load_config
from keypoint.config.recipe import RECIPES
from keypoint.errors import ConfigError
from keypoint.evaluation.published import ROWS, Row, other_measurement
from keypoint.evaluation.runs.group import Group
from keypoint.evaluation.runs.read import UNKNOWN, Run

# Keys of `model` that define a network; the codec is a condition of the numbers.
NETWORK = ("network", "encoder", "encoder_stride", "dilated", "input_size", "blocks")
# Keys that may differ from a row's config: they change no number beyond rounding, or are paths of
# the same files. The number of crops per step is checked separately.
FREE = {"batch_size", "accumulate", "amp", "compile", "channels_last"}
FREE |= {"evaluate_every", "save_every", "log_every", "logger"}
FREE |= {"root", "workers", "train_images", "val_images"}


def row_of(model: Mapping[str, Any]) -> Row | None:
    """Return the row of a network, or None if it is not in the paper.

    Args:
        model: Section `model` of a config, in plain types.
    """
    for name in ROWS:
        theirs = config_of_row(name).to_dict()["model"]
        if all(model[key] == theirs[key] for key in NETWORK):
            return Row.named(name)
    return None


def published(group: Group) -> tuple[Row, list[str]] | None:
    """Return the row of a group's network and a list of differences; None if there is no row.

    Rows are of COCO's keypoints. The numbers can be compared if the list is empty.
    """
    first = group.first
    of_coco = first.task == "keypoints" and first.conditions.get("skeleton") == "coco17"
    if not of_coco or first.config is None:
        return None
    try:
        config = config_from_dict(first.config, source=str(first.folder))
    except ConfigError:  # of another version
        return None
    row = row_of(config.to_dict()["model"])
    if row is None:
        return None
    # Configs and conditions of a group are equal, except for keys that may differ here too.
    reasons = trained_otherwise(config, row)
    reasons += [reason for run in group.runs.values() for reason in not_finished(run, row)]
    theirs = config_of_row(row.name)
    annotations = Path(theirs.data.val_annotations).name
    reasons += other_measurement(first.conditions, theirs.model.input_size, annotations)
    return row, list(dict.fromkeys(reasons))


def trained_otherwise(config: Config, row: Row) -> list[str]:
    """Return reasons: the keys in which a config differs from the row's."""
    given, wanted = config.to_dict(), config_of_row(row.name).to_dict()
    return [
        f"{section}.{key}={value} (the paper's: {wanted[section][key]})"
        for section in ("data", "augment", "model", "train")
        for key, value in given[section].items()
        if value != wanted[section][key] and key not in FREE
    ]


def not_finished(run: Run, row: Row) -> list[str]:
    """Return reasons: other crops per step (on all devices), or an unfinished training."""
    reasons = []
    expected = RECIPES[config_of_row(row.name).train.recipe].crops_per_step
    crops, finished = (run.facts.get(fact, UNKNOWN) for fact in ("crops", "finished"))
    if crops != str(expected):
        reasons.append(f"crops per step: {crops} (the paper's: {expected})")
    if finished != "yes":
        reasons.append(f"last epoch reached: {finished}")
    return reasons


@functools.cache
def config_of_row(name: str) -> Config:
    """Return the config of a row."""
    return load_config(find_config(name))
