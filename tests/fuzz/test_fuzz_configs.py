"""Configs with random faults: refused by name, or dumped and loaded to themselves"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keypoint.config.load import config_from_dict, dump_config, load_config, override_config
from keypoint.errors import ConfigError
from keypoint.strict_yaml import dump_yaml
from tests.fuzz.mutate import DAMAGES, EXTREMES, MUTATIONS, check_message, damage, examples, mutate

SMALL = {
    "output": "output/a",
    "data": {"root": "data/a", "workers": 0, "on_bad": "skip", "max_bad": 0.01},
    "augment": {"rotation": 30.0, "transforms": [{"name": "ColorJitter", "p": 0.5}]},
    "model": {"encoder": "resnet50", "input_size": [256, 192], "blocks": {"deconv1": {"type": "srl_fft"}}},
    "train": {"optimizer": "sgd", "momentum": 0.9, "epochs": 12, "lr_drops": [8, 10], "recipe": "sb"},
    "test": {"boxes": "a.json", "box_score_threshold": 0.1, "oks_nms_threshold": 0.8},
}  # fmt: skip
WHOLE = config_from_dict(SMALL, "test").to_dict()
KEYS = [f"{name}.{key}" for name, keys in WHOLE.items() if isinstance(keys, dict) for key in keys]
TEXTS = [
    "none", "yes", "1e-3", "010", "1:30", "[256, 192]", "[]", "{}", "{a: 1}", "'12'", "-1", ".nan", ".inf", "1e400",
    "0x10", "1_000", "&a [*a]", "!!python/name:os.system", "- 1", "a: b: c", "\t", "\x00", "[" * 50, "9" * 30,
    "9" * 5000, "9" * 5000 + "e9", "é" * 100, "srl_fft", "{deconv1: srl_lo}", "{deconv9: srl_fft}", "0", "1", "2.5",
    "{p: 1}", "[{name: a}]", "\ud800", "\u2028", "", " ", "#", "|", ">", "@", "`", "%a", "? a", "\\", '"\\',
]  # fmt: skip
LINES = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 3), st.integers(0, len(TEXTS) - 1)),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "a.yaml"


def check(file):
    """Refused by name, or the same when written and read again."""
    try:
        config = load_config(file)
    except ConfigError as error:
        check_message(str(error), file)
        return
    again = file.with_name("again.yaml")
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config
    assert config_from_dict(config.to_dict(), "test") == config


def writable(data):
    """YAML as the dumper writes it, where it can (a lone surrogate is no UTF-8)."""
    return dump_yaml(data).encode("utf-8", "surrogatepass")


@given(MUTATIONS, st.booleans())
@examples(100, 50_000)
def test_values(file, mutations, whole):
    data = mutate(WHOLE if whole else SMALL, mutations)
    file.write_bytes(writable(data))
    check(file)


@given(LINES)
@examples(150, 30_000)
def test_lines(file, edits):
    """The text itself: a value in YAML's odd forms, a key misspelt, a line twice or elsewhere."""
    lines = dump_yaml(SMALL).splitlines()
    for place, action, text in edits:
        at = place % len(lines)
        key, _, _ = lines[at].partition(":")
        if action == 0:
            lines[at] = f"{key}: {TEXTS[text]}"
        elif action == 1:
            lines[at] = f"{key[:-1]}: {TEXTS[text]}"
        elif action == 2:
            lines.insert(place * 7 % len(lines), lines[at])
        else:
            lines[at] = f"  {lines[at]}" if place % 2 else TEXTS[text]
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    check(file)


@given(DAMAGES)
@examples(60, 10_000)
def test_damaged_bytes(file, damages):
    file.write_bytes(damage(dump_yaml(SMALL).encode(), damages))
    check(file)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(TEXTS)), min_size=1, max_size=3))
@examples(150, 10_000)
def test_overrides(file, pairs):
    overrides = [f"{key}={text}" for key, text in pairs]
    file.write_bytes(writable(SMALL))
    try:
        config = load_config(file, overrides)
    except ConfigError as error:  # perhaps of a key in the file that no longer fits
        check_message(str(error), "command line", file)
    else:
        assert config_from_dict(config.to_dict(), "test") == config
    try:
        override_config(config_from_dict(WHOLE, "test"), overrides)
    except ConfigError as error:
        check_message(str(error), "command line")


@given(MUTATIONS)
@examples(100, 10_000)
def test_of_a_checkpoint(mutations):
    """The config of a checkpoint, of any type."""
    content = mutate(WHOLE, mutations)
    try:
        config = config_from_dict(content, "a.pt")
    except ConfigError as error:
        check_message(str(error), "a.pt")
    else:
        assert config_from_dict(config.to_dict(), "a.pt") == config


def test_extremes_are_of_every_type():
    assert {type(value) for value in EXTREMES} == {bool, int, float, str, list, dict, type(None)}
