"""The card of a network: what it is, how it was trained, what was measured and how.

`keypoint info` prints it; `keypoint test` writes it with its own evaluation as measured section.
It is derived from the checkpoint when the file is read, so it cannot contradict the weights. Facts
that no other key contains are stored under the key `card`:

    commit      of the code that trained
    data        by split: file, entries, used, images; generated, if one of our generators wrote it
    changes     settings that differed before training was resumed, and until which step
    imported    for imported weights: file, sha256, format, assumed; for named weights also their
                address, published AP and licence

Each evaluation in the history comes with its conditions. No date is stored, so two equal runs write
equal files, and a resumed run writes the same file as an uninterrupted one. Files are named without
their folders, because a card is meant to be published.

Source: Mitchell et al. 2019, Model Cards for Model Reporting (the order of the sections).
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.checkpoint.content import MOST_SMALL, is_bounded
from keypoint.checkpoint.file import read_checkpoint
from keypoint.checkpoint.generated import ONLY_GENERATED, has_seen_only_generated
from keypoint.checkpoint.network_card import network_section
from keypoint.config.fields import RunConfig
from keypoint.config.load import config_from_dict
from keypoint.config.recipe import recipe_card
from keypoint.data.persons import Persons
from keypoint.data.report import DataReport
from keypoint.errors import CheckpointError, ConfigError, printable
from keypoint.files import sha256_of
from keypoint.models.weights.formats import Weights, read_weights
from keypoint.models.weights.report import (
    encoder_of,
    hrnet_of,
    network_of,
    other_architecture,
    sites_of,
)
from keypoint.pose.skeleton import skeleton_from_dict

Rows = dict[str, Any]
Card = dict[str, Rows]

# Training settings that are shown even if they equal the recipe's.
SETTINGS = (
    "optimizer", "lr", "weight_decay", "momentum", "nesterov", "batch_size", "accumulate", "amp",
    "ema",
)  # fmt: skip
ON_TRAINING_IMAGES = (
    "Its evaluations during training used its own training images, so their numbers say nothing "
    "about other images."
)
WIDTH = 100  # of a line of Markdown
# Characters that Markdown or HTML would interpret: links, tags, tables, code; and at the beginning
# of a line, where wrapping can put any word, headings, lists (numbered ones from 1) and rules.
MARKDOWN = re.compile(r"[\\`*\[\]<>|&~]|(?<!\S)(?:(?:\+|#+|-+|=+|_{3,})(?!\S)|0*1(?=[.)](?!\S)))")


def trained_on(commit: str, **splits: Rows) -> Rows:
    """Return the facts that training stores under `card`.

    Args:
        commit: Of the running code.
        splits: Counts of the data of each split, from `count_persons` or its like in another task.
    """
    return {"commit": commit, "data": splits, "changes": []}


def count_persons(persons: Persons) -> Rows:
    """Return the counts of a split's persons, for `trained_on`."""
    return count_entries(persons.report, persons.generated) | {
        "images": len(np.unique(persons.image_index))
    }


def count_entries(report: DataReport, generated: bool) -> Rows:
    """Return the counts of a file's entries, and whether one of our generators wrote them."""
    rows = {"file": Path(report.source).name, "entries": report.total, "used": report.used}
    return rows | ({"generated": True} if generated else {})


def read_card(path: Path) -> Card:
    """Return the card of a checkpoint; for other weights, what they are recognised as.

    Returns:
        Rows by section, in types of JSON.

    Raises:
        CheckpointError: The file contains neither, or is damaged.
        ConfigError: The config or skeleton of the checkpoint is not valid.
    """
    try:
        sections = checkpoint_sections(read_checkpoint(path), str(path))
    except CheckpointError:
        weights = read_weights(path)
        if weights.content is not None:
            raise
        sections = {"weights": weights_section(weights)}
    return card_of_file(path, sections)


def card_of_file(path: Path, sections: Mapping[str, Rows]) -> Card:
    """Return the card of a file with these sections, in types of JSON.

    Raises:
        CheckpointError: The sections are too long to be shown.
    """
    # A network can have as many keypoints as a skeleton may have.
    if not is_bounded({key: sections[key] for key in sections if key != "network"}, MOST_SMALL):
        raise CheckpointError(
            f"{path}: its description is too long or nested too deeply to show; use another copy"
        )
    size, digest = path.stat().st_size, sha256_of(path)
    card: Card = _plain(
        {"file": {"name": path.name, "bytes": size, "sha256": digest}} | dict(sections)
    )
    if path.name == "last.pt":  # kept whatever its numbers, so it was not selected by them
        card.get("measured", {}).pop("selection", None)
    return card


def checkpoint_sections(content: Mapping[str, Any], source: str) -> Card:
    """Return the sections of a card that follow from a checkpoint's content.

    Args:
        content: As `read_checkpoint` returns it.
        source: The file, named in errors.

    Raises:
        ConfigError: Its config or skeleton is not valid.
        CheckpointError: Its network cannot be built.
    """
    config = config_from_dict(content["config"], source=source)
    skeleton = skeleton_from_dict(content["skeleton"], source=source)
    try:
        network = network_section(config, skeleton, content)
    except ConfigError as error:
        raise CheckpointError(f"{source}: its network cannot be built ({error})") from None
    generated = has_seen_only_generated(content)
    imported = (content["versions"] or {}).get("imported")
    return {
        "network": network,
        "training": _import_section(content)
        if imported
        else training_section(content, config, recipe_card(config)),
        **measured_sections(content),
        "use": {
            "limits": (f"{ONLY_GENERATED[0].upper()}{ONLY_GENERATED[1:]}. " if generated else "")
            + (f"{ON_TRAINING_IMAGES} " if _is_tested_on_training_data(content) else "")
            + "It predicts every keypoint, even one that is hidden or outside the image "
            "(check the score). It was not evaluated on images unlike the training images.",
            "licence": ((content["card"] or {}).get("imported") or {}).get("licence")
            or "unknown, not in the file; the toolkit's licence does not cover the weights",
        },
    }


def _is_tested_on_training_data(content: Mapping[str, Any]) -> bool:
    """Return whether the evaluations of the training used the persons that it trained on."""
    data = content["data"] or {}
    tested = any("metrics" in record for record in content["history"] or ())
    return tested and "train" in data and data["train"] == data.get("test")


def scores(metrics: Mapping[str, Any]) -> Rows:
    """Return the numbers of an evaluation as rows; -1, COCO's "not defined", becomes None."""
    numbers = {
        name: None if value == -1 else value
        for name, value in metrics.items()
        if type(value) in (int, float)
    }
    note = "not defined: the annotations contain nothing to compute it from; it is not 0"
    return {"metrics": numbers} | ({"note": note} if None in numbers.values() else {})


def training_section(
    content: Mapping[str, Any], config: RunConfig, recipe: str | None = None
) -> Rows:
    """Return how a network was trained.

    Args:
        content: Of its checkpoint.
        config: Config of any task.
        recipe: Description of the recipe, if the task has recipes.
    """
    stored, fingerprints = content["card"] or {}, content["data"] or {}
    plain = config.to_dict()
    train, weights = plain["train"], plain["model"]["weights"]
    epochs = f"{content['epoch']} of {train['epochs']}"
    if content["batch"]:
        epochs += f", and {content['batch']} batches of the next"
    data = {
        f"{split}_data": {**stored.get("data", {}).get(split, {})}
        | ({"fingerprint": fingerprints[split]} if split in fingerprints else {})
        or "unknown"
        for split in ("train", "test")
    }
    return {
        "run": Path(config.output or "unknown").name,
        "epochs": epochs,
        **({} if recipe is None else {"recipe": recipe}),
        "settings": {key: train[key] for key in SETTINGS if train.get(key) is not None},
        "seed": str(config.seed),
        "processes": content["world_size"],
        "initial_weights": weights and Path(weights).name,
        "weights": "average over the training (ema)" if content["ema"] else "as trained",
        **data,
        "commit": stored.get("commit", "unknown"),
        "versions": content["versions"] or "unknown",
        "changed_at_resume": stored.get("changes") or None,
    }


def _import_section(content: Mapping[str, Any]) -> Rows:
    """Return the origin of weights that were not trained here; older imports noted only a path."""
    versions = dict(content["versions"])
    name = Path(str(versions.pop("imported"))).name
    origin = (content["card"] or {}).get("imported") or {"file": name}
    return {"recipe": "unknown: imported weights", "imported": origin, "imported_by": versions}


def measured_sections(content: Mapping[str, Any], samples: str = "images") -> Card:
    """Return the evaluation of these weights, and that of the best epoch if it differs.

    Args:
        content: Content of a checkpoint.
        samples: Description of the evaluated samples.
    """
    scored = {
        record["epoch"]: record
        for record in content["history"] or ()
        if isinstance(record.get("metrics"), Mapping) and type(record.get("epoch")) is int
    }
    best = scored.get(content["best"]["epoch"]) if content["best"] else None
    mine = None if content["batch"] else scored.get(content["epoch"])
    if mine is None:
        published = ((content["card"] or {}).get("imported") or {}).get("published")
        not_measured = "not measured here, see the published AP" if published else "not measured"
        note = f"{not_measured}; keypoint test measures these weights"
        sections = {"measured": {"note": note}}
    else:
        sections = {"measured": _record(mine)}
    if mine is not None and mine is best and len(scored) > 1:
        chosen = f"the best of at least {len(scored)} evaluations on these same {samples}"
        sections["measured"]["selection"] = chosen
    elif best is not None and best is not mine:
        sections["best_epoch"] = _record(best)
    return sections


def selected_on(card: Card, fingerprint: str) -> str | None:
    """Return how the weights were selected, if that was on these data, which flatters them.

    Args:
        card: Of a checkpoint.
        fingerprint: Of the persons or videos that the weights are tested on.
    """
    data = card.get("training", {}).get("test_data")
    same = isinstance(data, dict) and data.get("fingerprint") == fingerprint
    return card.get("measured", {}).get("selection") if same else None


def _record(record: Mapping[str, Any]) -> Rows:
    unknown = "unknown, so these numbers cannot be compared"
    conditions = record.get("conditions") or unknown
    return {"epoch": record["epoch"], **scores(record["metrics"]), "conditions": conditions}


def weights_section(weights: Weights) -> Rows:
    """Return what a file of other weights is recognised as."""
    state = weights.state
    name, head = hrnet_of(state) or encoder_of(state), state.get("final_layer.weight")
    pose = head is not None and head.ndim == 4
    if network_of(state) and pose:
        kind, next_step = "a pose network", "keypoint import-weights converts it to a checkpoint"
    elif network_of(state):
        kind, next_step = "an encoder", "training can start from it: model.weights=FILE"
    else:
        kind, next_step = other_architecture(state) or "unknown", "not usable here"
    return {
        "content": f"{kind}, not a checkpoint of this toolkit",
        "format": weights.format,
        "encoder": name,
        "blocks": sites_of(state) or None,
        "keypoints": weights.keypoints or (len(state["final_layer.weight"]) if pose else None),
        "color_order": weights.file_color_order or weights.color_order,
        "numbers": sum(tensor.numel() for tensor in state.values()),
        "network": weights.trained or "unknown",
        "assumed": weights.notes or None,
        "next_step": next_step,
    }


def to_markdown(card: Card) -> str:
    """Return the card as text: a heading for each section, a bullet for each row."""
    lines = [f"# Model card: {_text(card['file']['name'])}"]
    for section, rows in card.items():
        lines += ["", f"## {_words(section).capitalize()}", ""]
        for key, value in rows.items():
            lines += _bullets(key, value, "")
    return "\n".join(lines)


def _bullets(key: str, value: Any, indent: str) -> Iterator[str]:
    """Yield a row; a mapping that fills more than two lines has a bullet for each entry."""
    text = _text(value)
    if isinstance(value, Mapping) and len(text) > 2 * WIDTH:
        yield f"{indent}* {_words(key)}:"
        for inner, entry in value.items():
            yield from _bullets(inner, entry, f"{indent}  ")
    else:
        if key == "input_size":
            text = f"{text.replace(', ', ' x ')} (height x width)"
        yield from textwrap.wrap(
            f"{indent}* {_words(key)}: {text}",
            WIDTH,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(key)} {_text(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        texts = [_text(entry) for entry in value]
        return ("; " if any(", " in text for text in texts) else ", ").join(texts)
    return MARKDOWN.sub(r"\\\g<0>", printable(" ".join(str(value).split())))


def _words(key: str) -> str:
    return _text(key.replace("_", " "))


def _plain(value: Any) -> Any:
    """Return a value in types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known else f"({type(value).__name__})"
