"""Convolutions in 8 bits by onnxruntime's quantisation, calibrated on crops of persons.

Only `Conv` is quantised, which is most of the work. onnxruntime has no 8-bit kernel for
deconvolutions, and the values in SRL's spectral maps and in decoding span orders of magnitude.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keypoint.export.card import ExportCard
from keypoint.export.onnx_predictor import as_input

if TYPE_CHECKING:
    from onnx import ModelProto


def quantize(proto: ModelProto, card: ExportCard, crops: NDArray[np.uint8]) -> ModelProto:
    """Return the graph with 8-bit convolutions: weights signed by channel, activations unsigned.

    Args:
        proto: The graph in float32.
        card: Description of its input.
        crops: (N, H, W, 3) uint8 RGB, from which the ranges of activations are measured.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Crops(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        """Feeds one crop at a time."""

        def __init__(self) -> None:
            self.left = iter(crops)

        def get_next(self) -> dict[str, Any] | None:
            """Return the next crop as an input of the network; None at the end."""
            crop = next(self.left, None)
            return None if crop is None else {"crops": as_input(crop[None], card)}

    with tempfile.TemporaryDirectory(prefix="keypoint-int8-") as folder:
        whole, prepared, result = (
            Path(folder) / f"{name}.onnx" for name in ("whole", "prepared", "result")
        )
        onnx.save_model(proto, whole)
        # Symbolic shape inference fails on these graphs, and is not needed.
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            Crops(),
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load_model(result)
