"""The description in an exported network, with which the file alone is enough to predict.

It consists of JSON texts under the names of `ExportCard`, which are also used by a checkpoint's
card: in ONNX in metadata_props, in torch.export in one extra file. Does not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from keypoint.errors import CheckpointError, KeypointError
from keypoint.pose.names import DECODING_WORDS, DECODINGS, STRIDE
from keypoint.pose.skeleton import Skeleton, skeleton_from_dict

INPUTS = ("uint8", "float32")
OUTPUTS = {"keypoints": ("keypoints", "scores", "heatmaps"), "heatmaps": ("heatmaps",)}
PRECISIONS = ("float32", "fp16", "int8")
FORMAT = 1
LATER = ("decoding", "stride")  # missing in the oldest files
CARD_FILE = "keypoint.json"  # the description inside a .pt2 file


@dataclass(frozen=True)
class ExportCard:
    """The facts needed to use an exported network.

    Attributes:
        version: The version of keypoint that wrote the file.
        skeleton: The K keypoints.
        input_size: (height, width) of the crops.
        input: One of `INPUTS`; mean, std and color order of the weights are in the network.
        outputs: A key of `OUTPUTS`.
        codec: "heatmap" or "udp": how crops are cut and lengths measured (codec.py).
        decoding: "quarter", "dark" or None: how peaks of the heatmaps become keypoints (codec.py).
        flip: Whether each crop is averaged with its mirror image.
        precision: One of `PRECISIONS`.
        stride: Crop pixels per heatmap pixel.
        format: The version of this description.
    """

    version: str
    skeleton: Skeleton
    input_size: tuple[int, int]
    input: str
    outputs: str
    codec: str
    decoding: str | None
    flip: bool
    precision: str
    stride: int = STRIDE
    format: int = FORMAT

    def to_texts(self) -> dict[str, str]:
        """Return a JSON text under each name, as `card_from_texts` reads them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["skeleton"] = self.skeleton.to_dict()
        values["crop"] = (
            "the box enlarged about its center to the input's aspect ratio, both sides times 1.25, "
            "bilinear, black outside the image"
        )
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}

    def shapes(self) -> dict[str, list[int]]:
        """Return the shapes of one crop and of its outputs, by their names in the file."""
        (height, width), num_keypoints = self.input_size, self.skeleton.num_keypoints
        outputs = {
            "keypoints": [num_keypoints, 2],
            "scores": [num_keypoints],
            "heatmaps": [num_keypoints, height // self.stride, width // self.stride],
        }
        crop = [height, width, 3] if self.input == "uint8" else [3, height, width]
        return {"crops": crop} | {name: outputs[name] for name in OUTPUTS[self.outputs]}

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return rows of a model card by section, as `keypoint info` shows them."""
        skeleton = self.skeleton
        return {
            "network": {
                "content": f"a network of keypoint export, version {self.version}",
                "precision": self.precision,
                "input_size": list(self.input_size),
                "color_order": "rgb; the network converts crops to the order the weights expect",
                "codec": self.codec,
                "decoding": DECODING_WORDS[self.decoding],
                "flip": self.flip,
                "skeleton": skeleton.name,
                "keypoints": list(skeleton.keypoints),
            },
            "inputs_and_outputs": self.describe(),
        }

    def describe(self) -> dict[str, str]:
        """Return shape, type and units of the input and the outputs, by name."""
        meanings = {
            "crops": "uint8, RGB" if self.input == "uint8" else "float32, RGB, 0 to 1",
            "keypoints": "float32, x and y in pixels of the crop",
            "scores": "float32, about 0 (absent) to 1 (certain)",
            "heatmaps": "float32",
        }
        return {
            name: f"(B, {', '.join(map(str, shape))}) {meanings[name]}"
            for name, shape in self.shapes().items()
        }


def card_from_texts(texts: Mapping[str, str], source: str) -> ExportCard:
    """Return the description in a file.

    Raises:
        CheckpointError: It is missing, or this version cannot read it; names the source.
    """
    if "classes" in texts:
        raise CheckpointError(
            f"{source}: classifies videos and has no keypoints; run it with onnxruntime "
            "(docs/guides/action.md), or keypoint predict with its checkpoint"
        )
    names = [field.name for field in fields(ExportCard)]
    missing = [name for name in names if name not in texts and name not in LATER]
    if missing:
        raise CheckpointError(
            f"{source}: has no description of keypoint export ({', '.join(missing[:3])} missing); "
            "export the checkpoint with it"
        )
    try:
        values: dict[str, Any] = {name: json.loads(texts[name]) for name in names if name in texts}
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}, this version reads {FORMAT}")
        size = values["input_size"]
        if not (isinstance(size, list) and len(size) == 2 and all(_is_side(side) for side in size)):
            raise ValueError(f"input_size {size!r}")
        for name, known in (
            ("input", INPUTS),
            ("outputs", tuple(OUTPUTS)),
            ("codec", tuple(DECODINGS)),
            ("precision", PRECISIONS),
            ("version", None),
        ):
            value = values[name]
            if not isinstance(value, str) or (known is not None and value not in known):
                raise ValueError(f"{name} {value!r}")
        if not isinstance(values["flip"], bool):
            raise ValueError(f"flip {values['flip']!r}")
        known_decodings = DECODINGS[values["codec"]]
        values.setdefault("decoding", known_decodings[0])
        stride = values.get("stride", STRIDE)
        if type(stride) is not int or stride < 1 or any(side % stride for side in size):
            raise ValueError(f"stride {stride!r}")
        if values["decoding"] not in known_decodings:
            raise ValueError(f"decoding {values['decoding']!r} of the codec {values['codec']}")
        skeleton = skeleton_from_dict(values["skeleton"], source)
        return ExportCard(**values | {"input_size": tuple(size), "skeleton": skeleton})
    except (KeypointError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{source}: its description cannot be used ({error}); export the checkpoint again"
        ) from None


def _is_side(side: object) -> bool:
    return type(side) is int and 32 <= side <= 8192
