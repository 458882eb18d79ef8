"""Check the form of each part of a checkpoint, so that a damaged one is refused without a crash.

Checksums find damaged bytes; this finds content that a program or a person wrote incorrectly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from keypoint.errors import CheckpointError

# Needed to resume training; imported weights have none of them.
OF_A_TRAINING = (
    "optimizer", "scaler", "random", "batch", "batch_persons", "step", "loss_sum", "losses",
    "history", "data",
)  # fmt: skip
# Values in a part; shared values count each time, as a small file can expand to billions.
MOST_LEVELS = 12
MOST_SMALL = 10_000  # of what is parsed or shown
MOST_LARGE = 1_000_000  # of the history of a long run, a skeleton, or the state of an optimizer
SMALL = ("versions", "data", "best", "config", "card")
LARGE = ("history", "optimizer", "scaler", "skeleton", "classes")
LETTERS = 100  # this many characters of a text count as one value


def check_content(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a part whose form or size `save_checkpoint` does not write.

    Args:
        path: The file, named in errors.
        content: All keys of a checkpoint.

    Raises:
        CheckpointError: The text names the part and what it should be.
    """
    for key in (*SMALL, *LARGE):
        most = MOST_SMALL if key in SMALL else MOST_LARGE
        if not is_bounded(content[key], most):
            raise CheckpointError(
                f"{path}: its {key!r} is damaged: nested too deeply, or more than {most:,} values; "
                "use another copy"
            )
    for key, (is_right, form) in FORMS.items():
        if not is_right(content[key]):
            given = type(content[key]).__name__
            raise CheckpointError(
                f"{path}: its {key!r} is damaged, a {given} instead of {form}; use another copy"
            )
    for key, of_task in (("skeleton", "keypoints"), ("classes", "action")):
        if (content[key] is None) == (task_of_content(content) == of_task):
            is_there = "missing" if content[key] is None else "there"
            raise CheckpointError(
                f"{path}: its {key!r} is damaged, {is_there} in a network of "
                f"{task_of_content(content)}; use another copy"
            )


def task_of_content(content: Mapping[str, Any]) -> str:
    """Return the task of a checkpoint's config; the first checkpoints name none."""
    return str(content["config"].get("task", "keypoints"))


def is_bounded(value: Any, most: int) -> bool:
    """Return whether a value has few enough levels, entries and letters, and no huge integer."""
    level = [value]
    for _ in range(MOST_LEVELS):
        most -= len(level) + sum(len(text) // LETTERS for text in level if isinstance(text, str))
        huge = any(isinstance(entry, int) and entry.bit_length() > 63 for entry in level)
        if most < 0 or huge:
            return False
        level = list(islice(chain.from_iterable(map(_entries, level)), most + 1))
        if not level:
            return True
    return False


def _entries(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return chain(value, value.values())
    return value if isinstance(value, list | tuple | set) else ()


def check_training(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that training cannot resume from.

    Args:
        path: The file, named in errors.
        content: A content that `check_content` accepts.

    Raises:
        CheckpointError: The file has imported weights, a generator state of another size, or a
            tensor with a number that is not finite.
    """
    missing = [key for key in OF_A_TRAINING if content[key] is None]
    if missing:
        raise CheckpointError(
            f"{path}: contains weights but no training state (no {missing[0]}), so training cannot "
            "resume from it; start over with model.weights set to this file"
        )
    if content["random"]["cpu"].shape != torch.get_rng_state().shape:
        raise CheckpointError(
            f"{path}: its 'random' is damaged, or from another version of torch; resume with the "
            f"version that wrote it ({(content['versions'] or {}).get('torch')})"
        )
    damaged = [name for name, tensor in _tensors(content, "") if not torch.isfinite(tensor).all()]
    if damaged:
        raise CheckpointError(
            f"{path}: {len(damaged)} tensors with nan or inf (not finite), such as {damaged[0]}; "
            "training diverged or the file is damaged: resume from another checkpoint"
        )


def _tensors(value: Any, place: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all tensors with the keys that lead to them."""
    if torch.is_tensor(value):
        yield place[1:], value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _tensors(inner, f"{place}.{number}")


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and torch.is_tensor(tensor) for name, tensor in value.items()
    )


def _is_optimizer(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("state"), Mapping):
        return False
    groups = value.get("param_groups")
    return (
        all(isinstance(state, Mapping) for state in value["state"].values())
        and isinstance(groups, list)
        and all(isinstance(g, Mapping) and isinstance(g.get("params"), list) for g in groups)
    )


def _is_scaler(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_number, value.values()))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))


def _are_names(value: Any) -> bool:
    names = value if isinstance(value, list | tuple) else ()
    return len(names) > 1 and all(isinstance(name, str) and name for name in names)


def _is_bytes(value: Any) -> bool:
    return torch.is_tensor(value) and value.dtype == torch.uint8


def _is_random(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_bytes(value.get("cpu"))
        and (value.get("cuda") is None or _is_bytes(value["cuda"]))
    )


def _is_best(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_count(value.get("epoch"))
        and isinstance(value.get("metrics"), Mapping)
        and len(value["metrics"]) > 0
        and all(map(_is_number, value["metrics"].values()))
    )


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(record, Mapping) for record in value)


def _is_card(value: Any) -> bool:
    """Return whether commit, data by split, changes and origin are right; each may be missing."""
    if not isinstance(value, Mapping):
        return False
    counts, changes = value.get("data", {}), value.get("changes", [])
    return (
        isinstance(value.get("commit", ""), str)
        and isinstance(counts, Mapping)
        and all(isinstance(entry, Mapping) for entry in counts.values())
        and isinstance(changes, list)
        and all(isinstance(entry, str) for entry in changes)
        and isinstance(value.get("imported", {}), Mapping)
    )


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "versions": (_or_none(_is_mapping), "a mapping"),
    "model": (_is_state, "tensors by name"),
    "ema": (_or_none(_is_state), "tensors by name, or none"),
    "optimizer": (_or_none(_is_optimizer), "its state and param_groups"),
    "scaler": (_or_none(_is_scaler), "numbers by name"),
    "epoch": (_is_count, "a whole number"),
    "batch": (_or_none(_is_count), "a whole number"),
    "step": (_or_none(_is_count), "a whole number"),
    "losses": (_or_none(_is_count), "a whole number"),
    "batch_persons": (_or_none(_is_count), "a whole number"),
    "data": (_or_none(_is_mapping), "a mapping"),
    "loss_sum": (_or_none(_is_number), "a finite number"),
    "world_size": (_or_none(_is_count), "a whole number"),
    "random": (_or_none(_is_random), "states of generators"),
    "best": (_or_none(_is_best), "an epoch and its metrics"),
    "history": (_or_none(_is_history), "a list of mappings"),
    "config": (_is_mapping, "a mapping"),
    "skeleton": (_or_none(_is_mapping), "a mapping"),
    "classes": (_or_none(_are_names), "a list of names"),
    "color_order": (lambda value: value in ("rgb", "bgr"), "rgb or bgr"),
    "mean": (_are_numbers, "three finite numbers"),
    "std": (lambda value: _are_numbers(value) and min(value) > 0, "three numbers above 0"),
    "card": (_or_none(_is_card), "commit, data, changes and origin"),
}
