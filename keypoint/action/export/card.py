"""The description in an exported network of action recognition, as JSON texts by name.

It is stored like that of a pose network (keypoint/export/card.py). Letters: B batch, T frames, C
classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from keypoint.errors import CheckpointError
from keypoint.export.card import INPUTS
from keypoint.export.read import read_texts

FORMAT = 1


@dataclass(frozen=True)
class ClipCard:
    """The facts needed to use an exported network.

    Attributes:
        version: The version of keypoint that wrote the file.
        classes: C names, in the order of the outputs.
        frames: T, the frames of a clip.
        input_size: (height, width) of the frames.
        input: "uint8" or "float32"; mean, std and color order of the weights are in the network.
        test: How the checkpoint's test chooses and crops clips, in plain types.
        format: The version of this description.
    """

    version: str
    classes: tuple[str, ...]
    frames: int
    input_size: tuple[int, int]
    input: str
    test: Mapping[str, Any]
    format: int = FORMAT

    def to_texts(self) -> dict[str, str]:
        """Return a JSON text under each name, as `read_clip_export` reads them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}

    def describe(self) -> dict[str, str]:
        """Return shape, type and units of the input and the outputs, by name."""
        height, width = self.input_size
        clips = f"(B, 3, {self.frames}, {height}, {width}) float32, RGB, 0 to 1"
        if self.input == "uint8":
            clips = f"(B, {self.frames}, {height}, {width}, 3) uint8, RGB"
        number = len(self.classes)
        return {
            "clips": clips,
            "scores": f"(B, {number}) float32, probability of each class; their sum is 1",
            "logits": f"(B, {number}) float32, before the softmax",
        }

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return rows of a model card by section, as `keypoint info` shows them."""
        return {
            "network": {
                "content": f"a network of keypoint export, version {self.version}",
                "frames": self.frames,
                "input_size": list(self.input_size),
                "color_order": "rgb; the network converts clips to the order the weights expect",
                "classes": list(self.classes),
            },
            "inputs_and_outputs": self.describe(),
            "test": dict(self.test),
        }


def read_clip_export(path: Path) -> ClipCard:
    """Return the description in a file of `keypoint export`; its suffix is its format.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime, which opens ONNX files, is not installed.
    """
    texts = read_texts(path)
    names = [field.name for field in fields(ClipCard)]
    missing = [name for name in names if name not in texts]
    if missing:
        raise CheckpointError(
            f"{path}: no description of a network for clips ({', '.join(missing[:3])} missing); "
            "export the checkpoint again"
        )
    try:
        values: dict[str, Any] = {name: json.loads(texts[name]) for name in names}
        _check(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its description cannot be used ({error}); export the checkpoint again"
        ) from None
    values["classes"] = tuple(values["classes"])
    values["input_size"] = tuple(values["input_size"])
    return ClipCard(**values)


def _check(values: Mapping[str, Any]) -> None:
    """Raise a ValueError that names a value of another type or shape."""
    classes, size, frames = values["classes"], values["input_size"], values["frames"]
    is_right = {
        "format": values["format"] == FORMAT,
        "version": isinstance(values["version"], str),
        "classes": isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) and name for name in classes),
        "frames": type(frames) is int and frames > 0,
        "input_size": isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and side > 0 for side in size),
        "input": values["input"] in INPUTS,
        "test": isinstance(values["test"], dict),
    }
    wrong = [name for name, right in is_right.items() if not right]
    if wrong:
        raise ValueError(f"{wrong[0]} {str(values[wrong[0]])[:60]!r}")
