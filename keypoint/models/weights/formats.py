"""Whose weights a file holds, told by the names in it, and what they are called here.

    format              names                                                    colours
    keypoint            our checkpoint: `model`, `ema`, `config` ..              stored
    simple_baseline     conv1 layer1.. deconv_layers.0 final_layer               BGR
    mmpose 0.x          backbone.conv1 .. keypoint_head.deconv_layers.0 ..       RGB
    mmpose 1.x          backbone.conv1 .. head.deconv_layers.0 ..                RGB
    resnet              conv1 layer1.. fc: encoders of torchvision and timm      RGB

A state dict may be bare, lie in a training checkpoint, and carry the prefixes of wrappers. HRNet's
repository has SimpleBaseline's names for its pose_resnet, and BGR too (COLOR_RGB: false in its
configs). Both normalise the channels as they come with (0.485, 0.456, 0.406), so in BGR the blue
channel gets red's mean. Names do not tell the input size, nor where the stride is (in
SimpleBaseline's caffe-style files in a bottleneck's first convolution, else in the second).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.models.encoder import STAGES
from keypoint.models.weights.safetensors_reader import is_safetensors, read_safetensors
from keypoint.models.weights.tensor_reader import check_file, read_tensors

# By place, as SimpleBaseline, mmpose, torchvision and timm apply them, whatever the colours are.
CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_STD = (0.229, 0.224, 0.225)
OWN_KEYS = ("format", "model", "config", "skeleton", "color_order", "mean", "std")
WRAPPED_IN = ("state_dict", "best_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
CLASSIFIER = ("fc.weight", "fc.bias")  # of an ImageNet file; a pose network has none
ENCODER_PREFIXES = tuple(f"{stage}." for stage in STAGES)
PREPROCESSOR = "data_preprocessor."
NOTE = "keypoint"  # where export writes what the names cannot say, in the state dict's _metadata
# Of the config's model section, what export writes there besides the colours.
TRAINED = ("codec", "heatmap_sigma", "input_size", "encoder_stride", "dilated")

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Weights:
    """A file's weights by our names.

    Attributes:
        format: As in this file's head.
        state: Tensors by our names; what has no name here keeps its own.
        color_order: "rgb" or "bgr", of conv1's input channels.
        mean, std: Of pixel values in [0, 1], in RGB order.
        left_out: Names of the file that no pose network has: classifier, preprocessing.
        trained: What the file says of its network, by the keys of a config's model section.
        keypoints: Their names, if the file has them.
        notes: What was assumed, in sentences.
        content: The whole checkpoint, if it is ours.
    """

    format: str
    state: dict[str, Tensor]
    color_order: str
    mean: Triple
    std: Triple
    left_out: tuple[str, ...] = ()
    trained: Mapping[str, Any] = field(default_factory=dict)
    keypoints: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    content: Mapping[str, Any] | None = None


def read_weights(path: Path, color_order: str | None = None) -> Weights:
    """Read a weights file of any format in this file's head; no code in it is run.

    Args:
        path: A file of torch.save or safetensors; its name does not matter.
        color_order: What conv1 eats, if it is not the format's usual; the channels are then
            normalised by place, as everybody does.

    Raises:
        CheckpointError: Unreadable, or nothing in it is a state dict.
    """
    check_file(path)
    content = read_safetensors(path) if is_safetensors(path) else read_tensors(path)
    return recognise(content, str(path), color_order)


def recognise(content: Any, source: str, color_order: str | None = None) -> Weights:
    """`read_weights` of what was read; `source` is named in errors."""
    if isinstance(content, Mapping) and all(key in content for key in OWN_KEYS):
        return _own(content, source, color_order)
    state, notes = unwrap(content, source)
    metadata = getattr(state, "metadata", None)
    named = {str(name): tensor for name, tensor in state.items()}
    while prefix := _shared_prefix(named):  # torch.compile of DistributedDataParallel, and so on
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}

    kind = _format(named)
    preprocessor = {name: named.pop(name) for name in list(named) if name.startswith(PREPROCESSOR)}
    left_out = [*preprocessor, *(name for name in CLASSIFIER if name in named)]
    named = {_our_name(name, kind): t for name, t in named.items() if name not in CLASSIFIER}

    note = metadata.get(NOTE) if isinstance(metadata, dict) else None
    trained, keypoints = _noted(note, source)
    if note is not None and color_order is None:  # written by our export
        color_order, mean, std = _colors(note, source)
        if note.get("file_color_order") != color_order and "conv1.weight" in named:
            named["conv1.weight"] = named["conv1.weight"].flip(1)
        notes.append("colour order and mean/std as the export from this toolkit noted them")
    else:
        given = color_order is not None
        usual = "bgr" if kind == "simple_baseline" else "rgb"
        color_order = color_order or _order_of(preprocessor, source) or usual
        mean, std = (_triple(values) for values in _normalisation(preprocessor))
        if color_order == "bgr":
            mean, std = mean[::-1], std[::-1]
        why = "as given" if given else f"usual for {kind}; keypoint import-weights --color-order"
        notes.append(f"colour order {color_order.upper()} ({why})")
    if kind == "simple_baseline":
        notes.append("if this is a caffe-style file (stride in the first 1x1), it does not fit")
    return Weights(
        format=kind,
        state=named,
        color_order=color_order,
        mean=mean,
        std=std,
        left_out=tuple(left_out),
        trained=trained,
        keypoints=keypoints,
        notes=tuple(notes),
    )


def _own(content: Mapping[str, Any], source: str, color_order: str | None) -> Weights:
    if color_order is not None and color_order != content["color_order"]:
        raise CheckpointError(
            f"{source}: a checkpoint of this toolkit, which stores its colour order "
            f"({content['color_order']}); leave --color-order out"
        )
    config = content["config"]
    network = config.get("model") if isinstance(config, Mapping) else None
    if not (
        isinstance(network, Mapping)
        and isinstance(network.get("input_size"), list | tuple)
        and isinstance(network.get("blocks"), str | Mapping | None)
    ):
        raise CheckpointError(f"{source}: its config is damaged; use another copy")
    skeleton = content["skeleton"]
    names = skeleton.get("keypoints") if isinstance(skeleton, Mapping) else None
    if not isinstance(names, list | tuple):
        raise CheckpointError(f"{source}: its skeleton is damaged; use another copy")
    averaged = content.get("ema") is not None
    state, _ = unwrap(content["ema"] if averaged else content["model"], source)
    order, mean, std = _colors(content, source)
    return Weights(
        format="keypoint",
        state={str(name): tensor for name, tensor in state.items()},
        color_order=order,
        mean=mean,
        std=std,
        # Checkpoints from before these keys were of what became the defaults.
        trained={"codec": "heatmap", "heatmap_sigma": None, "dilated": False} | dict(network),
        keypoints=tuple(names),
        notes=("the averaged weights (ema)",) if averaged else (),
        content=content,
    )


def _noted(note: Any, source: str) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """What an export from here wrote besides the colours; earlier ones wrote those alone."""
    if not isinstance(note, Mapping):
        return {}, None
    names, size = note.get("keypoints"), note.get("input_size", [])
    if not isinstance(names, list | None) or not isinstance(size, list):
        raise CheckpointError(f"{source}: the note of its export is damaged; use another copy")
    trained = {key: note[key] for key in TRAINED if key in note}
    return trained, None if names is None else tuple(names)


def _colors(stored: Any, source: str) -> tuple[str, Triple, Triple]:
    """Colour order, mean and std as this toolkit stores them."""
    try:
        order, mean, std = stored["color_order"], _triple(stored["mean"]), _triple(stored["std"])
        if order in ("rgb", "bgr") and all(map(math.isfinite, mean)) and min(std) > 0:
            return order, mean, std
    except (KeyError, TypeError, ValueError):
        pass
    raise CheckpointError(f"{source}: its color_order, mean or std is damaged; use another copy")


def unwrap(content: Any, source: str) -> tuple[Mapping[Any, Tensor], list[str]]:
    """The state dict itself, and where it lay."""
    notes = []
    for key in WRAPPED_IN:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            notes.append(f"taken from the file's {key!r}")
            break
    if isinstance(content, Mapping) and any(torch.is_tensor(entry) for entry in content.values()):
        others = [repr(name) for name, entry in content.items() if not torch.is_tensor(entry)]
        if not others:
            return content, notes
        raise CheckpointError(
            f"{source}: {len(others)} entries of its state dict are no tensors: "
            f"{', '.join(others[:4])}; save the state dict alone, of plain tensors (not quantised, "
            "sparse or of 8 bits), and give that"
        )
    found = type(content).__name__
    if isinstance(content, Mapping):
        found = f"a mapping with {[str(key) for key in content][:4]}"
    raise CheckpointError(
        f"{source}: holds no state dict (a mapping from names to tensors), but {found}; "
        "nothing to load"
    )


def _shared_prefix(named: Mapping[str, Tensor]) -> str | None:
    """A wrapper's prefix that all names have."""
    return next((p for p in PREFIXES if all(name.startswith(p) for name in named)), None)


def _format(named: Mapping[str, Tensor]) -> str:
    if any(name.startswith("keypoint_head.") for name in named):
        return "mmpose 0.x"
    if any(name.startswith("backbone.") for name in named):
        return "mmpose 1.x"
    if any(name.startswith(("deconv_layers.", "final_layer.")) for name in named):
        return "simple_baseline"
    return "resnet"


def _our_name(name: str, kind: str) -> str:
    if not kind.startswith("mmpose"):
        return name
    head = "keypoint_head." if kind == "mmpose 0.x" else "head."
    if name.startswith((f"{head}deconv_layers.", f"{head}final_layer.")):
        return name.removeprefix(head)
    return name.removeprefix("backbone.")


def _order_of(preprocessor: Mapping[str, Tensor], source: str) -> str | None:
    """The colour order that mmpose's stored mean implies; ImageNet's red mean is the largest."""
    mean = preprocessor.get(f"{PREPROCESSOR}mean")
    if mean is None:
        return None
    red_first = [255 * value for value in CHANNEL_MEAN]
    for order, expected in (("rgb", red_first), ("bgr", red_first[::-1])):
        if torch.allclose(mean.flatten().double(), torch.tensor(expected).double(), atol=0.01):
            return order
    raise CheckpointError(
        f"{source}: its data_preprocessor.mean is {mean.flatten().tolist()}, neither ImageNet's in "
        "RGB nor in BGR; say which with --color-order"
    )


def _normalisation(preprocessor: Mapping[str, Tensor]) -> tuple[tuple[float, ...], ...]:
    """Mean and std by channel, as stored in 0..255 or else the usual ones."""
    mean, std = (preprocessor.get(f"{PREPROCESSOR}{key}") for key in ("mean", "std"))
    if mean is None or std is None:
        return CHANNEL_MEAN, CHANNEL_STD
    return tuple(
        tuple(value / 255 for value in tensor.flatten().tolist()) for tensor in (mean, std)
    )


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
