"""Recipes: the values that a reference implementation trains with, instead of the defaults.

Later sources override earlier ones: default, recipe, file, command line. The resulting config
contains every value and the recipe's name. Batch sizes are per device, so a recipe also contains
the number of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keypoint.config.schema import Config
from keypoint.strict_yaml import KeyPath

# Keys of train that change nothing beyond rounding, or have a line of their own: `step_card`.
NO_DEVIATION = {"recipe", "accumulate", "compile", "channels_last"}
NO_DEVIATION |= {"evaluate_every", "save_every", "log_every", "logger"}
# Keys of a recipe that are not set if the user's value of another key makes them ineffective: an
# ineffective value is refused, but here the user did not give it.
IDLE_WITH = {("augment", "rotation"): ("rotation_probability", 0)}


@dataclass(frozen=True)
class Recipe:
    """The values of a reference.

    Attributes:
        name: A value of ``train.recipe``.
        devices: The number of processes that the reference trains on.
        values: By section and key; every recipe has the same keys.
    """

    name: str
    devices: int
    values: Mapping[str, Mapping[str, Any]]

    @property
    def crops_per_step(self) -> int:
        """Return the crops of a step on all devices together."""
        return self.devices * int(self.values["train"]["batch_size"])


# The SRL paper, section 4.1: Adam, 210 epochs, +-40 degrees, +-30 %, flip. Not in the text, so
# taken from elsewhere: lr 1e-3 (name of the released config), the drops (HRNet), the probabilities
# of rotation and flip (SimpleBaseline's code). The same values are the defaults of every config.
_PAPER: dict[str, dict[str, Any]] = {
    "train": {
        "optimizer": "adam",
        "lr": 1e-3,
        "warmup_steps": 0,
        "epochs": 210,
        "lr_drops": None,  # in proportion: 170 and 200 of 210
        "lr_factor": 0.1,
        "batch_size": 32,
    },
    "augment": {
        "scale": 0.3,
        "rotation": 40.0,
        "rotation_probability": 0.6,
        "flip_probability": 0.5,
        "half_body_probability": 0.0,
    },
}


def _recipe(name: str, devices: int, **differing: dict[str, Any]) -> Recipe:
    """Return a recipe that differs from the paper's in these values."""
    values = {section: keys | differing.get(section, {}) for section, keys in _PAPER.items()}
    return Recipe(name, devices, values)


_ALL = (
    _recipe("paper", devices=8),
    # SimpleBaseline's released configs (res50_256x192_d256x3_adam_lr1e-3.yaml), and those for
    # ResNets in HRNet's repository. Their WD 1e-4 never reaches Adam. They normalise BGR pixels
    # with the mean and std of RGB; here the color order is that of the weights, ImageNet's RGB.
    _recipe("sb", devices=4, train={"epochs": 140, "lr_drops": [90, 120]}),
    # HRNet's own networks (w32_256x192_adam_lr1e-3.yaml): half bodies, and slightly more rotation
    # and scale than SimpleBaseline.
    _recipe(
        "hrnet",
        devices=4,
        augment={"scale": 0.35, "rotation": 45.0, "half_body_probability": 0.3},
    ),
    # mmpose 1.x, td-hm_res50_8xb64-210e_coco. Not expressed here: the box shifted by up to 16 % of
    # the crop (in 30 % of cases); scale and rotation from a normal distribution truncated at its
    # sigma (0.5, 80 degrees), while ours have the same limits but accumulate at those of the scale;
    # its half body takes an upper body of 2 keypoints, and prefers it in 70 % of cases (HRNet's
    # code: 69 %); its loss has no factor 1/2, which does not matter to Adam.
    _recipe(
        "mmpose",
        devices=8,
        train={"lr": 5e-4, "warmup_steps": 500, "batch_size": 64},
        augment={"scale": 0.5, "half_body_probability": 0.3},
    ),
)
RECIPES = {recipe.name: recipe for recipe in _ALL}


def fill_in_recipe(content: dict[str, Any], places: dict[KeyPath, str]) -> None:
    """Fill the missing keys of a config's content with the values of its recipe.

    The recipe's drops are scaled to the config's number of epochs. Invalid content (an unknown
    recipe, a section that is not a mapping) is left to the validation.

    Args:
        content: By section and key; filled in place.
        places: The origin of each key, for errors; filled in place.
    """
    train = content.get("train") or {}
    name = train.get("recipe", "paper") if isinstance(train, dict) else None
    recipe = RECIPES.get(name) if isinstance(name, str) else None
    if recipe is None:
        return
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
    """Scale drops to another number of epochs: [90, 120] of 140 are [9, 12] of 14, none of 1."""
    moved = {round(others * drop / epochs) for drop in drops}
    return sorted(drop for drop in moved if 0 < drop < others)


def recipe_card(config: Config) -> str:
    """Return the recipe's name and the values that differ from the recipe, if any.

    Keys that no recipe contains (ohkm, ema, transforms ..) have their default in all of them.
    """
    recipe, ours, defaults = RECIPES[config.train.recipe], config.to_dict(), Config().to_dict()
    different = [
        f"{section}.{key}={_word(ours[section][key])} ({_word(value)})"
        for section in ("train", "augment")
        for key, value in (defaults[section] | dict(recipe.values[section])).items()
        if ours[section][key] != value and key not in NO_DEVIATION
    ]
    return f"{recipe.name}, except {', '.join(different)}" if different else recipe.name


def _word(value: Any) -> Any:
    """Return a value as it is written in a config."""
    return "none" if value is None else value


def step_card(config: Config, devices: int, num_crops: int) -> tuple[str, bool]:
    """Describe the crops in a step, and whether the learning rate was chosen for another number.

    Nothing is scaled: on any number of devices the batch size is per device and the learning rate
    is the config's.

    Args:
        config: The whole config.
        devices: How many train together.
        num_crops: Crops in the data set. A step of the recipe is not suggested if it has more.

    Returns:
        The sentence, and true if the learning rate is the recipe's but the step is not.
    """
    recipe, train = RECIPES[config.train.recipe], config.train
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
    text += f"; train.lr={train.lr:g} was chosen for those, so try others"
    batches, rest = divmod(recipe.crops_per_step, train.batch_size * devices)
    if not rest and recipe.crops_per_step <= num_crops:
        text += f". train.accumulate={batches} gives the same step"
    return text, True
