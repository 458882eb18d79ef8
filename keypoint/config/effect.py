"""Refuse keys on the command line that have no effect in testing.

A checkpoint's config, or the file of --cfg, describes a training run and has all keys, whether
testing reads them or not. But a user who types ``train.lr=5`` expects an effect.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence

from keypoint.config.fields import RunConfig
from keypoint.errors import ConfigError

TRUTH = "truth"  # a value of --boxes: the annotated boxes

# Keys and sections that testing does not read, with the reason. train.amp is read.
UNREAD = {
    "seed": "testing draws no random numbers",
    "augment": "nothing is augmented",
    "train": "nothing is trained; of train.* only amp is used",
    "data.train_annotations": "nothing is trained",
    "data.train_images": "nothing is trained",
}
UNREAD_WITH_CHECKPOINT = UNREAD | {"data.skeleton": "the checkpoint's skeleton is used"}
UNREAD_WITH_CFG = UNREAD | {
    "model.weights": "the weights are --checkpoint's",
    "model.partial_weights": "the weights are --checkpoint's, and must be complete",
    "model.new_head": "the weights are --checkpoint's, with their head",
}

_SHORT = reprlib.Repr()
_SHORT.maxstring = 60


def check_overrides(
    typed: Sequence[str],
    trained: RunConfig | None,
    given: RunConfig,
    unread: Mapping[str, str] | None = None,
) -> None:
    """Refuse ``key=value`` that testing does not read.

    Args:
        typed: The overrides on the command line.
        trained: The checkpoint's config; the same value there is not a mistake. None with --cfg,
            when the training is unknown.
        given: The config with the overrides.
        unread: Keys and sections that testing does not read, with the reason; None for those of a
            keypoint network.

    Raises:
        ConfigError: The text names each of them with the reason.
    """
    if unread is None:
        unread = UNREAD_WITH_CFG if trained is None else UNREAD_WITH_CHECKPOINT
    theirs, ours = trained.to_dict() if trained else {}, given.to_dict()
    refused = []
    for text in typed:
        section, _, key = text.partition("=")[0].partition(".")
        name = ".".join([section, key.partition(".")[0]]) if key else section
        reason = unread.get(name, unread.get(section))
        if reason is None or name == "train.amp":
            continue
        if trained is None or _value(theirs, name) != _value(ours, name):
            refused.append(f"{_SHORT.repr(text)} ({reason})")
    if refused:
        them = "it" if len(refused) == 1 else "them"
        raise ConfigError(f"no effect in testing: {', '.join(refused)}; remove {them}")


def check_same_network(
    trained: RunConfig, given: RunConfig, otherwise: str = "; for bare weights give --cfg"
) -> None:
    """Refuse overrides of keys that the checkpoint fixes.

    Args:
        trained: The checkpoint's config.
        given: The config with the overrides.
        otherwise: The end of the message, which offers an alternative.

    Raises:
        ConfigError: The text names the keys.
    """
    theirs, ours = trained.to_dict()["model"], given.to_dict()["model"]
    fixed = [key for key in ours if ours[key] != theirs[key] and key != "input_size"]
    if fixed:
        raise ConfigError(
            f"model.{fixed[0]}={ours[fixed[0]]!r} has no effect: the checkpoint contains a network "
            f"with {theirs[fixed[0]]!r}. In testing only model.input_size may be changed"
            f"{otherwise}"
        )


def with_boxes(typed: Sequence[str], boxes: Sequence[str]) -> list[str]:
    """Return the overrides, with the file of --boxes added as ``test.boxes``.

    The score threshold is refused if no boxes have scores.

    Args:
        typed: ``key=value`` as on the command line.
        boxes: The values of --boxes, each "truth" or a file.

    Raises:
        ConfigError: ``test.boxes`` is given as well as --boxes, or a threshold with annotated
            boxes only.
    """
    names = {text.partition("=")[0] for text in typed}
    files = [name for name in boxes if name != TRUTH]
    if boxes and "test.boxes" in names:
        raise ConfigError(
            f"test.boxes has no effect with --boxes {' '.join(boxes)}, which replaces it; give one "
            "of the two"
        )
    if boxes and not files and "test.box_score_threshold" in names:
        raise ConfigError(
            "test.box_score_threshold has no effect with --boxes truth, as annotations have no "
            "scores; leave it out, or give --boxes FILE too"
        )
    # JSON's quotes are valid YAML, so no file name is read as a number or a list.
    return [*typed, *(f"test.boxes={json.dumps(name, ensure_ascii=False)}" for name in files[:1])]


def _value(content: dict[str, object], name: str) -> object:
    section, _, key = name.partition(".")
    inner = content[section]
    return inner[key] if isinstance(inner, dict) else inner
