"""Keypoints of persons on an image, from a file of keypoint export, with onnxruntime.

Used like `Predictor`. Torch is not imported.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keypoint.data.person_crops import Prediction, predict_image
from keypoint.errors import CheckpointError, ConfigError
from keypoint.export.card import ExportCard, card_from_texts
from keypoint.pose.geometry import CropFrame
from keypoint.pose.names import DECODING_WORDS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INSTALL = 'is not installed; pip install "keypoint[export]", or in a clone: -e ".[export]"'


class OnnxPredictor:
    """Finds the keypoints of persons in given boxes.

    Args:
        session: Session of an exported network.
        card: The description in its file.
    """

    def __init__(self, session: InferenceSession, card: ExportCard) -> None:
        self.session = session
        self.card = card
        batch = session.get_inputs()[0].shape[
            0
        ]  # a number if the batch size was fixed, for some hardware
        self.batch_size: int | None = batch if isinstance(batch, int) else None
        self.skeleton = card.skeleton
        self.udp = card.codec == "udp"

    @classmethod
    def from_file(cls, path: str | Path, device: str | None = None) -> OnnxPredictor:
        """Load a predictor from a file of `keypoint export --outputs keypoints`.

        Args:
            path: The file; it contains network, decoding, skeleton, and the flip average if it was
                exported with --flip.
            device: "cpu", "cuda" or "cuda:1"; None for CUDA if onnxruntime has it.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: onnxruntime is not installed, or has no such device.
        """
        session, card = open_onnx(Path(path), device)
        if card.outputs != "keypoints":
            raise CheckpointError(
                f"{path}: gives heatmaps only; export the checkpoint with --outputs keypoints"
            )
        return cls(session, card)

    def __call__(
        self, image_rgb: NDArray[np.uint8], boxes_xywh: ArrayLike | None = None
    ) -> Prediction:
        """Predict the keypoints of persons on one image.

        Args:
            image_rgb: (H, W, 3) uint8 RGB.
            boxes_xywh: (P, 4) person boxes, image frame; None for one person that fills the image.

        Raises:
            DataError: The image or the boxes have another shape or type, or a box is not finite,
                has no area or is completely outside the image.
            NumericsError: A heatmap is not finite.
        """
        return predict_image(self, image_rgb, boxes_xywh)

    def describe(self) -> str:
        """Return the options of the export and onnxruntime's provider, as one line."""
        flip = "averaged with the mirrored crop" if self.card.flip else "without flip average"
        provider = self.session.get_providers()[0]
        decoding = DECODING_WORDS[self.card.decoding]
        return f"{self.card.precision}, {flip}, decoding {decoding}, by onnxruntime's {provider}"

    def crop_frame(self, boxes_xywh: NDArray[np.float64]) -> CropFrame:
        """Cut the crops of boxes (P, 4) as the network expects them."""
        return CropFrame.from_bboxes(boxes_xywh, self.card.input_size, udp=self.udp)

    def predict_crops(
        self, crops: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the keypoints of crops.

        Args:
            crops: (B, H, W, 3) uint8 RGB of the network's input size.

        Returns:
            Keypoints (B, K, 2), crop frame, and scores (B, K).
        """
        points, scores = self._run(["keypoints", "scores"], crops)
        return points, scores

    def predict_with_heatmaps(
        self, crops: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the results of `predict_crops`, and the heatmaps (B, K, H/s, W/s)."""
        points, scores, heatmaps = self._run(["keypoints", "scores", "heatmaps"], crops)
        return points, scores, heatmaps

    def _run(self, names: list[str], crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the outputs of these names; a fixed batch size is filled by padding.

        Raises:
            CheckpointError: onnxruntime cannot run the file.
        """
        count = max(1, len(crops))
        size = self.batch_size or count
        missing = -count % size + count - len(crops)
        padded = crops
        if missing:
            padded = np.concatenate([crops, np.zeros((missing, *crops.shape[1:]), np.uint8)])
        parts = []
        for first in range(0, count, size):
            given = {"crops": as_input(padded[first : first + size], self.card)}
            try:
                parts.append(self.session.run(names, given))
            except Exception as error:  # onnxruntime's exceptions share no class
                raise CheckpointError(
                    f"the exported network does not run on {size} crops ({_reason(error)}); "
                    "predict fewer at a time, or export the checkpoint again"
                ) from None
        return [np.concatenate(part)[: len(crops)] for part in zip(*parts, strict=True)]


def as_input(crops: NDArray[np.uint8], card: ExportCard) -> NDArray[Any]:
    """Convert crops (B, H, W, 3) uint8 RGB to the input of an exported network."""
    if card.input == "uint8":
        return crops
    planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
    return np.divide(planes, 255, dtype=np.float32)


def open_onnx(path: Path, device: str | None = None) -> tuple[InferenceSession, ExportCard]:
    """Open an exported pose network and read the description in its file.

    Args:
        path: File of `keypoint export`.
        device: "cpu", "cuda" or "cuda:1"; None for CUDA if onnxruntime has it.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime is not installed, or has no such device.
    """
    session, texts = open_session(path, device)
    card = card_from_texts(texts, str(path))
    with _as_utf_8(path):
        _check_shapes(session, card, path)
    return session, card


def open_session(
    path: Path, device: str | None = None
) -> tuple[InferenceSession, Mapping[str, str]]:
    """Open an exported network of any task, and return the texts of its description.

    Args:
        path: File of `keypoint export`.
        device: "cpu", "cuda" or "cuda:1"; None for CUDA if onnxruntime has it.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime is not installed, or has no such device.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(f"{path}: onnxruntime {INSTALL}") from None
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the path")
    providers = choose_providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # only errors, which are raised too
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no class
        raise CheckpointError(
            f"{path}: onnxruntime cannot open it ({_reason(error)}); give a file of keypoint export"
        ) from None
    if device and device != "cpu" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise ConfigError(
            f"device={device}: onnxruntime cannot use CUDA here (its libraries or the driver are "
            "missing or do not fit); use cpu"
        )
    with _as_utf_8(path):
        return session, session.get_modelmeta().custom_metadata_map


@contextlib.contextmanager
def _as_utf_8(path: Path) -> Iterator[None]:
    """Report a text of the file that cannot be decoded."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path}: its description is not UTF-8 ({error.reason}); the file is damaged, or "
            "another program changed it: export the checkpoint again"
        ) from None


def _check_shapes(session: InferenceSession, card: ExportCard, path: Path) -> None:
    """Compare the names, types and shapes of input and outputs with the description.

    Raises:
        CheckpointError: They differ.
    """
    values = [*session.get_inputs(), *session.get_outputs()]
    found = {value.name: (value.type, value.shape[1:]) for value in values}
    kinds = dict.fromkeys(card.shapes(), "tensor(float)")
    kinds["crops"] = "tensor(uint8)" if card.input == "uint8" else "tensor(float)"
    wanted = {name: (kinds[name], shape) for name, shape in card.shapes().items()}
    batches = [value.shape[0] for value in values if value.shape]
    fixed = {size for size in batches if isinstance(size, int)}
    if list(found.items()) != list(wanted.items()) or (fixed and fixed != {batches[0] or None}):
        shown = ", ".join(f"{value.name} {value.type} {value.shape}" for value in values)
        meant = ", ".join(
            f"{name} {kind} ['batch', {str(shape)[1:]}" for name, (kind, shape) in wanted.items()
        )
        raise CheckpointError(
            f"{path}: its inputs and outputs are {shown}, but its description says {meant}; export "
            "the checkpoint again"
        )


def _reason(error: Exception) -> str:
    """Return the first line of an error of onnxruntime."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def choose_providers(device: str | None, available: Sequence[str]) -> list[Any]:
    """Return the execution providers for a device, as onnxruntime expects them.

    Raises:
        ConfigError: The device is unknown, or this onnxruntime does not support it.
    """
    has_cuda = "CUDAExecutionProvider" in available
    kind = device or ("cuda" if has_cuda else "cpu")
    if kind == "mps":
        raise ConfigError("--device mps is for checkpoints only, not for onnxruntime; use cpu")
    if not re.fullmatch("cpu|cuda|cuda:[0-9]{1,2}", kind):
        raise ConfigError(f"device={kind!r} is unknown; give cpu, cuda or cuda:NUMBER")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if not has_cuda:
        raise ConfigError(
            f"device={kind}: this onnxruntime has no CUDA (it has {', '.join(available)}); install "
            "onnxruntime-gpu instead, or use cpu"
        )
    number = int(kind.partition(":")[2] or 0)
    return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]
