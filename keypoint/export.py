"""A checkpoint's network as one file for use without this toolkit: ONNX and torch's own forms.

What such a file needs besides the network is in its graph (normalisation, the average with the
mirrored crop, decoding) or in its description (export_card.py). Nothing is believed: the file is
read again, run and compared with the network before it gets its name (export_check.py).

Letters: B batch, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keypoint.blocks.transforms import Fourier
from keypoint.codec import Codec
from keypoint.errors import ConfigError, ExportError
from keypoint.export_card import ExportCard
from keypoint.export_check import Comparison, compare, made_up_crops
from keypoint.export_int8 import quantize
from keypoint.models import SimpleBaseline
from keypoint.onnx_predictor import INSTALL

if TYPE_CHECKING:
    from onnx import ModelProto

FORMATS = {".onnx": "ONNX", ".pt2": "torch.export", ".ts": "TorchScript"}
CARD_FILE = "keypoint.json"  # inside the files of torch's two formats
LEAST_CROPS = 8  # to calibrate by a half of them and compare on the other


class ExportedNetwork(nn.Module):
    """Crops to what `card.outputs` names, as tensors in that order.

    Args:
        model: In eval mode.
        card: What goes in and comes out.
    """

    flip_indices: Tensor
    crop_per_heatmap: Tensor

    def __init__(self, model: SimpleBaseline, card: ExportCard) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.in_half = card.precision == "fp16"
        self.register_buffer("flip_indices", torch.tensor(card.skeleton.flip_indices))
        self.register_buffer("crop_per_heatmap", torch.tensor(crop_per_heatmap(model.codec)))

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """(B, H, W, 3) uint8 or (B, 3, H, W) float32, RGB, as the card says."""
        heatmaps = self.run(self.normalize(crops))  # B K H/4 W/4
        if self.card.outputs == "heatmaps":
            return (heatmaps,)
        keypoints, scores = self.model.codec.decode(heatmaps)
        return keypoints * self.crop_per_heatmap, scores, heatmaps

    def normalize(self, crops: Tensor) -> Tensor:
        """What the weights eat, (B, 3, H, W) float32."""
        if self.card.input == "uint8":
            normalized: Tensor = self.model.normalize(crops)
            return normalized
        mean, std = self.model.pixel_mean, self.model.pixel_std
        if self.model.color_order == "bgr":
            crops, mean, std = crops.flip(1), mean.flip(0), std.flip(0)
        return (crops * 255 - mean[:, None, None]) / std[:, None, None]

    def run(self, images: Tensor) -> Tensor:
        """Heatmaps, averaged with those of the mirrored crops if the card says so."""
        if self.in_half:
            images = images.half()
        heatmaps: Tensor = self.model(images).float()
        if not self.card.flip:
            return heatmaps
        # As flip_average.average_flipped, whose loop over pieces would fix the batch.
        mirrored = self.model(images.flip(-1)).float()
        back = mirrored.index_select(1, self.flip_indices).flip(-1)
        if self.model.codec.flip_shift:
            back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
        average: Tensor = (heatmaps + back) / 2
        return average


def crop_per_heatmap(codec: Codec) -> list[float]:
    """Pixels of the crop for one of the heatmap, along x and y."""
    sizes = zip(codec.input_size[::-1], codec.heatmap_size[::-1], strict=True)
    return [(crop - codec.udp) / (heatmap - codec.udp) for crop, heatmap in sizes]


def export_network(
    model: SimpleBaseline,
    card: ExportCard,
    path: Path,
    crops: NDArray[np.uint8] | None = None,
) -> Comparison:
    """Write a network, and see that the file does what the network does.

    Args:
        model: In eval mode, on the CPU; it stays as it is.
        card: What the file is to take, give and say of itself.
        path: Its suffix, a key of `FORMATS`, chooses the form. A file that is there is replaced
            once the new one was found right; otherwise it is left as it is.
        crops: (N, H, W, 3) uint8 RGB of persons, to calibrate int8 by every second one and to
            compare on the others; None for patterns made up, not for fp16 and int8.

    Returns:
        How far file and network are apart.

    Raises:
        ConfigError: A suffix or precision that there is not, or a package is not installed.
        ExportError: The network cannot be exported, naming the block that it fails at, or the
            file's results differ.
        NumericsError: The network's heatmaps are not finite.
    """
    check_choice(card, path, crops)
    calibration = None if crops is None else crops[::2]
    compared = made_up_crops(card.input_size) if crops is None else crops[1::2]
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _quiet():
            if path.suffix == ".onnx":
                _write_onnx(model, card, temporary, calibration)
            else:
                _write_torch(model, card, temporary, path.suffix)
            result = compare(temporary, path.suffix, model, card, compared)
        result.require_agreement(path)
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(
            f"--output {path}: cannot be written ({error.strerror or error}); give the name of a "
            "file in a folder with space and permission"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return result


def check_choice(card: ExportCard, path: Path, crops: object) -> None:
    """See that a form of export is possible at all, before any work.

    Args:
        card: As `export_network` takes it.
        path: The same.
        crops: Anything but None if there are some.

    Raises:
        ConfigError: It is not.
    """
    if path.suffix not in FORMATS:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise ConfigError(f"--output {path}: the suffix chooses the form; give one of {known}")
    if card.precision != "float32" and path.suffix != ".onnx":
        raise ConfigError(
            f"--precision {card.precision} is for ONNX; give --output FILE.onnx, or leave it out"
        )
    if card.precision != "float32" and crops is None:
        raise ConfigError(
            f"--precision {card.precision} needs --persons ANNOTATIONS IMAGES: how far keypoints "
            "move shows on real crops alone"
        )
    if path.suffix == ".onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            try:
                importlib.import_module(name)
            except ImportError:
                raise ConfigError(f"--output {path}: {name} {INSTALL}") from None


def _write_onnx(
    model: SimpleBaseline, card: ExportCard, path: Path, calibration: NDArray[np.uint8] | None
) -> None:
    import onnx

    copied = copy.deepcopy(model)
    for part in copied.modules():
        if isinstance(part, Fourier):  # runs up to 25 times faster there than a DFT
            part.matmul = True
    if card.precision == "fp16":
        mean, std = copied.pixel_mean, copied.pixel_std
        copied.half()
        copied.pixel_mean, copied.pixel_std = mean, std  # of bytes up to 255
    names = list(card.describe())[1:]

    def convert(network: nn.Module, example: Tensor) -> ModelProto:
        program = torch.onnx.export(
            _program(network, example),
            input_names=["crops"],
            output_names=names[:1] if isinstance(network, _Alone) else names,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        proto: ModelProto = program.model_proto
        return proto

    proto = _converted(copied, card, "ONNX", convert)
    if calibration is not None and card.precision == "int8":
        proto = quantize(proto, card, calibration)
    _describe_onnx(proto, card)
    onnx.save_model(proto, path)


def _write_torch(model: SimpleBaseline, card: ExportCard, path: Path, suffix: str) -> None:
    texts = {CARD_FILE: json.dumps(card.to_texts(), ensure_ascii=False)}
    copied = copy.deepcopy(model)
    with path.open("wb") as file:
        if suffix == ".pt2":
            program = _converted(copied, card, FORMATS[suffix], _program)
            for part in program.graph_module.modules():
                if isinstance(part, torch.fx.GraphModule):
                    for node in part.graph.nodes:  # paths of the machine that exports
                        node.meta.pop("stack_trace", None)
            torch.export.save(program, file, extra_files=texts)
        else:
            script = _converted(copied, card, FORMATS[suffix], _script)
            torch.jit.save(script, file, _extra_files=texts)


def _program(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    return torch.export.export(network, (example,), dynamic_shapes=dynamic)


def _script(network: nn.Module, example: Tensor) -> Any:
    return torch.jit.trace(network, (example,), check_trace=False)


def _converted(
    model: SimpleBaseline, card: ExportCard, form: str, convert: Callable[[nn.Module, Tensor], Any]
) -> Any:
    """The whole network converted, or an error that names the block which cannot be."""
    network = ExportedNetwork(model, card).eval().requires_grad_(False)
    height, width = card.input_size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    if card.input == "float32":
        example = torch.zeros(2, 3, height, width)
    try:
        with torch.no_grad():
            return convert(network, example)
    except Exception as error:  # whatever the exporters of torch raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        found = _refused(network, example, convert)
        where = f"the block {found[1]} at {found[0]}" if found else "the network"
        raise ExportError(
            f"{where} cannot be exported as {form} ({reason}); give another form "
            f"({', '.join(FORMATS)}), or a network without it"
        ) from error


class _Alone(nn.Module):
    """A block by itself, to see whether it can be exported."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """As the block's."""
        result: Tensor = self.block(x)
        return result


def _refused(
    network: ExportedNetwork, example: Tensor, convert: Callable[[nn.Module, Tensor], Any]
) -> tuple[str, str] | None:
    """Site and type of the first block that cannot be converted by itself."""
    model = network.model
    maps: dict[nn.Module, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda block, given: maps.setdefault(block, given[0]))
        for block in model.blocks.values()
    ]
    try:
        with torch.no_grad():
            model.float()(network.normalize(example))
    finally:
        for hook in hooks:
            hook.remove()
    for site, block in model.blocks.items():
        try:
            with torch.no_grad():
                convert(_Alone(block), maps[block])
        except Exception:  # the same error again, or another one
            options = model.block_options.get(site, {})
            return site, str(options.get("type", type(block).__name__))
    return None


def _describe_onnx(proto: ModelProto, card: ExportCard) -> None:
    """Give names to people and take out what only the exporter cares for."""
    graph = proto.graph
    for entries in (graph.node, graph.input, graph.output, graph.initializer, graph.value_info):
        for entry in entries:
            del entry.metadata_props[:]  # of each node the source's path on this machine
    del graph.metadata_props[:], proto.metadata_props[:]
    described = card.describe()
    batch = {
        entry.type.tensor_type.shape.dim[0].dim_param for entry in graph.input
    }  # torch calls it s14
    for entry in [*graph.input, *graph.output]:
        entry.doc_string = described[entry.name]
    for entry in [*graph.input, *graph.output, *graph.value_info]:
        for dim in entry.type.tensor_type.shape.dim:
            if dim.dim_param in batch and dim.dim_param:
                dim.dim_param = "batch"
    proto.producer_name, proto.producer_version = "keypoint", card.version
    proto.doc_string = "; ".join(f"{name} {text}" for name, text in described.items())
    for name, text in card.to_texts().items():
        proto.metadata_props.add(key=name, value=text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to their own authors."""
    names: Sequence[str] = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "root")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
