"""Whatever a key of an action config holds, the answer is a config or an error that names the key."""

import math
import random

import pytest

from keypoint.action.config import ActionConfig
from keypoint.config.keys import keys
from keypoint.config.load import from_dict_as
from keypoint.errors import ConfigError

VALUES = [
    None, True, False, 0, 1, -1, 2.5, math.nan, math.inf, 10**400, "", "x", "\0", "none", "a" * 5000, "./x",
    [], [1], [1, 2], ["a", "b"], ["a", "a"], [[1, 2], [3]], [256, 320], (48, 48), {}, {"type": "nl"}, {"a": 1},
    {"type": 1}, {1: 2}, "tsn", "random", "dense", "segments", "mfnet", "c2d_tiny", "32x2", "adam", "imagenet",
]  # fmt: skip
TRIALS = 4000


def test_any_value_of_any_key_gives_a_config_or_a_config_error():
    rng, refused = random.Random(0), []
    for _ in range(TRIALS):
        content = {}
        for name in rng.sample(list(keys(ActionConfig)), rng.randint(1, 5)):
            section, _, key = name.rpartition(".")
            place = content.setdefault(section, {}) if section else content
            place[key] = rng.choice(VALUES)
        try:
            assert isinstance(from_dict_as(ActionConfig, content, "x"), ActionConfig)
        except ConfigError as error:
            refused.append(str(error))
    assert TRIALS / 4 < len(refused) < TRIALS
    assert all(text.startswith("x: ") for text in refused)


def test_two_wrong_keys_are_both_named():
    content = {
        "augment": {"crop": "dense", "short_side": [48, 48]},
        "model": {"weights": "a" * 5000},
    }
    with pytest.raises(ConfigError) as refused:
        from_dict_as(ActionConfig, content, "x")
    faults = str(refused.value)
    assert "augment.crop: given 'dense'" in faults
    assert "model.weights: given 'aaa" in faults
    assert "not a path" in faults
