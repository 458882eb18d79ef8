"""An override typed to keypoint test has an effect, or is refused with the reason."""

import re

import pytest

from keypoint.action.config import ActionConfig
from keypoint.commands.action.test import UNREAD
from keypoint.config.effect import (
    UNREAD_WITH_CFG,
    UNREAD_WITH_CHECKPOINT,
    check_overrides,
    with_boxes,
)
from keypoint.config.load import config_from_dict, override_as, override_config
from keypoint.errors import ConfigError
from tests.readme.documents import REPOSITORY, all_commands

TRAINED = config_from_dict({"train": {"lr": 0.5}, "augment": {"rotation": 3.0}}, "x")
COMMON = [
    ("seed=5", "testing draws no random numbers"),
    ("augment.rotation=30", "nothing is augmented"),
    ("augment.transforms=[{name: ColorJitter}]", "nothing is augmented"),
    ("train.lr=5", "nothing is trained; of train.* only amp is used"),
    ("train.keypoint_weights.nose=2", "nothing is trained; of train.* only amp is used"),
    ("data.train_annotations=a.json", "nothing is trained"),
    ("data.train_images=images", "nothing is trained"),
]
FREE = ["data.root=/coco", "data.val_images=v", "data.val_annotations=a.json", "data.workers=0"]
FREE += ["data.on_bad=skip", "model.input_size=[64,64]", "test.flip=false", "output=o"]
FREE += ["train.amp=bf16", "test.batch_size=3"]


@pytest.mark.parametrize(
    ("typed", "reason"), [*COMMON, ("data.skeleton=own.yaml", "the checkpoint's skeleton is used")]
)
def test_what_a_checkpoints_test_does_not_read_is_refused(typed, reason):
    given = override_config(TRAINED, [typed])
    with pytest.raises(ConfigError) as caught:
        check_overrides(["test.flip=true", typed], TRAINED, given)
    assert str(caught.value) == f"no effect in testing: {typed!r} ({reason}); remove it"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        *COMMON,
        ("model.weights=none", "the weights are --checkpoint's"),
        ("model.partial_weights=false", "the weights are --checkpoint's, and must be complete"),
    ],
)
def test_with_cfg_the_same_is_refused_when_typed(typed, reason):
    given = override_config(TRAINED, [typed])  # a file may say all this
    check_overrides([], None, given)
    with pytest.raises(ConfigError, match=re.escape(f"{typed!r} ({reason}); remove it")):
        check_overrides([typed], None, given)


def test_what_is_read_passes():
    check_overrides(FREE, TRAINED, override_config(TRAINED, FREE))
    more = [*FREE, "data.skeleton=own.yaml", "model.blocks=nl"]  # with --cfg these are the network
    check_overrides(more, None, override_config(TRAINED, more))


def test_the_checkpoints_own_values_are_no_mistake():
    same = ["train.lr=0.5", "augment.rotation=3", "seed=0", "data.skeleton=coco17"]
    check_overrides(same, TRAINED, override_config(TRAINED, same))
    different = [*same[1:], "train.lr=5", f"data.train_images={'x' * 500}"]
    with pytest.raises(ConfigError) as caught:
        check_overrides(different, TRAINED, override_config(TRAINED, different))
    text = str(caught.value)
    assert text.startswith("no effect in testing: 'train.lr=5' (")
    assert "'data.train_images=xxx" in text
    assert text.endswith("; remove them")
    assert len(text) < 300


def test_keys_named_as_unread_exist():
    content = TRAINED.to_dict()
    for name in UNREAD_WITH_CFG | UNREAD_WITH_CHECKPOINT:
        section, _, key = name.partition(".")
        assert key in content[section] if key else section in content


@pytest.mark.parametrize("boxes", [["a.json"], ["truth", "a.json"], ["a.json", "truth", "b.json"]])
def test_the_threshold_goes_with_a_file_of_boxes(boxes):
    overrides = with_boxes(["test.box_score_threshold=0.3"], boxes)
    test = override_config(TRAINED, overrides).test
    assert (test.boxes, test.box_score_threshold) == ("a.json", 0.3)


@pytest.mark.parametrize("name", ["1", "null", "[a]", "ü: #'\".json", "a b\\c", "~"])
def test_any_name_of_a_file_is_taken_as_it_is(name):
    assert override_config(TRAINED, with_boxes([], [name])).test.boxes == name


def test_without_boxes_nothing_is_added():
    assert with_boxes(["test.boxes=a.json"], []) == ["test.boxes=a.json"]
    assert with_boxes(["test.flip=false"], ["truth"]) == ["test.flip=false"]


@pytest.mark.parametrize(
    ("typed", "boxes", "words"),
    [
        (["test.boxes=F"], ["truth"], "test.boxes has no effect with --boxes truth, which"),
        (["test.boxes=F"], ["F"], "test.boxes has no effect with --boxes F, which replaces it"),
        (["test.boxes=F", "test.box_score_threshold=.3"], ["truth"], "test.boxes has no effect"),
        (["test.box_score_threshold=.3"], ["truth"], "no effect with --boxes truth, as annotations"),
    ],
)  # fmt: skip
def test_boxes_said_twice_or_thresholds_of_none_are_refused(typed, boxes, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        with_boxes(typed, boxes)


def commands():
    """Overrides of every keypoint test in the README and docs/, and the command's own help; by task."""
    found = [c for c in all_commands() if c.text.startswith("keypoint test ")]
    action = [c.text for c in found if "action" in c.page]
    texts = [c.text for c in found if "action" not in c.page]
    for file in ("keypoint/commands/options/test.py", "docs/reference/results.md"):
        text = re.sub(r"\\+\n +", "", (REPOSITORY / file).read_text())
        texts += re.findall(r"(?:keypoint test|tools/test\.py) (--[^\n`#]*)", text)
    return overrides_in(texts), overrides_in(action)


def overrides_in(texts):
    return sorted(
        {tuple(w for w in t.replace('"', "").split() if "=" in w and w[0] != "[") for t in texts}
    )


def test_documented_commands_pass():
    found, of_action = commands()
    assert len(found) > 4
    assert any("data.val_images=test2017" in typed for typed in found)
    for typed in found:
        check_overrides(typed, TRAINED, override_config(TRAINED, typed))
    trained = ActionConfig()
    assert any("test.crops=3" in typed for typed in of_action)
    for typed in of_action:
        check_overrides(typed, trained, override_as(trained, typed), UNREAD)
