"""Recipes: what a reference trains with, as files that lie below the user's own config.

Each file of ``keypoint/recipes/`` has the keys of a config that make a recipe, all of them, and
``devices``, on how many it was run: batch sizes are per device, so without that number a recipe
says nothing about its step. The order of precedence is default, recipe, file, command line; what
comes out holds every value, and the recipe's name stays beside them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.config.schema import Config
from keypoint.config.train import TrainConfig
from keypoint.strict_yaml import KeyPath, read_yaml

RECIPE_FOLDER = Path(__file__).parent / "recipes"
# Keys of train that change no number beyond rounding, or are told apart: the step by `step_card`.
NO_DEVIATION = {"recipe", "accumulate", "compile", "channels_last"}
NO_DEVIATION |= {"evaluate_every", "save_every", "log_every"}
# What a recipe does not set where the user's own value of another key leaves it nothing to do: as
# a value of the user's it would be refused, and the user gave none.
IDLE_WITH = {("augment", "rotation"): ("rotation_probability", 0)}


@dataclass(frozen=True)
class Recipe:
    """One file.

    Attributes:
        name: Its stem.
        devices: How many processes the reference trains on.
        values: By section and key.
    """

    name: str
    devices: int
    values: Mapping[str, Mapping[str, Any]]

    @property
    def crops_per_step(self) -> int:
        """On all devices together."""
        return self.devices * int(self.values["train"]["batch_size"])


@functools.cache
def read_recipe(name: str) -> Recipe:
    """The recipe of this name, one of the values of ``train.recipe``."""
    document = read_yaml(RECIPE_FOLDER / f"{name}.yaml")
    assert not document.problems, document.problems
    values = dict(document.content)
    return Recipe(name, values.pop("devices"), values)


def fill_in_recipe(content: dict[str, Any], places: dict[KeyPath, str]) -> None:
    """Give a config's content the values of its recipe where it has none of its own.

    The recipe's drops keep their share of the epochs where the config has other epochs. Content
    that is no config (an unknown recipe, a section that is none) is left to the validation.

    Args:
        content: By section and key; filled in place.
        places: Where each key comes from, for errors; filled in place.
    """
    train = content.get("train") or {}
    name = train.get("recipe", "paper") if isinstance(train, dict) else None
    if name not in recipe_names():
        return
    recipe = read_recipe(name)
    epochs, drops = train.get("epochs"), recipe.values["train"]["lr_drops"]
    for section, values in recipe.values.items():
        given = content.get(section)
        if given is None:
            given = content[section] = {}
        if not isinstance(given, dict):
            continue
        for key, value in values.items():
            other, idle = IDLE_WITH.get((section, key), (None, None))
            if other in given and given[other] == idle:
                continue
            if key == "lr_drops" and drops and type(epochs) is int and key not in given:
                given[key] = in_proportion(drops, recipe.values["train"]["epochs"], epochs)
            given.setdefault(key, value)
            places.setdefault((section, key), f"recipe {name}")


def in_proportion(drops: list[int], epochs: int, others: int) -> list[int]:
    """Drops of a training of other epochs: [90, 120] of 140 are [9, 12] of 14, and none of 1."""
    moved = {round(others * drop / epochs) for drop in drops}
    return sorted(drop for drop in moved if 0 < drop < others)


def recipe_names() -> list[str]:
    """What ``train.recipe`` may be."""
    names: list[str] = list(TrainConfig.model_json_schema()["properties"]["recipe"]["enum"])
    return names


def recipe_card(config: Config) -> str:
    """The recipe's name and, if any, the values that are not the recipe's.

    What no recipe has a value for (ohkm, ema, transforms ..) is left at its default by all of them.
    """
    recipe, ours, defaults = read_recipe(config.train.recipe), config.to_dict(), Config().to_dict()
    different = [
        f"{section}.{key}={_word(ours[section][key])} ({_word(value)})"
        for section in ("train", "augment")
        for key, value in (defaults[section] | dict(recipe.values[section])).items()
        if ours[section][key] != value and key not in NO_DEVIATION
    ]
    return f"{recipe.name}, but for {', '.join(different)}" if different else recipe.name


def _word(value: Any) -> Any:
    """A value as a config has it."""
    return "none" if value is None else value


def step_card(config: Config, devices: int) -> tuple[str, bool]:
    """How many crops make a step, and whether that speaks against the learning rate.

    Nothing is scaled to fit: the batch size is per device and the learning rate is what the config
    says, on however many devices.

    Returns:
        The sentence, and true where the step is not the recipe's though the learning rate is.
    """
    recipe, train = read_recipe(config.train.recipe), config.train
    crops = train.batch_size * devices * train.accumulate
    text = (
        f"{crops} crops a step (train.batch_size {train.batch_size} x {devices} "
        f"device{'s' if devices > 1 else ''} x "
        f"train.accumulate {train.accumulate})"
    )
    if crops == recipe.crops_per_step:
        return text, False
    text += (
        f", in the recipe {recipe.name} {recipe.crops_per_step} "
        f"({recipe.values['train']['batch_size']} x {recipe.devices})"
    )
    if train.lr != recipe.values["train"]["lr"]:
        return text, False
    text += f"; train.lr={train.lr:g} is made for those and is not scaled"
    batches, rest = divmod(recipe.crops_per_step, train.batch_size * devices)
    if not rest:
        text += f". train.accumulate={batches} gives the same step"
    return text, True
