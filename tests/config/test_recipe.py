"""Recipes: their values, their precedence, the warning of another step, and the table in docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keypoint.config.load import (
    Config,
    config_from_dict,
    dump_config,
    find_config,
    load_config,
    override_config,
)
from keypoint.config.recipe import (
    NO_DEVIATION,
    RECIPES,
    in_proportion,
    recipe_card,
    step_card,
)
from keypoint.errors import ConfigError
from keypoint.pose.skeleton import load_skeleton

REPOSITORY = Path(__file__).parents[2]
NAMES = ["paper", "sb", "hrnet", "mmpose"]
# Typed from the references: crops x devices, lr, warm-up, epochs, drops, scale, rotation, half body
PUBLISHED = {
    "paper": (32, 8, 1e-3, 0, 210, (170, 200), 0.3, 40, 0.0),
    "sb": (32, 4, 1e-3, 0, 140, (90, 120), 0.3, 40, 0.0),
    "hrnet": (32, 4, 1e-3, 0, 210, (170, 200), 0.35, 45, 0.3),
    "mmpose": (64, 8, 5e-4, 500, 210, (170, 200), 0.5, 40, 0.3),
}


def test_these_are_all_recipes():
    assert list(RECIPES) == NAMES
    schema = Config.model_fields["train"].annotation.model_json_schema()
    assert schema["properties"]["recipe"]["enum"] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_the_references(name):
    config = load_config(find_config("res50_256x192"), [f"train.recipe={name}"])
    train, augment = config.train, config.augment
    found = (train.batch_size, RECIPES[name].devices, train.lr, train.warmup_steps)
    found += (train.epochs, train.drops, augment.scale, augment.rotation)
    assert (*found, augment.half_body_probability) == PUBLISHED[name]
    assert (train.optimizer, train.weight_decay, train.lr_factor) == ("adam", 0, 0.1)
    assert (augment.rotation_probability, augment.flip_probability) == (0.6, 0.5)
    assert train.recipe == name
    assert recipe_card(config) == name


def test_the_defaults_are_the_recipe_paper():
    for section, values in RECIPES["paper"].values.items():
        defaults = Config().to_dict()[section]
        assert {key: defaults[key] for key in values} == values
    keys = [{s: set(v) for s, v in RECIPES[name].values.items()} for name in NAMES]
    assert all(others == keys[0] for others in keys)  # or a default would stand in between


def test_file_and_command_line_come_after_the_recipe(write):
    path = write("train:\n  recipe: mmpose\n  lr: 1e-3\naugment:\n  scale: 0.25\n")
    config = load_config(path)
    assert (config.train.lr, config.train.warmup_steps, config.train.batch_size) == (1e-3, 500, 64)
    assert (config.augment.scale, config.augment.half_body_probability) == (0.25, 0.3)
    config = load_config(path, ["train.lr=2e-3", "train.warmup_steps=0"])
    assert (config.train.lr, config.train.warmup_steps) == (2e-3, 0)
    config = load_config(path, ["train.recipe=sb"])  # the command line's recipe
    assert (config.train.lr, config.train.epochs, config.train.batch_size) == (1e-3, 140, 32)
    assert config.augment.scale == 0.25
    assert recipe_card(config) == "sb, except augment.scale=0.25 (0.3)"


# What changes the numbers of a training, with a value that is no recipe's.
DEVIATIONS = {
    "train.optimizer": "adamw", "train.lr": 0.5, "train.epochs": 7, "train.lr_drops": [3], "train.lr_factor": 0.5,
    "train.warmup_steps": 9, "train.batch_size": 3, "train.amp": "bf16", "train.ema": 0.9, "train.ohkm": 8,
    "train.keypoint_weights": {"nose": 2.0}, "train.momentum": 0.5, "train.weight_decay": 0.1,
    "augment.scale": 0.1, "augment.rotation": 5.0, "augment.rotation_probability": 0.1, "augment.flip_probability": 0.1,
    "augment.half_body_probability": 0.1, "augment.transforms": [{"name": "ColorJitter"}],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_deviation_is_on_the_card(name):
    config = load_config(find_config("res50_256x192"), [f"train.recipe={name}"])
    for key, value in DEVIATIONS.items():
        section, _, last = key.partition(".")
        content = config.to_dict()
        content[section][last] = value
        if last in ("momentum", "weight_decay"):
            content["train"]["optimizer"] = "sgd"
        if last == "epochs":
            content["train"]["lr_drops"] = None
        card = recipe_card(config_from_dict(content, "x"))
        assert card.startswith(f"{name}, except ")
        assert f"{key}={value} (" in card
    # And no key of the two sections is left out of both lists, a new one least of all.
    keys = {f"{s}.{k}" for s in ("train", "augment") for k in config.to_dict()[s]}
    assert keys == DEVIATIONS.keys() | {f"train.{key}" for key in NO_DEVIATION}


def test_what_changes_no_number_is_no_deviation():
    free = [
        "train.accumulate=8",
        "train.compile=true",
        "train.log_every=7",
        "train.logger=wandb",
        "train.save_every=none",
    ]
    assert recipe_card(load_config(find_config("res50_256x192"), free)) == "paper"


def test_an_explicit_default_is_not_taken_for_silence(write):
    config = load_config(write("train:\n  recipe: mmpose\n  batch_size: 32\n  warmup_steps: 0\n"))
    assert (config.train.batch_size, config.train.warmup_steps) == (32, 0)
    with_none = load_config(write("train:\n  recipe: sb\n"), ["train.lr_drops=none"])
    assert with_none.train.lr_drops is None


def test_sections_that_are_empty_or_missing_are_filled(write):
    for text in ("train:\n  recipe: hrnet\n", "augment:\ntrain:\n  recipe: hrnet\n"):
        assert load_config(write(text)).augment.scale == 0.35
    assert load_config(write("seed: 1\n"), ["train.recipe=hrnet"]).augment.rotation == 45


@pytest.mark.parametrize(
    ("epochs", "drops"), [(140, (90, 120)), (280, (180, 240)), (14, (9, 12)), (2, (1,)), (1, ())]
)
def test_drops_of_a_recipe_follow_the_epochs(epochs, drops):
    overrides = ["train.recipe=sb", f"train.epochs={epochs}"]
    assert load_config(find_config("res50_256x192"), overrides).train.drops == drops
    assert in_proportion([90, 120], 140, epochs) == list(drops)


def test_given_drops_stay_as_they_are():
    for overrides in (["train.lr_drops=[5]"], ["train.lr_drops=[5]", "train.epochs=14"]):
        config = load_config(find_config("res50_256x192"), ["train.recipe=sb", *overrides])
        assert config.train.drops == (5,)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_resolved_stays(name, tmp_path):
    """In a checkpoint, in the run's config.yaml, and in testing, the values are the run's own."""
    config = load_config(find_config("demo"), [f"train.recipe={name}", "train.lr=3e-3"])
    assert config_from_dict(config.to_dict(), "x") == config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert override_config(config, ["test.flip=false"]).train == config.train
    # A checkpoint that names a recipe is not filled in from the file of today.
    content = {"train": {"recipe": name}}
    assert config_from_dict(content, "x").train.batch_size == Config().train.batch_size


def test_a_recipe_is_chosen_for_training():
    config = load_config(find_config("demo"))
    with pytest.raises(
        ConfigError, match="train.recipe has no effect on a config that has all values"
    ):
        override_config(config, ["train.recipe=sb"])
    override_config(config, ["train.recipe=paper"])  # the one it has


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train:\n  recipe: hrnt\n", "given 'hrnt'; allowed: paper | sb | hrnet | mmpose; did you"),
        ("train:\n  recipe: [sb]\n", "train.recipe: given"),
        ("train: sb\n", "train: given 'sb'; it is a section"),
        ("augment: 3\ntrain:\n  recipe: sb\n", "augment: given 3; it is a section"),
        ("train:\n  recipe: sb\n  epochs: none\n", "train.epochs: given none"),
        ("train:\n  recipe: sb\n  lr_drops: [300]\n", "with train.epochs=140"),
    ],
)
def test_mistakes_are_still_named(write, text, words):
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        load_config(write(text))
    assert not re.search(r"\d mistakes", str(caught.value))
    assert str(caught.value).startswith(str(write(text)))


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_the_recipe_does_not_count_as_given(write, name):
    """Without rotation the recipe's degrees have no effect; the user did not give them, so they go."""
    path = write(f"train:\n  recipe: {name}\naugment:\n  rotation_probability: 0.0\n")
    config = load_config(path)
    assert (config.augment.rotation_probability, config.augment.rotation) == (0, 40)
    assert "augment.rotation_probability=0.0 (0.6)" in recipe_card(config)
    assert load_config(path, ["augment.rotation=0"]).augment.rotation == 0
    with pytest.raises(ConfigError, match="rotation 45 has no effect with it; .* set both to 0"):
        load_config(path, ["augment.rotation=45"])


@pytest.mark.parametrize(
    ("overrides", "devices", "warned", "words"),
    [
        ([], 8, False, "^256 crops a step"),
        (["train.accumulate=8"], 1, False, "^256 crops a step"),
        (["train.recipe=sb"], 4, False, "^128 crops a step"),
        (["train.recipe=mmpose", "train.accumulate=2"], 4, False, "^512 crops a step"),
        ([], 1, True, r"^32 crops a step \(train.batch_size 32 x 1 device x train.accumulate 1\), "
         r"in the recipe paper 256 \(32 x 8\); train.lr=0.001 was chosen for those, so try others. "
         "train.accumulate=8 gives"),
        (["train.batch_size=48"], 4, True, "^192 crops.*so try others$"),
        (["train.batch_size=64"], 8, True, "^512 crops.*so try others$"),
        (["train.lr=2e-3", "train.batch_size=64"], 8, False, r"^512 crops.*256 \(32 x 8\)$"),
        (["train.recipe=mmpose"], 4, True, "^256 crops.*train.lr=0.0005.*train.accumulate=2 gives"),
    ],
)  # fmt: skip
def test_another_step_than_the_recipes_is_said(overrides, devices, warned, words):
    config = load_config(find_config("res50_256x192"), overrides)
    text, speaks_against_lr = step_card(config, devices, 1000)
    assert re.search(words, text), text
    assert speaks_against_lr == warned


@pytest.mark.parametrize(("num_crops", "suggested"), [(83, False), (255, False), (256, True)])
def test_a_step_of_more_crops_than_the_data_set_has_is_not_suggested(num_crops, suggested):
    config = load_config(find_config("res50_256x192"), ["train.batch_size=16"])
    text, speaks_against_lr = step_card(config, 1, num_crops)
    assert speaks_against_lr
    assert text.endswith("so try others") == (not suggested)
    assert ("train.accumulate=16 gives the same step" in text) == suggested


def test_the_table_in_docs_is_what_the_files_say():
    document = (REPOSITORY / "docs" / "reference" / "recipes.md").read_text()
    rows = re.findall(r"^\| ([a-z_.x ]+?) +\|(.*)\|$", document, re.MULTILINE)
    table = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    configs = [load_config(find_config("res50_256x192"), [f"train.recipe={n}"]) for n in NAMES]
    expected = {
        "devices": [str(RECIPES[name].devices) for name in NAMES],
        "crops a step": [str(RECIPES[name].crops_per_step) for name in NAMES],
    }
    for section, values in RECIPES["paper"].values.items():
        for key in values:
            found = [c.to_dict()[section][key] for c in configs]
            if key == "lr_drops":
                found = [", ".join(map(str, c.train.drops)) for c in configs]
            expected[f"{section}.{key}"] = [
                f"{value:g}" if isinstance(value, float) else str(value) for value in found
            ]
    assert {name: table.get(name) for name in expected} == expected
    head = next(line for line in document.splitlines() if line.startswith("|"))
    assert re.findall(r"`(\w+)`", head) == NAMES


def test_hrnets_keypoint_weights_in_docs_load(write):
    document = (REPOSITORY / "docs" / "reference" / "recipes.md").read_text()
    loaded = load_config(write(re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)[0]))
    weights = {
        n: loaded.train.keypoint_weights.get(n, 1) for n in load_skeleton("coco17").keypoints
    }
    hrnets = [1, 1, 1, 1, 1, 1, 1, 1.2, 1.2, 1.5, 1.5, 1, 1, 1.2, 1.2, 1.5, 1.5]
    assert list(weights.values()) == hrnets
