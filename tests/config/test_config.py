"""Every mistake in a config is one readable sentence; what is right survives all its travels."""

from __future__ import annotations

import inspect
import json
import math
import re

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import keypoint.config.load
from keypoint.config.load import (
    Config,
    config_from_dict,
    describe_keys,
    dump_config,
    find_config,
    load_config,
    task_of,
)
from keypoint.config.schema import ModelConfig
from keypoint.errors import ConfigError
from keypoint.models import create_model
from keypoint.pose.codec import Codec
from tests.test_imports import loaded_by

# Every key by kind, with values that lie just inside and just outside of what it allows.
INTEGERS = {
    "seed": (0, 2**31 - 1),
    "data.workers": (0, 64),
    "train.epochs": (1, 100_000),
    "train.warmup_steps": (0, 1_000_000),
    "train.batch_size": (1, 4096),
    "train.accumulate": (1, 1024),
    "train.evaluate_every": (1, 1_000_000),
    "train.save_every": (1, 1_000_000),
    "train.ohkm": (1, 1000),
    "train.log_every": (1, 1_000_000),
    "test.batch_size": (1, 4096),
}
NUMBERS = {  # the ends themselves are allowed
    "augment.scale": (0, 0.9),
    "augment.rotation": (0, 90),
    "augment.rotation_probability": (0, 1),
    "augment.flip_probability": (0, 1),
    "augment.half_body_probability": (0, 1),
    "model.heatmap_sigma": (0.1, 50),
    "test.oks_nms_threshold": (0, 1),
    "test.keypoint_threshold": (0, 1),
}
OPEN_NUMBERS = {  # the ends in brackets are not
    "train.lr": (1e-9, 1000, [0]),
    "train.lr_factor": (1e-9, 0.999, [0, 1]),
    "train.ema": (1e-9, 0.9999, [0, 1]),
}
BOOLEANS = ["train.channels_last", "train.compile", "test.flip"]
TEXTS = [
    "data.root",
    "data.train_annotations",
    "data.train_images",
    "data.val_annotations",
    "data.val_images",
    "data.skeleton",
    "test.boxes",
    "output",
]
CHOICES = {
    "model.encoder_stride": [32, 16, 8],
    "data.on_bad": ["error", "skip"],
    "train.optimizer": ["adam", "adamw", "sgd"],
    "train.recipe": ["paper", "sb", "hrnet", "mmpose"],
    "train.amp": [None, "bf16", "fp16"],
    "train.logger": ["tensorboard", "wandb", "mlflow"],
    "test.oks_nms": [None, "hard", "soft"],
    "model.codec": ["heatmap", "udp"],
    "test.decoding": [None, "codec", "quarter", "dark"],
}
NULLABLE = [
    "data.category", "data.train_images", "data.val_images", "test.boxes", "output", "model.heatmap_sigma", "model.blocks",
    "model.weights", "train.ema", "train.save_every", "train.ohkm", "train.keypoint_weights", "train.momentum",
    "train.lr_drops",
]  # fmt: skip
OTHERS = [  # each with a test of its own
    "task",
    "augment.transforms", "data.category", "data.max_bad", "model.input_size", "model.blocks", "model.weights",
    "model.partial_weights", "model.new_head", "model.dilated", "model.network", "model.options", "model.encoder", "train.weight_decay", "train.momentum", "train.lr_drops",
    "train.keypoint_weights", "test.box_score_threshold",
]  # fmt: skip
NO_NUMBER = [True, "0.5", "no_such_value", [], {}, [0.5], math.nan, math.inf, -math.inf, 1e30, -1]


def nested(key, value):
    section, _, name = key.rpartition(".")
    return {section: {name: value}} if section else {name: value}


def get(content, key):
    for part in key.split("."):
        content = content[part]
    return content


def flat(content):
    keys = {}
    for name, value in content.items():
        if name in ("data", "augment", "model", "train", "test"):
            keys |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            keys[name] = value
    return keys


def refusal(content):
    with pytest.raises(ConfigError) as caught:
        config_from_dict(content, "run/last.pt")
    return str(caught.value)


def load_refusal(path, overrides=()):
    """The message with all its mistakes, of which more than two are not in its text."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    head = str(caught.value).splitlines()[0]
    return "\n  ".join([head, *caught.value.faults]) if caught.value.faults else str(caught.value)


# ---------------------------------------------------------------- what is right


def test_the_defaults_are_the_papers_recipe():
    config = Config()
    train, augment, test = config.train, config.augment, config.test
    assert (train.optimizer, train.lr, train.weight_decay) == ("adam", 0.001, 0)
    assert (train.batch_size, train.epochs, train.lr_factor) == (32, 210, 0.1)
    assert train.drops == (170, 200)
    assert (augment.scale, augment.rotation) == (0.3, 40)
    assert (augment.rotation_probability, augment.flip_probability) == (0.6, 0.5)
    assert augment.transforms == ()
    assert (config.model.encoder, config.model.weights) == ("resnet50", "imagenet")
    assert (config.model.input_size, config.model.blocks) == ((256, 192), None)
    assert (test.flip, test.oks_nms, test.oks_nms_threshold) == (True, "hard", 0.9)
    assert (test.keypoint_threshold, test.boxes, test.box_score_threshold) == (0.2, None, 0)


def codec_of(model):
    chosen = config_from_dict({"model": model}, "x").model
    return Codec(chosen.input_size, chosen.codec, chosen.heatmap_sigma)


@pytest.mark.parametrize(
    ("size", "sigma"), [([256, 192], 2.0), ([384, 288], 3.0), ([512, 384], 4.0), ([64, 96], 1.0)]
)
def test_sigma_follows_the_width(size, sigma):
    assert codec_of({"input_size": size}).sigma == sigma
    assert codec_of({"input_size": size, "heatmap_sigma": 2.5}).sigma == 2.5


@pytest.mark.parametrize(
    ("epochs", "drops"),
    [(210, (170, 200)), (420, (340, 400)), (21, (17, 20)), (12, (10, 11)), (3, (2,)), (1, ())],
)
def test_drops_follow_the_epochs(epochs, drops):
    assert config_from_dict({"train": {"epochs": epochs}}, "x").train.drops == drops


@given(st.integers(1, 100_000))
def test_drops_are_always_allowed_drops(epochs):
    drops = config_from_dict({"train": {"epochs": epochs}}, "x").train.drops
    given_too = {"train": {"epochs": epochs, "lr_drops": list(drops)}}
    assert config_from_dict(given_too, "x").train.drops == drops


def test_momentum_is_sgds_own():
    assert config_from_dict({}, "x").train.sgd_momentum is None
    assert config_from_dict({"train": {"optimizer": "sgd"}}, "x").train.sgd_momentum == 0.9
    low = {"train": {"optimizer": "sgd", "momentum": 0}}
    assert config_from_dict(low, "x").train.sgd_momentum == 0


def test_a_config_is_frozen():
    config = Config()
    with pytest.raises(ValidationError):
        config.train.epochs = 3
    with pytest.raises(ValidationError):
        config.seed = 3


FULL = {
    "seed": 7,
    "output": "none",  # a folder of that name, so quoted in YAML
    "data": {"train_images": "on", "root": "1:30", "workers": 0},
    "augment": {"transforms": [{"name": "ColorJitter", "p": 0.5, "hue": [-0.1, 0.1], "x": None}]},
    "model": {
        "blocks": {"deconv1": "srl_fft", "layer3": {"type": "nl", "scale": True, "x": 1e-5}},
        "input_size": [64, 96],
        "weights": "some/file.pt",
    },
    "train": {"lr": 1e-05, "optimizer": "sgd", "momentum": 0.5, "lr_drops": [3, 5], "epochs": 6},
    "test": {"boxes": "é x: y #", "box_score_threshold": 0.1},
}


@pytest.mark.parametrize("content", [{}, FULL], ids=["defaults", "full"])
def test_a_config_travels_as_a_dict_and_as_yaml(content, tmp_path):
    config = config_from_dict(content, "x")
    travelled = config.to_dict()
    # Plain all through: JSON would turn a tuple into a list and refuse an object.
    assert json.loads(json.dumps(travelled)) == travelled
    assert config_from_dict(travelled, "x") == config
    text = dump_config(config)
    assert yaml.safe_load(text) == travelled
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_config(path)
    if config.output is None:  # the one thing that a file adds
        assert loaded.output == "output/config"
        loaded = loaded.model_copy(update={"output": None})
    assert loaded == config
    assert loaded.to_dict() == travelled


def test_config_from_dict_leaves_its_input_alone():
    content = {"data": None, "model": {"blocks": "nl"}}
    config_from_dict(content, "x")
    assert content == {"data": None, "model": {"blocks": "nl"}}


def test_output_comes_from_the_files_name(tmp_path):
    path = tmp_path / "my_run.yaml"
    path.write_text("seed: 1\n")
    assert load_config(path).output == "output/my_run"
    assert load_config(path, ["output=none"]).output == "output/my_run"
    assert load_config(path, ["output=elsewhere"]).output == "elsewhere"
    path.write_text("output: here\n")
    assert load_config(path).output == "here"


def test_a_section_may_be_all_comments(write):
    assert load_config(write("train:\n  # epochs: 3\nseed: 1\n")).train == Config().train


def test_a_config_of_another_task_is_refused_in_words(write):
    assert load_config(write("task: keypoints\n")) == load_config(write("seed: 0\n"))
    assert task_of(write("task: action\n")) == "action"
    assert task_of(write("seed: 0\n")) == task_of(write("- 1\n")) == "keypoints"
    with pytest.raises(ConfigError, match="task: given 'action'; allowed: keypoints"):
        load_config(write("task: action\n"))


# ---------------------------------------------------------------- each key


def test_these_tests_know_every_key():
    known = [*INTEGERS, *NUMBERS, *OPEN_NUMBERS, *BOOLEANS, *TEXTS, *CHOICES, *OTHERS]
    assert sorted(known) == sorted(flat(Config().to_dict()))


@pytest.mark.parametrize("key", INTEGERS)
def test_integers(key):
    low, high = INTEGERS[key]
    for value in (low, high):
        assert get(config_from_dict(nested(key, value), "x").to_dict(), key) == value
    for value in (low - 1, high + 1, -1, 1.0, 1e30, True, "12", [], {}, [1], math.nan, 10**5000):
        message = refusal(nested(key, value))
        none = "none | " if key in NULLABLE else ""
        assert message.startswith(f"run/last.pt: {key}: given ")
        assert f"allowed: {none}{low} <= integer <= {high}" in message


@pytest.mark.parametrize("key", [*NUMBERS, *OPEN_NUMBERS])
def test_numbers(key):
    low, high, outside = OPEN_NUMBERS.get(key) or (*NUMBERS[key], [])
    fine = {"augment": {"rotation": 40.0}}  # probability 0 goes with the default only
    for value in (low, high):
        loaded = get(config_from_dict(fine | nested(key, value), "x").to_dict(), key)
        assert loaded == value
        assert type(loaded) is float
    for value in (*outside, low - 0.01, high + 0.01, *NO_NUMBER):
        message = refusal(nested(key, value))
        assert message.startswith(f"run/last.pt: {key}: given ")
        assert "number" in message


@pytest.mark.parametrize(
    "key", ["train.weight_decay", "train.momentum", "test.box_score_threshold"]
)
def test_numbers_that_need_another_key(key):
    section, _, name = key.partition(".")
    other = {"train": {"optimizer": "sgd"}, "test": {"boxes": "a.json"}}[section]
    for value in (-0.1, 1.1, *NO_NUMBER):
        message = refusal({section: other | {name: value}})
        assert message.startswith(f"run/last.pt: {key}: given ")
        assert "number" in message


@pytest.mark.parametrize("key", BOOLEANS)
def test_booleans(key):
    for value in (True, False):
        assert get(config_from_dict(nested(key, value), "x").to_dict(), key) is value
    for value in (0, 1, "true", "yes", None, [], 0.5):
        assert f"run/last.pt: {key}: given " in refusal(nested(key, value))


@pytest.mark.parametrize("key", TEXTS)
def test_texts(key):
    assert get(config_from_dict(nested(key, "a/b c.json"), "x").to_dict(), key) == "a/b c.json"
    for value in ("", 3, 0.5, True, ["a"], {}, "a\0b", "a\nb"):
        assert f"run/last.pt: {key}: given " in refusal(nested(key, value))


@pytest.mark.parametrize("key", CHOICES)
def test_choices(key):
    choices = CHOICES[key]
    for value in choices:
        assert get(config_from_dict(nested(key, value), "x").to_dict(), key) == value
    for value in ("no_such_value", "", "8", 3, 64, 8.5, True, ["a"], {}, math.nan):
        message = refusal(nested(key, value))
        assert f"run/last.pt: {key}: given " in message
        assert all(str(choice or "none") in message for choice in choices)
    last = choices[-1]
    if isinstance(last, str):
        assert f"did you mean {last}?" in refusal(nested(key, last.upper() + "x"))


def test_dilation_stands_in_for_a_stride():
    for value in (0, 1, "true", None, []):
        assert "run/last.pt: model.dilated: given " in refusal({"model": {"dilated": value}})
    for stride in (16, 8):
        model = {"encoder_stride": stride, "dilated": True}
        assert config_from_dict({"model": model}, "x").model.dilated is True
    shallow = {"encoder": "resnet34", "encoder_stride": 8, "dilated": True}
    assert "use encoder=resnet50 or deeper" in refusal({"model": shallow})


def test_the_model_section_is_the_arguments_of_create_model():
    keywords = inspect.signature(create_model).parameters.keys()
    assert {*ModelConfig.model_fields, "num_keypoints"} == keywords
    content = {
        "encoder": "resnet18", "encoder_stride": 8, "input_size": [64, 96], "codec": "udp", "heatmap_sigma": 1.5,
        "blocks": {"layer3": {"type": "srl_fft", "groups": 2}},
    }  # fmt: skip
    section = config_from_dict({"model": content}, "x").model
    assert section.arguments(5).keys() == keywords - {"weights", "partial_weights", "new_head"}
    model = create_model(**section.arguments(5))
    assert (model.input_size, model.encoder_stride) == ((64, 96), 8)
    assert (model.codec.name, model.codec.sigma) == ("udp", 1.5)
    assert model.block_options == content["blocks"]
    assert model.final_layer.out_channels == 5


def test_a_config_is_read_without_torch():
    assert not loaded_by("import keypoint.config.load") & {"torch", "torchvision"}


def test_sizes_and_sites_follow_the_encoders_stride():
    fine = {"encoder_stride": 8, "input_size": [136, 104], "blocks": {"deconv1": "nl"}}
    assert config_from_dict({"model": fine}, "x").model.input_size == (136, 104)
    for stride in (32, 16):
        message = refusal({"model": fine | {"encoder_stride": stride}})
        assert f"given [136, 104]; height and width must each be a multiple of {stride} " in message
    for stride, site, last in ((8, "deconv2", 1), (8, "deconv3", 1), (16, "deconv3", 2)):
        message = refusal({"model": {"encoder_stride": stride, "blocks": {site: "nl"}}})
        words = f"there is no {site} with model.encoder_stride={stride}; sites are layer1, layer2"
        assert words in message
        assert message.endswith(f"deconv{last}")
    assert "did you mean" not in refusal({"model": {"encoder_stride": 8, "blocks": {"x": "nl"}}})
    # One mistake does not hide another's key nor make one up.
    message = refusal({"model": {"encoder_stride": 7, "input_size": [136, 104], "blocks": "nl"}})
    assert message.count("given") == 1


def test_a_network_is_one_of_ours_or_a_function():
    for value in ("simple_baseline", "hrnet_w32", "hrnet_w48", "my_nets:build", "a.b.c:Net"):
        config = config_from_dict({"model": {"network": value}}, "x")
        assert config.model.network == value
        assert config_from_dict(config.to_dict(), "x") == config
        assert config.model.weights == (None if ":" in value else "imagenet")
    assert "did you mean hrnet_w32?" in refusal({"model": {"network": "hrnet_w23"}})
    for value in ("", "a:b:c", "my nets:build", "my_nets:", ":build", "a..b:c", 3, None, []):
        assert "model.network: given " in refusal({"model": {"network": value}})
    own = {"network": "my_nets:build", "options": {"width": 8, "names": ["a"]}}
    assert config_from_dict({"model": own}, "x").model.options == own["options"]
    for value in (None, 3, [], "x", {"a": math.nan}, {3: 4}):
        assert "model.options" in refusal({"model": own | {"options": value}})
    message = refusal({"model": own | {"weights": "imagenet"}})
    assert "my_nets:build loads its own weights; give none, or a file" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"options": {"a": 1}}, "model.options: given {'a': 1}; they have no effect"),
        ({"network": "hrnet_w32", "encoder": "resnet18"}, "model.encoder: given 'resnet18'; it has no"),
        ({"network": "a:b", "encoder_stride": 8}, "model.encoder_stride: given 8; it has no effect"),
        ({"network": "a:b", "dilated": True}, "model.dilated: given true; it has no effect"),
        ({"encoder": "timm/vit_tiny", "dilated": True}, "it has no effect with model.encoder=timm/vit"),
        ({"encoder": "resnet51"}, "no such encoder; did you mean resnet50?"),
        ({"encoder": "timm/"}, "no such encoder"),
        ({"encoder": True, "dilated": True, "encoder_stride": 8}, "model.encoder: given true; "),
        ({"network": "hrnet_w32", "input_size": [100, 64]}, "each be a multiple of 32 in 32..2048"),
        ({"network": "a:b", "input_size": [30, 64]}, "height and width must each be in 32..2048"),
    ],
)  # fmt: skip
def test_keys_of_another_network_are_refused(content, words):
    assert words in refusal({"model": content})


def test_sites_of_other_networks_are_for_the_network_to_know():
    for content in (
        {"network": "a:b", "input_size": [33, 65], "blocks": {"body.3": "nl"}},
        {"encoder": "timm/vit_tiny", "input_size": [48, 80], "blocks": {"encoder.blocks_3": "nl"}},
        {"network": "hrnet_w32", "blocks": {"stage3": "nl"}},
        {"blocks": {"layer3.5": "nl"}},
    ):
        assert config_from_dict({"model": content}, "x").model.blocks == content["blocks"]


def test_none_is_a_value_where_it_is_one_and_nowhere_else():
    for key in flat(Config().to_dict()):
        allowed = key in NULLABLE or None in CHOICES.get(key, [])
        if allowed:
            assert get(config_from_dict(nested(key, None), "x").to_dict(), key) is None
        else:
            assert f"{key}: given none; " in refusal(nested(key, None))


@pytest.mark.parametrize("value", ["rat", "all", ["rat", "vole"], ["all"]])
def test_categories_are_names(value):
    config = config_from_dict({"data": {"category": value}}, "x")
    assert config.to_dict()["data"]["category"] == value
    assert config_from_dict(config.to_dict(), "x") == config


@pytest.mark.parametrize("value", ["", [], [1], 1, True, {}, ["rat", "rat"], [["rat"]], [None]])
def test_what_names_no_category_is_refused(value):
    message = refusal({"data": {"category": value}})
    assert message.startswith("run/last.pt: data.category: given ")
    assert "categor" in message.partition("; ")[2]


@pytest.mark.parametrize(
    "value",
    [
        [256], [256, 192, 3], [0, 0], [261, 197], [256, 190], [16, 192], [256, 4096], [-32, 64],
        [256.0, 192], [True, 192], ["256", 192], [math.nan, 192], "256x192", 256, [], {},
    ],
)  # fmt: skip
def test_input_size_is_two_multiples_of_32(value):
    message = refusal({"model": {"input_size": value}})
    assert message.startswith("run/last.pt: model.input_size: given ")
    assert "multiple of 32" in message or "two integers" in message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "blocks must be none, a block's name"),
        ({}, "blocks must be none, a block's name"),
        (3, "blocks must be none, a block's name"),
        (["nl"], "blocks must be none, a block's name"),
        ({"decon1": "nl"}, "'decon1' is not a site; did you mean deconv1?"),
        ({"layer5x9": "nl", "deconv1": "nl"}, "'layer5x9' is not a site"),
        ({"deconv1": None}, "deconv1 needs a block's name"),
        ({"deconv1": {"name": "nl"}}, "deconv1 needs a block's name, or {type: name"),
        ({"deconv1": {"type": "nl", "x": math.nan}}, "finite"),
        ({"deconv1": {"type": "nl", "x": np.float64(1)}}, "float64"),
        ({3: "nl"}, "every key in it must be a name"),
    ],
)
def test_blocks_stand_at_sites(value, words):
    message = refusal({"model": {"blocks": value}})
    assert message.startswith("run/last.pt: model.blocks: given ")
    assert words in message


def test_a_block_may_stand_at_every_site():
    sites = ["layer1", "layer2", "layer3", "layer4", "deconv1", "deconv2", "deconv3"]
    blocks = {site: {"type": "nl"} for site in sites}
    assert config_from_dict({"model": {"blocks": blocks}}, "x").model.blocks == blocks


def test_weights_are_none_imagenet_or_a_path():
    for value in (None, "imagenet", "a/b", "./b", "b.pth"):
        assert config_from_dict({"model": {"weights": value}}, "x").model.weights == value
    assert "did you mean imagenet?" in refusal({"model": {"weights": "imagnet"}})
    assert "write ./b " in refusal({"model": {"weights": "b"}})
    for value in (3, True, "", [], {}):
        assert "model.weights: given " in refusal({"model": {"weights": value}})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ColorJitter", "a list"),
        ({"name": "ColorJitter"}, "a list"),
        (["ColorJitter"], "entry 0 has no name"),
        ([{"name": "A"}, {"p": 0.5}], "entry 1 has no name"),
        ([{"name": 3}], "entry 0 has no name"),
        ([{"name": "A", "p": math.inf}], "finite"),
        ([{"name": "A", "p": {1: 2}}], "name"),
    ],
)
def test_transforms_have_names_and_plain_arguments(value, words):
    message = refusal({"augment": {"transforms": value}})
    assert message.startswith("run/last.pt: augment.transforms: given ")
    assert words in message


@pytest.mark.parametrize(
    ("epochs", "drops", "fine"),
    [
        (210, [], True),
        (210, [1, 209], True),
        (210, [170, 210], False),
        (210, [200, 170], False),
        (210, [170, 170], False),
        (210, [0, 170], False),
        (210, [-1], False),
        (1, [170, 200], False),
    ],
)
def test_drops_rise_below_the_last_epoch(epochs, drops, fine):
    content = {"train": {"epochs": epochs, "lr_drops": drops}}
    if fine:
        assert config_from_dict(content, "x").train.drops == tuple(drops)
    else:
        message = refusal(content)
        assert f"train.lr_drops: given {drops}; " in message
        assert f"train.epochs={epochs};" in message


def test_drops_are_a_list_of_integers():
    for value in (170, "170", [170.0], [True], ["170"], {}):
        assert "train.lr_drops: given " in refusal({"train": {"lr_drops": value}})
    assert "inf" not in refusal({"train": {"epochs": "x", "lr_drops": [5, 3]}})


def test_keypoint_weights_are_numbers_by_name():
    given = {"left_ankle": 1.5, "nose": 2}
    loaded = config_from_dict({"train": {"keypoint_weights": given}}, "x").train.keypoint_weights
    assert loaded == given
    assert all(type(weight) is float for weight in loaded.values())
    for value in (3, "nose", ["nose"], {}, True):
        assert "keypoint_weights must be none or {name: number" in refusal(
            {"train": {"keypoint_weights": value}}
        )
    for weight in (0, -1, 101, math.inf, math.nan, True, "1.5", None, [1]):
        message = refusal({"train": {"keypoint_weights": {"nose": 1.5, "left_ankle": weight}}})
        assert message.startswith("run/last.pt: train.keypoint_weights: given ")
        assert "left_ankle needs a number above 0" in message or "finite" in message


# ---------------------------------------------------------------- what would have no effect


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        ({"train": {"weight_decay": 1e-4}}, "train.weight_decay", "use train.optimizer=adamw"),
        ({"train": {"momentum": 0.9}}, "train.momentum", "train.optimizer=adam; only sgd"),
        ({"train": {"optimizer": "adamw", "momentum": 0.9}}, "train.momentum", "=adamw"),
        ({"train": {"lr_drops": [], "lr_factor": 0.5}}, "train.lr_factor", "train.lr_drops=[]"),
        ({"train": {"keypoint_weights": {"nose": 1}}}, "train.keypoint_weights", "weights of 1 have no"),
        ({"test": {"box_score_threshold": 0.1}}, "test.box_score_threshold", "test.boxes=FILE"),
        ({"test": {"oks_nms": None, "oks_nms_threshold": 0.5}}, "test.oks_nms_threshold", "oks_nms=none"),
        ({"data": {"max_bad": 0.1}}, "data.max_bad", "data.on_bad=skip"),
        ({"model": {"partial_weights": True}}, "model.partial_weights", "model.weights=FILE"),
        ({"model": {"weights": "./w", "partial_weights": True}}, "model.partial_weights", "give model.blocks"),
        ({"model": {"new_head": True}}, "model.new_head", "give model.weights=FILE"),
        ({"model": {"dilated": True}}, "model.dilated", "no effect with encoder_stride=32"),
        ({"augment": {"rotation": 0, "rotation_probability": 0.3}}, "augment.rotation_probability", "rotation 0"),
        ({"augment": {"rotation": 30, "rotation_probability": 0}}, "augment.rotation_probability", "rotation 30 has no"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_refused(content, key, words):
    message = refusal(content)
    assert message.startswith(f"run/last.pt: {key}: given ")
    assert words in message


@pytest.mark.parametrize(
    "content",
    [
        {"train": {"optimizer": "adamw", "weight_decay": 1e-4}},
        {"train": {"optimizer": "sgd", "weight_decay": 1e-4, "momentum": 0.8}},
        {"train": {"lr_drops": [5], "lr_factor": 0.5}},
        {"test": {"boxes": "a.json", "box_score_threshold": 0.1}},
        {"data": {"on_bad": "skip", "max_bad": 0.1}},
        {"test": {"oks_nms": "soft", "oks_nms_threshold": 0.5}},
        {"test": {"oks_nms": None}},
        {"augment": {"rotation": 0}},
        {"augment": {"rotation_probability": 0}},
        {"augment": {"rotation": 0, "rotation_probability": 0}},
    ],
)
def test_what_has_an_effect_is_accepted_and_travels(content):
    config = config_from_dict(content, "x")
    assert config_from_dict(config.to_dict(), "x") == config
    for section, keys in content.items():
        for key, value in keys.items():
            expected = tuple(value) if isinstance(value, list) else value
            assert getattr(getattr(config, section), key) == expected


# ---------------------------------------------------------------- messages


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line(write):
    path = write(
        "seed: x\n"
        "train:\n"
        "  lr: 1e-3\n"
        "  epoch: 3\n"
        "  epochs: '12'\n"
        "  optimizer: Adm\n"
        "  momentum: 2\n"
        "  ema: .nan\n"
        "lr: 3\n"
        "test:\n"
        "  flip: yes\n"
        "  flip: true\n"
        "  oks_nms: none\n"
        "  oks_nms_threshold: 0.5\n"
        "zzz_no_such_key: 1\n"
        "data: 3\n"
    )
    head, *lines = load_refusal(path).splitlines()
    assert head == f"{path}: 12 mistakes"
    numbers = [int(re.match(rf"  {re.escape(str(path))}, line (\d+): ", line)[1]) for line in lines]
    assert numbers == [1, 4, 5, 6, 7, 8, 9, 12, 11, 14, 15, 16]  # 12 belongs to the key of 11
    said = "\n".join(lines)
    for expected in (
        "line 1: seed: given 'x'; allowed: 0 <= integer <= 2147483647",
        "line 4: train.epoch: no such key; did you mean epochs?",
        "line 5: train.epochs: given '12'; allowed: 1 <= integer <= 100000",
        "line 6: train.optimizer: given 'Adm'; allowed: adam | adamw | sgd; did you mean adam?",
        "line 7: train.momentum: given 2; allowed: none | 0 <= number < 1",
        "line 8: train.ema: given nan; allowed: none | 0 < number < 1",
        "line 9: lr: no such key; did you mean train.lr?",
        "line 12: test.flip: given twice, first in line 11; keep one",
        "line 11: test.flip: given 'yes'; allowed: true | false",
        "line 14: test.oks_nms_threshold: given 0.5; it has no effect",
        "line 15: zzz_no_such_key: no such key; choose from seed, output, task, data",
        "line 16: data: given 3; it is a section with the keys root, ",
    ):
        assert expected in said


def test_a_long_list_of_mistakes_is_cut_and_counted(write):
    path = write("".join(f"key{index}: 1\n" for index in range(50)))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    head, first, last = str(caught.value).splitlines()
    assert head == f"{path}: 50 mistakes"
    assert first.startswith(f"  {path}, line 1: key0: no such key; ")
    assert last == "  and 49 more; --debug lists all"
    assert [line.split(": ")[1] for line in caught.value.faults] == [f"key{i}" for i in range(50)]


def test_one_mistake_is_one_line_however_long_its_value(write):
    path = write(f"seed: [{'x' * 5000}]\n{'k' * 1000}: 1\n")
    assert max(map(len, load_refusal(path).splitlines())) < 300 + len(str(path))
    assert load_refusal(write("seed: x\n")) == (
        f"{path}, line 1: seed: given 'x'; allowed: 0 <= integer <= 2147483647"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("- 1\n- 2\n", "line 1: given [1, 2]; a config is a mapping"),
        ("lr:0.001\n", "a space after the colon"),
        ("null\n", "given none; a config is a mapping"),
        ("train: {epochs: 3\nseed: 1\n", "line 2: "),
        ("train:\n\tepochs: 3\n", "line 2: "),
        ("seed: &x 1\n", "line 1: anchors"),
        (b"seed: caf\xe9\n", "line 1: byte 0xe9"),
    ],
)
def test_a_file_that_is_no_config_is_named(write, text, words):
    path = write(text)
    message = load_refusal(path)
    assert message.startswith(str(path))
    assert words in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert load_refusal(tmp_path / "absent.yaml") == f"{tmp_path / 'absent.yaml'}: no such file"
    assert str(tmp_path) in load_refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((content, "run/last.pt: given .*") for content in ([], 3, None, "seed: 1")),
        *((content, "run/last.pt: .*: every key must be a text")
          for content in ({3: 1}, {"train": {3: 1}}, {None: 1}, {"train": {None: 1}})),
        ({"a\nb": 1}, r"run/last.pt: 'a\\nb': no such key.*"),
    ],
)  # fmt: skip
def test_a_checkpoints_config_is_a_mapping_of_names(content, words):
    assert re.fullmatch(words, refusal(content))


# ---------------------------------------------------------------- the command line


def test_overrides_are_read_as_yaml_and_win_over_the_file(write):
    path = write("train: {epochs: 5}\nmodel:\n  blocks: srl_fft\n")
    overrides = ["train.epochs=1", "train.lr=1e-4", "model.blocks=none", "seed=3"]
    overrides += ["model.input_size=[64, 96]", "data.root=a=b", "test.oks_nms=null"]
    config = load_config(path, overrides)
    assert (config.train.epochs, config.train.lr, config.seed) == (1, 1e-4, 3)
    assert (config.model.blocks, config.model.input_size) == (None, (64, 96))
    assert (config.data.root, config.test.oks_nms) == ("a=b", None)
    sites = load_config(write("seed: 1\n"), ["model.blocks.deconv1=nl", "model.blocks.layer3=nl"])
    assert sites.model.blocks == {"deconv1": "nl", "layer3": "nl"}
    fixed = load_config(write("train: {epochs: x}\n"), ["train.epochs=2"])
    assert fixed.train.epochs == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs", "an override is key=value"),
        ("train.epochs=", "empty"),
        ("train.epochs=#1", "empty"),
        ("train.epochs='1'", "train.epochs: given '1'; allowed: 1 <= integer"),
        ("train.lrr=1", "train.lrr: no such key; did you mean lr?"),
        ("lr=1", "lr: no such key; did you mean train.lr?"),
        ("TRAIN.LR=1", "TRAIN: no such key; did you mean train?"),
        ("=1", "an override is key=value"),
        ("train.=1", "an override is key=value"),
        ("--train.lr=1", "an override is key=value"),
        ("a\udcff\n=1", "an override is key=value"),  # a byte that is not UTF-8
        ("train.lr.x=1", "train.lr: given {'x': 1}; allowed: 0 < number <= 1000"),
        (
            "train={epochs: 1}",
            "train is a section; give its keys one by one, such as train.optimizer=",
        ),
        ("model.blocks.deconv1=nl", "model.blocks is 'srl_fft' and has no keys"),
        ("model.weights=[", "flow"),
        ("seed=1\n---\n2", "another document"),
        ("seed=*x", "anchors"),
    ],
)
def test_a_bad_override_says_that_it_came_from_the_command_line(write, override, words):
    message = load_refusal(write("model: {blocks: srl_fft}\n"), [override])
    assert message.startswith("command line, ")
    assert words in message


def test_an_override_within_a_value_of_the_file_is_reported_as_such(write):
    path = write("model: {blocks: {deconv1: nl}}\n")
    assert load_refusal(path, ["model.blocks.x=nl"]).startswith("command line, 'model.blocks.x=nl'")
    assert load_refusal(path, ["model.x=nl"]).startswith("command line, 'model.x=nl': model.x: ")


def test_an_override_is_given_once(write):
    message = load_refusal(write("seed: 1\n"), ["seed=2", "train.epochs=1", "seed=3"])
    assert message.count("seed is given twice; keep one") == 1


def test_mistakes_of_the_command_line_alone_do_not_name_the_file(write):
    path = write("seed: 1\n")
    head, *rest = load_refusal(path, ["seed=x", "train.epoch=1"]).splitlines()
    assert head == "command line: 2 mistakes"
    assert len(rest) == 2
    assert str(path) not in "".join(rest)
    path.write_text("seed: x\n")
    head = load_refusal(path, ["train.epoch=1"]).splitlines()[0]
    assert head == f"{path}: 2 mistakes"


def test_mistakes_of_file_and_command_line_are_reported_together(write):
    path = write("seed: x\ntrain: {lr_drops: [170, 200]}\n")
    message = load_refusal(path, ["train.epochs=1", "train.ema=2"])
    assert f"{path}, line 1: seed: " in message
    assert f"{path}, line 2: train.lr_drops: given [170, 200]; " in message
    assert "train.epochs=1; remove lr_drops" in message
    assert "command line, 'train.ema=2': train.ema: given 2" in message


# ---------------------------------------------------------------- any input at all


def outcome(call):
    """A config or a message; any other exception goes through."""
    try:
        return call(), None
    except ConfigError as error:
        return None, str(error)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = sorted(flat(Config().to_dict()))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=4), JUNK)
def test_any_content_is_a_config_or_a_config_error(values, other):
    content = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (content.setdefault(section, {}) if section else content)[name] = value
    for candidate in (content, other):
        config, message = outcome(
            lambda content=candidate: config_from_dict(content, "run/last.pt")
        )
        if config is None:
            assert message.startswith("run/last.pt: ")
        else:
            assert config_from_dict(config.to_dict(), "x") == config


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(KEYS),
    st.text(st.sampled_from(list("ab:-[]{}&*!|'\"#%\\\n .01e,?")), max_size=12),
)
def test_any_override_is_a_config_or_a_config_error(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("seed: 1\n")
    _, message = outcome(lambda: load_config(path, [f"{key}={value}"]))
    assert message is None or message.startswith("command line, ")


# ---------------------------------------------------------------- finding and describing


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "configs" / "coco").mkdir(parents=True)
    for name in ("demo.yaml", "coco/res50_256x192.yaml", "coco/twice.yaml", "twice.yaml"):
        (tmp_path / "configs" / name).write_text("seed: 1\n")
    monkeypatch.setattr(keypoint.config.load, "CONFIG_FOLDER", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "configs"


def test_a_config_is_found_by_path_or_by_name(folder, tmp_path):
    assert find_config("configs/demo.yaml") == folder.relative_to(tmp_path) / "demo.yaml"
    assert find_config(folder / "demo.yaml") == folder / "demo.yaml"
    assert find_config("demo") == find_config("demo.yaml") == folder / "demo.yaml"
    assert find_config("res50_256x192") == folder / "coco" / "res50_256x192.yaml"
    (tmp_path / "demo.yaml").write_text("seed: 2\n")
    assert str(find_config("demo.yaml")) == "demo.yaml"  # a path as given comes first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("res50_256x129", "no such file, and no config of that name"),
        ("res50_256x129", "did you mean res50_256x192?"),
        ("elsewhere/demo.yaml", "elsewhere/demo.yaml: no such file"),
        ("configs", "configs: no such file"),
        ("x" * 300, "too long"),
        ("a\0b", "no such file"),
        ("twice", "2 configs have this name"),
        ("twice", "coco/twice.yaml"),
    ],
)
def test_a_config_that_is_not_found(folder, name, words):
    with pytest.raises(ConfigError) as caught:
        find_config(name)
    assert words in str(caught.value)


def test_the_folder_is_the_repositorys():
    assert (keypoint.config.load.CONFIG_FOLDER / "demo.yaml").is_file()


def test_the_table_has_every_key_with_its_default_range_and_meaning():
    text = describe_keys()
    assert max(map(len, text.splitlines())) <= 100
    heads = text.splitlines()[::2]
    assert [head.split(" = ")[0] for head in heads] == list(flat(Config().to_dict()))
    assert "train.lr = 0.001                        0 < number <= 1000" in heads
    assert "model.blocks = none                     none | name | {deconv1: name, " in text
    assert "train.amp = none                        none | bf16 | fp16" in heads
    assert "data.root = data/coco                   text" in heads
    assert all(line.startswith("    ") and len(line) > 8 for line in text.splitlines()[1::2])
