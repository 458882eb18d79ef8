"""Write a network that classifies clips as ONNX or torch.export, and compare the file with it.

The file includes normalisation and softmax. It is written under a temporary name, read again, run
on clips of noise with two batch sizes, and renamed if its logits agree. Probabilities near 0 and 1
would hide a difference. Letters: B batch, T frames, H W their size, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keypoint.action.export.card import ClipCard
from keypoint.action.networks.network import ActionNetwork
from keypoint.errors import CheckpointError, ExportError, NumericsError
from keypoint.export.check import run_file
from keypoint.export.network import Exported, convert_or_name
from keypoint.export.onnx_predictor import open_session
from keypoint.export.write import (
    check_form,
    describe_onnx,
    onnx_of,
    program_of,
    save_onnx,
    save_program,
    with_matrix_products,
    write_checked,
)

TOLERANCE = 1e-4  # of the largest logit; measured are 1e-6 to 1e-5
BATCHES = (1, 3)
OUTPUTS = ["scores", "logits"]


class ExportedClassifier(Exported):
    """Maps clips to scores and logits.

    Args:
        model: The network in eval mode.
        card: Description of its input.
    """

    model: ActionNetwork

    def __init__(self, model: ActionNetwork, card: ClipCard) -> None:
        super().__init__()
        self.model = model
        self.card = card

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, H, W, 3) uint8 or (B, 3, T, H, W) float32, RGB, to (B, C) twice."""
        logits = self.model(self.normalize(clips)).float()
        return logits.softmax(dim=1), logits

    def normalize(self, given: Tensor) -> Tensor:
        """Convert clips to what the weights expect, (B, 3, T, H, W) float32."""
        if self.card.input == "uint8":
            return self.model.normalize(given)
        mean, std = self.model.pixel_mean, self.model.pixel_std
        if self.model.color_order == "bgr":
            given, mean, std = given.flip(1), mean.flip(0), std.flip(0)
        return (given * 255 - mean[:, None, None, None]) / std[:, None, None, None]


@dataclass(frozen=True)
class ClipComparison:
    """Difference between an exported file and its network.

    Attributes:
        logits: The largest difference of a logit, as a share of the largest logit.
        scores: The largest difference of a probability.
        place: Clip and class of the largest difference of a logit.
        clips: Number of clips that were compared.
    """

    logits: float
    scores: float
    place: str
    clips: int

    def require_agreement(self, path: Path) -> None:
        """Check that the difference is within the tolerance.

        Raises:
            ExportError: It is not; names clip and class.
        """
        if not (self.logits <= TOLERANCE and self.scores <= TOLERANCE):
            raise ExportError(
                f"{path}: logits differ from torch's by {self.logits:.1e} of the largest one at "
                f"{self.place}, probabilities by {self.scores:.1e} (allowed: {TOLERANCE:.0e}); no "
                "file was written: give another format, or report it with the versions of torch "
                "and onnxruntime"
            )

    def describe(self) -> str:
        """Return the comparison as text."""
        return (
            f"compared with torch on {self.clips} clips, batches of 1 and 3: logits differ by at "
            f"most {self.logits:.1e} of the largest one, at {self.place}, probabilities by "
            f"{self.scores:.1e} (allowed {TOLERANCE:.0e})"
        )


def export_classifier(model: ActionNetwork, card: ClipCard, path: Path) -> ClipComparison:
    """Write a network, and check that the file gives the same results.

    Args:
        model: The network in eval mode, on the CPU; it is not changed.
        card: Input of the file, and its description.
        path: Its suffix, .onnx or .pt2, chooses the format. An existing file is replaced only after
            the new one passed the check.

    Raises:
        ConfigError: The suffix is unknown, or a package is not installed.
        ExportError: The network cannot be exported, naming the block that fails, or the file's
            results differ.
        NumericsError: The network's scores are not finite.
    """
    check_form(path)

    def write(temporary: Path) -> ClipComparison:
        if path.suffix == ".onnx":
            _write_onnx(model, card, temporary)
        else:
            network = ExportedClassifier(copy.deepcopy(model), card)
            program = _convert(network, "torch.export", program_of)
            save_program(program, temporary, card.to_texts())
        return compare(temporary, path.suffix, model, card)

    return write_checked(path, write)


def _write_onnx(model: ActionNetwork, card: ClipCard, path: Path) -> None:
    def convert(network: nn.Module, example: Tensor) -> Any:
        whole = isinstance(network, ExportedClassifier)
        return onnx_of(network, example, "clips", OUTPUTS if whole else None)

    proto = _convert(ExportedClassifier(with_matrix_products(model), card), "ONNX", convert)
    describe_onnx(proto, card.version, card.describe(), card.to_texts())
    save_onnx(proto, path)


def _convert(
    network: ExportedClassifier, form: str, convert: Callable[[nn.Module, Tensor], Any]
) -> Any:
    example = torch.from_numpy(_as_input(made_up_clips(network.card, 2), network.card))
    return convert_or_name(network.eval().requires_grad_(False), example, form, convert)


def made_up_clips(card: ClipCard, number: int) -> NDArray[np.uint8]:
    """Return random squares of 8 pixels, new ones in each frame, (number, T, H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    height, width = card.input_size
    shape = (number, card.frames, -(-height // 8), -(-width // 8), 3)
    squares = rng.integers(0, 256, shape, np.uint8)
    return squares.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width]


def _as_input(clips: NDArray[np.uint8], card: ClipCard) -> NDArray[np.generic]:
    """Convert clips to the file's input."""
    if card.input == "uint8":
        return np.ascontiguousarray(clips)
    planes = np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3), dtype=np.float32)
    return np.divide(planes, 255, dtype=np.float32)


def compare(path: Path, form: str, model: ActionNetwork, card: ClipCard) -> ClipComparison:
    """Run a file and its network on the same clips.

    Args:
        path: The file.
        form: Suffix of its format; the file's name may have another one.
        model: The network in eval mode, on the CPU.
        card: The description that the file must contain.

    Raises:
        ExportError: The file cannot be run, or an output has another shape.
        NumericsError: The network's scores are not finite.
    """
    clips = made_up_clips(card, sum(BATCHES))
    with torch.inference_mode():
        expected = model(model.normalize(torch.from_numpy(clips.copy())))
    if not expected.isfinite().all():
        raise NumericsError("the network's scores are not finite; train it again")
    scores, logits = _run(path, form, card, np.split(clips, np.cumsum(BATCHES)[:-1]))
    if logits.shape != expected.shape or scores.shape != expected.shape:
        raise ExportError(
            f"{path}: gives {tuple(scores.shape)} and {tuple(logits.shape)}, but the network gives "
            f"{tuple(expected.shape)}; report it with the version of torch"
        )
    difference = (logits - expected).abs().nan_to_num(nan=torch.inf)
    clip, label = divmod(int(difference.argmax()), expected.shape[1])
    largest = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    other = (scores - expected.softmax(dim=1)).abs().nan_to_num(nan=torch.inf)
    return ClipComparison(
        logits=float(difference.max()) / largest,
        scores=float(other.max()),
        place=f"clip {clip}, {card.classes[label]}",
        clips=len(clips),
    )


def _run(
    path: Path, form: str, card: ClipCard, batches: list[NDArray[np.uint8]]
) -> tuple[Tensor, Tensor]:
    """Return the file's scores and logits for all batches together."""
    session = None
    if form == ".onnx":
        try:
            session, texts = open_session(path, "cpu")
        except CheckpointError as error:
            raise ExportError(f"the written file cannot be opened: {error}") from error
        assert dict(texts) == card.to_texts(), "the written file has another description"
    given = [_as_input(batch, card) for batch in batches]
    scores, logits = run_file(path, session, "clips", OUTPUTS, given)
    return scores, logits
