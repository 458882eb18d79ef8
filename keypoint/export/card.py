"""What an exported network says of itself: with it the file alone is enough to predict.

Written into the file as text, JSON under each name of `ExportCard`: in ONNX as metadata_props, in
torch.export as one extra file. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from keypoint.errors import CheckpointError, KeypointError
from keypoint.pose.skeleton import Skeleton, skeleton_from_dict

INPUTS = ("uint8", "float32")
OUTPUTS = {"keypoints": ("keypoints", "scores", "heatmaps"), "heatmaps": ("heatmaps",)}
PRECISIONS = ("float32", "fp16", "int8")
CODECS = ("heatmap", "udp")
FORMAT = 1


@dataclass(frozen=True)
class ExportCard:
    """What must be known to use an exported network.

    Attributes:
        version: Of keypoint, that wrote it.
        skeleton: Of the K keypoints.
        input_size: (height, width) of the crops.
        input: One of `INPUTS`; mean, std and colour order of the weights are in the network.
        outputs: A key of `OUTPUTS`.
        codec: "heatmap" or "udp": how crops are cut and lengths measured (codec.py).
        flip: Whether each crop is averaged with its mirrored one.
        precision: One of `PRECISIONS`.
        format: Of this description.
    """

    version: str
    skeleton: Skeleton
    input_size: tuple[int, int]
    input: str
    outputs: str
    codec: str
    flip: bool
    precision: str
    format: int = FORMAT

    def to_texts(self) -> dict[str, str]:
        """A JSON text under each name, as `card_from_texts` reads them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["skeleton"] = self.skeleton.to_dict()
        values["crop"] = (
            "the box grown to the input's aspect ratio about its centre, both sides times 1.25, "
            "bilinear, black outside the image"
        )
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}

    def shapes(self) -> dict[str, list[int]]:
        """Of one crop and of what comes out for it, by name, as they are in the file."""
        (height, width), num_keypoints = self.input_size, self.skeleton.num_keypoints
        outputs = {
            "keypoints": [num_keypoints, 2],
            "scores": [num_keypoints],
            "heatmaps": [num_keypoints, height // 4, width // 4],
        }
        crop = [height, width, 3] if self.input == "uint8" else [3, height, width]
        return {"crops": crop} | {name: outputs[name] for name in OUTPUTS[self.outputs]}

    def describe(self) -> dict[str, str]:
        """What goes in and comes out, by name: shape, type, units."""
        meanings = {
            "crops": "uint8, RGB" if self.input == "uint8" else "float32, RGB, 0 to 1",
            "keypoints": "float32, x and y in pixels of the crop",
            "scores": "float32, about 0 (nothing) to 1 (sure)",
            "heatmaps": "float32",
        }
        return {
            name: f"(B, {', '.join(map(str, shape))}) {meanings[name]}"
            for name, shape in self.shapes().items()
        }


def card_from_texts(texts: Mapping[str, str], source: str) -> ExportCard:
    """The description in a file.

    Raises:
        CheckpointError: There is none, or none that this version reads; names the source.
    """
    names = [field.name for field in fields(ExportCard)]
    missing = [name for name in names if name not in texts]
    if missing:
        raise CheckpointError(
            f"{source}: has no description of keypoint export (lacks {', '.join(missing[:3])}); "
            "export the checkpoint with it"
        )
    try:
        values: dict[str, Any] = {name: json.loads(texts[name]) for name in names}
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}, this version reads {FORMAT}")
        size = values["input_size"]
        if not (isinstance(size, list) and len(size) == 2 and all(_is_side(side) for side in size)):
            raise ValueError(f"input_size {size!r}")
        for name, known in (
            ("input", INPUTS),
            ("outputs", tuple(OUTPUTS)),
            ("codec", CODECS),
            ("precision", PRECISIONS),
            ("version", None),
        ):
            value = values[name]
            if not isinstance(value, str) or (known is not None and value not in known):
                raise ValueError(f"{name} {value!r}")
        if not isinstance(values["flip"], bool):
            raise ValueError(f"flip {values['flip']!r}")
        skeleton = skeleton_from_dict(values["skeleton"], source)
        return ExportCard(**values | {"input_size": tuple(size), "skeleton": skeleton})
    except (KeypointError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{source}: its description cannot be used ({error}); export the checkpoint anew"
        ) from None


def _is_side(side: object) -> bool:
    return type(side) is int and 32 <= side <= 8192 and side % 4 == 0
