"""Export of a checkpoint's network to one file for use without this toolkit: ONNX or torch.export.

The graph contains normalisation, the average with the mirrored crop and decoding; all other facts
are in the description (card.py). The file is written under a temporary name, read again and
compared with the network (check.py), and then renamed.

Letters: B batch, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keypoint.blocks.spectral.transforms import Fourier
from keypoint.errors import ConfigError
from keypoint.export.card import CARD_FILE, ExportCard
from keypoint.export.check import Comparison, compare, made_up_crops
from keypoint.export.int8 import quantize
from keypoint.export.network import ExportedNetwork, convert_network
from keypoint.export.onnx_predictor import INSTALL
from keypoint.models import PoseNetwork
from keypoint.models.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

FORMATS = {".onnx": "ONNX", ".pt2": "torch.export"}
LEAST_CROPS = 8  # one half to calibrate, the other to compare


class Agreement(Protocol):
    """Difference between a file and its network."""

    def require_agreement(self, path: Path) -> None:
        """Raise an ExportError if the difference is too large."""


Compared = TypeVar("Compared", bound=Agreement)
AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def export_network(
    model: PoseNetwork,
    card: ExportCard,
    path: Path,
    crops: NDArray[np.uint8] | None = None,
) -> Comparison:
    """Write a network, and check that the file gives the same results.

    Args:
        model: The network in eval mode, on the CPU; it is not changed.
        card: Inputs and outputs of the file, and its description.
        path: Its suffix, a key of `FORMATS`, chooses the format. An existing file is replaced only
            after the new one passed the check.
        crops: (N, H, W, 3) uint8 RGB of persons: every second one calibrates int8, the others are
            for the comparison; None for generated patterns, which fp16 and int8 do not accept.

    Returns:
        The difference between file and network.

    Raises:
        ConfigError: The suffix or precision is unknown, or a package is not installed.
        ExportError: The network cannot be exported, naming the block that fails, or the file's
            results differ.
        NumericsError: The network's heatmaps are not finite.
    """
    check_choice(card, path, crops)
    calibration = None if crops is None else crops[::2]
    compared = made_up_crops(card.input_size) if crops is None else crops[1::2]

    def write(temporary: Path) -> Comparison:
        if path.suffix == ".onnx":
            _write_onnx(model, card, temporary, calibration)
        else:
            _write_torch_export(model, card, temporary)
        return compare(temporary, path.suffix, model, card, compared)

    return write_checked(path, write)


def write_checked(path: Path, write: Callable[[Path], Compared]) -> Compared:
    """Write a file under a temporary name, check it, and rename it.

    Args:
        path: The final name.
        write: Writes the file under another name and compares it with its network.

    Raises:
        ConfigError: It cannot be written.
        ExportError: Its results differ from the network's.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _quiet():
            result = write(temporary)
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
    """Check that an export is possible, before any work.

    Args:
        card: Inputs and outputs of the file.
        path: The file; its suffix chooses the format.
        crops: Crops of persons, or None.

    Raises:
        ConfigError: It is not possible.
    """
    check_form(path)
    if card.precision != "float32" and path.suffix != ".onnx":
        raise ConfigError(
            f"--precision {card.precision} is for ONNX; give --output FILE.onnx or leave it out"
        )
    if card.precision != "float32" and crops is None:
        raise ConfigError(
            f"--precision {card.precision} needs real crops to measure how far keypoints move; "
            "give --annotations FILE --images DIR"
        )


def check_form(path: Path) -> None:
    """Check that a file's suffix is known, and that the packages for it are installed.

    Raises:
        ConfigError: It is not, or they are not.
    """
    if path.suffix not in FORMATS:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise ConfigError(f"--output {path}: the suffix chooses the format; give one of {known}")
    if path.suffix == ".onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            try:
                importlib.import_module(name)
            except ImportError:
                raise ConfigError(f"--output {path}: {name} {INSTALL}") from None


def _write_onnx(
    model: PoseNetwork, card: ExportCard, path: Path, calibration: NDArray[np.uint8] | None
) -> None:
    copied = with_matrix_products(model)
    if card.precision == "fp16":
        mean, std = copied.pixel_mean, copied.pixel_std
        copied.half()
        copied.pixel_mean, copied.pixel_std = mean, std  # of bytes up to 255
    names = list(card.describe())[1:]

    def convert(network: nn.Module, example: Tensor) -> ModelProto:
        outputs = names if isinstance(network, ExportedNetwork) else None
        return onnx_of(network, example, "crops", outputs)

    proto = convert_network(copied, card, "ONNX", convert)
    if calibration is not None and card.precision == "int8":
        proto = quantize(proto, card, calibration)
    describe_onnx(proto, card.version, card.describe(), card.to_texts())
    save_onnx(proto, path)


def _write_torch_export(model: PoseNetwork, card: ExportCard, path: Path) -> None:
    program = convert_network(copy.deepcopy(model), card, "torch.export", program_of)
    save_program(program, path, card.to_texts())


def with_matrix_products(model: AnyNetwork) -> AnyNetwork:
    """Return a copy with Fourier transforms as matrix products, up to 25 times faster in ONNX."""
    copied = copy.deepcopy(model)
    for part in copied.modules():
        if isinstance(part, Fourier):
            part.matmul = True
    return copied


def onnx_of(
    network: nn.Module, example: Tensor, input_name: str, output_names: Sequence[str] | None
) -> ModelProto:
    """Return a network as an ONNX graph with any batch size."""
    program = torch.onnx.export(
        program_of(network, example),
        input_names=[input_name],
        output_names=output_names,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    proto: ModelProto = program.model_proto
    return proto


def save_onnx(proto: ModelProto, path: Path) -> None:
    """Write a graph."""
    import onnx

    onnx.save_model(proto, path)


def save_program(
    program: torch.export.ExportedProgram, path: Path, texts: Mapping[str, str]
) -> None:
    """Write a program of torch.export with a description as an extra file."""
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:  # paths of the machine that exports
                node.meta.pop("stack_trace", None)
    text = json.dumps(texts, ensure_ascii=False)
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files={CARD_FILE: text})


def program_of(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Return a network as a program of torch.export with any batch size."""
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    return torch.export.export(network, (example,), dynamic_shapes=dynamic)


def describe_onnx(
    proto: ModelProto, version: str, described: Mapping[str, str], texts: Mapping[str, str]
) -> None:
    """Write a description into the graph, and remove the exporter's notes.

    Args:
        proto: The graph, changed in place.
        version: Version of this toolkit.
        described: Descriptions of inputs and outputs, by name.
        texts: Texts of the metadata, by name.
    """
    graph = proto.graph
    for entries in (graph.node, graph.input, graph.output, graph.initializer, graph.value_info):
        for entry in entries:
            del entry.metadata_props[:]  # paths of source files on this machine
    del graph.metadata_props[:], proto.metadata_props[:]
    batch = {
        entry.type.tensor_type.shape.dim[0].dim_param for entry in graph.input
    }  # torch calls it s14
    for entry in [*graph.input, *graph.output]:
        entry.doc_string = described[entry.name]
    for entry in [*graph.input, *graph.output, *graph.value_info]:
        for dim in entry.type.tensor_type.shape.dim:
            if dim.dim_param in batch and dim.dim_param:
                dim.dim_param = "batch"
    proto.producer_name, proto.producer_version = "keypoint", version
    proto.doc_string = "; ".join(f"{name} {text}" for name, text in described.items())
    for name, text in texts.items():
        proto.metadata_props.add(key=name, value=text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings that are meant for the exporters' developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
