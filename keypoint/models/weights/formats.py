"""Recognise the format of a weights file by the names in it, and rename the tensors to ours.

    format              names                                                    colours
    keypoint            our checkpoint: `model`, `ema`, `config` ..              stored
    simple_baseline     conv1 layer1.. deconv_layers.0 final_layer               BGR
    hrnet               conv1 layer1 stage2.. final_layer: HRNet's repository    RGB
    mmpose 0.x          backbone.conv1 .. keypoint_head.final_layer ..           RGB
    mmpose 1.x          backbone.conv1 .. head.final_layer ..                    RGB
    resnet              conv1 layer1.. fc: encoders of torchvision and timm      RGB
    hrnet classifier    conv1 layer1 stage2.. incre_modules classifier           RGB
    mfnet               conv1.conv conv2.B01.. classifier: MFNet-3D's authors    RGB

A state dict may be bare or inside a training checkpoint, and names may have the prefixes of
wrappers. HRNet's repository uses SimpleBaseline's names for its pose_resnet, and also BGR
(COLOR_RGB: false in its configs; true in those of pose_hrnet). Both normalise the channels in file
order with (0.485, 0.456, 0.406), so in BGR the blue channel gets red's mean. Names show neither the
input size nor which convolution has the stride (in SimpleBaseline's caffe-style files a
bottleneck's first one, otherwise the second). MFNet has its own mean and std:
(RGB - (124, 117, 104)) * 0.0167.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.files import sha256_of
from keypoint.models.weights.by_name import Published, find_by_file
from keypoint.models.weights.read import file_form, read_tensors
from keypoint.pose.skeleton import load_skeleton

# By channel index, as SimpleBaseline, mmpose, torchvision and timm apply them to any color order.
CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_STD = (0.229, 0.224, 0.225)
MFNET_MEAN = (124 / 255, 117 / 255, 104 / 255)
MFNET_STD = (1 / (0.0167 * 255),) * 3
OWN_KEYS = ("format", "model", "config", "skeleton", "color_order", "mean", "std")
WRAPPED_IN = ("state_dict", "best_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
# First parts of the names in an ImageNet file that a pose network does not have; for HRNet these
# are the head, with a final_layer of its own, and all sums of the last module but the first.
CLASSIFIER = ("fc.weight", "fc.bias")
HRNET_CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.") + tuple(
    f"stage4.2.fuse_layers.{row}." for row in (1, 2, 3)
)
PREPROCESSOR = "data_preprocessor."
ORDERS = ("rgb", "bgr")
NOTE = "keypoint"  # key in the state dict's _metadata where export writes further facts
# Of the config's model section, what export writes there as well as the colours (of HRNet without
# the last two).
TRAINED = ("codec", "heatmap_sigma", "input_size", "encoder_stride", "dilated")

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Weights:
    """Weights of a file, by our names.

    Attributes:
        format: One of the first column above.
        state: Tensors by our names; a tensor without one keeps its own.
        color_order: "rgb" or "bgr", of conv1's input channels.
        decoding: Decoding of its measured AP, as test.decoding of a config, if known.
        file_color_order: The order in the file, if the channels were swapped when it was read.
        mean, std: Of pixel values in [0, 1], in RGB order.
        left_out: Names in the file that none of our networks has: classifier, preprocessing.
        trained: Settings of its network in the file, by the keys of a config's model section.
        keypoints: Their names, if the file has them.
        notes: Assumptions, as sentences.
        content: The whole checkpoint, if it is ours.
        published: The row of the table, if these are named weights.
        classes: Names of the classes in a checkpoint of action recognition.
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
    decoding: Any = "codec"
    file_color_order: str | None = None
    published: Published | None = None
    classes: tuple[str, ...] | None = None


def read_weights(path: Path, color_order: str | None = None, *, own_names: bool = False) -> Weights:
    """Read a weights file of any format above; no code in it is run.

    Args:
        path: A file of torch.save or safetensors; its name does not matter.
        color_order: The order that conv1 expects, if it is not the format's usual one; the
            channels are then normalised by index, as all these toolkits do.
        own_names: Keep the file's names, for a user's own network.

    Raises:
        CheckpointError: The file is unreadable or contains no state dict, or it has the name of a
            published file (by_name.py) but another hash.
    """
    published = find_by_file(path.name)
    if published is None:
        return recognise(read_tensors(path), str(path), color_order, own_names=own_names)
    _check_hash(path, published)
    content, order = read_tensors(path), color_order or "rgb"
    return replace(
        recognise(content, str(path), order, own_names=own_names),
        trained=published.model_section(),
        keypoints=load_skeleton(published.skeleton).keypoints,
        decoding=published.decoding,
        notes=(f"{published.name}: network, codec and colours as its publisher documents them",),
        published=published,
    )


def _check_hash(path: Path, published: Published) -> None:
    file_form(path)  # raises if there is no file
    found = sha256_of(path)[: len(published.sha256)]
    if found != published.sha256:
        raise CheckpointError(
            f"{path}: its SHA-256 begins with {found}, but that of the published file with "
            f"{published.sha256}; use another copy, or rename it if it is your own file"
        )


def recognise(
    content: Any, source: str, color_order: str | None = None, *, own_names: bool = False
) -> Weights:
    """Recognise the content of a file, which `source` names in errors; see `read_weights`."""
    if isinstance(content, Mapping) and all(key in content for key in OWN_KEYS):
        return _own(content, source, color_order)
    state, notes = unwrap(content, source)
    named = {str(name): tensor for name, tensor in state.items()}
    while prefix := _shared_prefix(named):  # torch.compile of DistributedDataParallel, and so on
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}

    kind = "state dict" if own_names else _format(named)
    preprocessor = {name: named.pop(name) for name in list(named) if name.startswith(PREPROCESSOR)}
    unused = HRNET_CLASSIFIER if kind == "hrnet classifier" else CLASSIFIER
    others = (
        ()
        if own_names
        else tuple(name for start in unused for name in named if name.startswith(start))
    )
    left_out = [*preprocessor, *others]
    named = {_our_name(name, kind): t for name, t in named.items() if name not in others}

    in_file = None
    note, trained, keypoints = _note_of_export(state, source)
    if note is not None and color_order is None:
        colors = _colors(note, source)
        if note.get("file_color_order") != colors[0] and "conv1.weight" in named:
            named["conv1.weight"] = named["conv1.weight"].flip(1)
            in_file = ORDERS[colors[0] == "rgb"]
        notes.append("colour order and mean/std from the note of this toolkit's export")
    else:
        colors = _colors_of_others(kind, preprocessor, source, color_order)
        usual = f"usual for {kind}; keypoint import-weights --color-order"
        notes.append(f"colour order {colors[0].upper()} ({'as given' if color_order else usual})")
    if kind == "simple_baseline":
        notes.append("if this is a caffe-style file (stride in the first 1x1), it does not fit")
    return Weights(
        kind,
        named,
        *colors,
        tuple(left_out),
        trained,
        keypoints,
        notes=tuple(notes),
        decoding=(note or {}).get("decoding", "codec"),
        file_color_order=in_file,
    )


def _own(content: Mapping[str, Any], source: str, color_order: str | None) -> Weights:
    if color_order is not None and color_order != content["color_order"]:
        raise CheckpointError(
            f"{source}: a checkpoint of this toolkit, which stores its colour order "
            f"({content['color_order']}); remove --color-order"
        )
    config, skeleton, classes = content["config"], content["skeleton"], content.get("classes")
    network = config.get("model") if isinstance(config, Mapping) else None
    if not (
        isinstance(network, Mapping)
        and isinstance(network.get("input_size"), list | tuple)
        and isinstance(network.get("blocks"), str | Mapping | None)
    ):
        raise CheckpointError(f"{source}: its config is damaged; use another copy")
    names = skeleton.get("keypoints") if isinstance(skeleton, Mapping) else None
    if skeleton is None and isinstance(classes, list | tuple):
        names = ()  # a network of action recognition
    elif not isinstance(names, list | tuple):
        raise CheckpointError(f"{source}: its skeleton is damaged; use another copy")
    else:
        classes = None
    averaged = content.get("ema") is not None
    state, _ = unwrap(content["ema"] if averaged else content["model"], source)
    return Weights(
        "keypoint",
        {str(name): tensor for name, tensor in state.items()},
        *_colors(content, source),
        # Checkpoints older than these keys have what are now the defaults.
        trained={"codec": "heatmap", "heatmap_sigma": None, "dilated": False} | dict(network),
        keypoints=None if skeleton is None else tuple(names),
        classes=None if classes is None else tuple(classes),
        notes=("the averaged weights (ema)",) if averaged else (),
        content=content,
    )


def unwrap(content: Any, source: str) -> tuple[Mapping[Any, Tensor], list[str]]:
    """Return the state dict in the content of a file, and a note of the key it was under.

    Raises:
        CheckpointError: There is none, or it contains something other than tensors.
    """
    notes = []
    for key in WRAPPED_IN:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            notes.append(f"taken from the file's {key!r}")
            break
    if isinstance(content, Mapping) and any(torch.is_tensor(entry) for entry in content.values()):
        others = [name for name, entry in content.items() if not torch.is_tensor(entry)]
        if not others:
            return content, notes
        raise CheckpointError(
            f"{source}: {len(others)} entries of its state dict are not tensors: "
            f"{', '.join(map(reprlib.repr, others[:4]))}; save only the state dict, with plain "
            "tensors (not quantised, sparse or of 8 bits), and give that"
        )
    found = type(content).__name__
    if isinstance(content, Mapping):
        found = f"a mapping with {reprlib.repr(list(islice(content, 4)))}"
    raise CheckpointError(
        f"{source}: contains no state dict (a mapping from names to tensors), but {found}; "
        "nothing to load"
    )


def _note_of_export(
    state: Mapping[Any, Tensor], source: str
) -> tuple[Mapping[str, Any] | None, dict[str, Any], tuple[str, ...] | None]:
    """Return the network's settings and keypoints that our export wrote in the metadata."""
    metadata = getattr(state, "_metadata", None)
    note = metadata.get(NOTE) if isinstance(metadata, Mapping) else None
    if not isinstance(note, Mapping):
        return None, {}, None
    names, size = note.get("keypoints"), note.get("input_size", [])  # early exports have neither
    if not isinstance(names, list | None) or not isinstance(size, list):
        raise CheckpointError(f"{source}: the note of its export is damaged; use another copy")
    trained = {key: note[key] for key in TRAINED if key in note}
    return note, trained, None if names is None else tuple(names)


def _colors(stored: Mapping[str, Any], source: str) -> tuple[str, Triple, Triple]:
    """Return colour order, mean and std as this toolkit stores them."""
    try:
        order, mean, std = stored["color_order"], _triple(stored["mean"]), _triple(stored["std"])
        if order in ORDERS and min(std) > 0:
            return order, mean, std
    except (KeyError, TypeError, ValueError):
        pass
    raise CheckpointError(f"{source}: its color_order, mean or std is damaged; use another copy")


def _colors_of_others(
    kind: str, preprocessor: Mapping[str, Tensor], source: str, given: str | None
) -> tuple[str, Triple, Triple]:
    """Return colour order, mean and std: as given, as mmpose stored them, or the usual ones.

    mmpose stores them in 0..255, by channel index; ImageNet's red mean is the largest.
    """
    keys = [f"{PREPROCESSOR}mean", f"{PREPROCESSOR}std"]
    mean, std, order = CHANNEL_MEAN, CHANNEL_STD, given
    if kind == "mfnet":
        mean, std = MFNET_MEAN, MFNET_STD
    if all(key in preprocessor for key in keys):
        try:
            mean, std = (_triple(preprocessor[key].flatten() / 255) for key in keys)
            if min(std) <= 0:
                raise ValueError
        except (TypeError, ValueError):
            raise CheckpointError(
                f"{source}: its data_preprocessor is damaged; use another copy"
            ) from None
        if order is None:
            order = next((o for o in ORDERS if _is_close(mean, _by(o, CHANNEL_MEAN))), None)
        if order is None:
            stored = preprocessor[keys[0]].flatten().tolist()
            raise CheckpointError(
                f"{source}: its data_preprocessor.mean is {stored}, neither ImageNet's in RGB "
                "nor in BGR; give --color-order"
            )
    order = order or ("bgr" if kind == "simple_baseline" else "rgb")
    return order, _by(order, mean), _by(order, std)


def _by(order: str, values: Triple) -> Triple:
    """Turn values in RGB order to a colour order, or back."""
    return values if order == "rgb" else (values[2], values[1], values[0])


def _is_close(mean: Triple, other: Triple) -> bool:
    return all(abs(one - two) < 0.01 / 255 for one, two in zip(mean, other, strict=True))


def _shared_prefix(named: Mapping[str, Tensor]) -> str | None:
    """Return a wrapper's prefix that all names have."""
    return next((p for p in PREFIXES if all(name.startswith(p) for name in named)), None)


def _format(named: Mapping[str, Tensor]) -> str:
    if any(name.startswith("keypoint_head.") for name in named):
        return "mmpose 0.x"
    if any(name.startswith("backbone.") for name in named):
        return "mmpose 1.x"
    if any(name.startswith("stage2.") for name in named):
        return "hrnet classifier" if "classifier.weight" in named else "hrnet"
    if "conv2.B01.conv_i1.conv.weight" in named:
        return "mfnet"
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


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("not finite")
    return red, green, blue
