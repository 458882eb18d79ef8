"""Compare an exported file, read from disk, with its network on the same crops.

Heatmaps are compared with those of the network in torch. Keypoints are compared with those that the
codec decodes from the file's own heatmaps, because rounding may choose another of two equal peaks,
which is not an error of the file.

Letters: N crops, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keypoint.errors import CheckpointError, ExportError, NumericsError
from keypoint.export.card import OUTPUTS, ExportCard
from keypoint.export.network import first_line
from keypoint.export.onnx_predictor import as_input, open_onnx
from keypoint.models import PoseNetwork
from keypoint.models.inference import predict_heatmaps

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

HEATMAP_TOLERANCE = 1e-4  # of the highest value; measured are 1e-6 to 3e-6, in float32
PIXEL_TOLERANCE = 0.01  # of the crop
SURE = 0.2  # scores above it count in the evaluation


@dataclass(frozen=True)
class Comparison:
    """Difference between an exported file and its network.

    Attributes:
        card: The file's description.
        heatmaps: The largest difference, as a share of the network's highest value.
        place: Crop, keypoint and pixel of that difference.
        decoding: The largest distance of the file's keypoints and scores from those that the codec
            decodes from the file's heatmaps, pixels of the crop; None without keypoints.
        moved: (N, K) distance of the keypoints from the network's, pixels of the crop.
        scores: (N, K) scores of the network.
    """

    card: ExportCard
    heatmaps: float
    place: str
    decoding: float | None
    moved: NDArray[np.float64]
    scores: NDArray[np.float64]

    def require_agreement(self, path: Path) -> None:
        """Check that the difference is within the tolerance of the file's precision.

        Raises:
            ExportError: It is not; names crop, keypoint and pixel.
        """
        if self.card.precision == "float32" and not self.heatmaps <= HEATMAP_TOLERANCE:
            raise ExportError(
                f"{path}: heatmaps differ from torch's by {self.heatmaps:.1e} of the highest value "
                f"at {self.place} (allowed: {HEATMAP_TOLERANCE:.0e}); no file was written: give "
                "another format, or report it with the versions of torch and onnxruntime"
            )
        if self.decoding is not None and not self.decoding <= PIXEL_TOLERANCE:
            raise ExportError(
                f"{path}: keypoints differ by up to {self.decoding:.2g} px from its decoded "
                f"heatmaps (allowed: {PIXEL_TOLERANCE}); no file was written: export with "
                "--outputs heatmaps, or report it with the versions of torch and onnxruntime"
            )

    def describe(self) -> str:
        """Return the comparison as text."""
        far = f"differ by at most {self.heatmaps:.1e} of the highest value, at {self.place}"
        if self.card.precision == "float32":
            far += f" (allowed {HEATMAP_TOLERANCE:.0e})"
        lines = [
            f"compared with torch on {len(self.moved)} crops, batches of 1 and 3: heatmaps "
            f"{far if self.heatmaps else 'are equal'}"
        ]
        if self.decoding is not None:
            lines.append(
                f"decoding in the file: differs by at most {self.decoding:.1e} px "
                f"(allowed {PIXEL_TOLERANCE})"
            )
        if self.card.precision != "float32":
            sure = self.scores > SURE
            lines += [
                f"{self.card.precision} differs: keypoints move by {_moves(self.moved)}",
                f"those with a score above {SURE}: {_moves(self.moved[sure])}",
            ]
        return "\n".join(lines)


def _moves(moved: NDArray[np.float64]) -> str:
    if not moved.size:
        return "there are none"
    return (
        f"{moved.mean():.3f} px on average, at most {moved.max():.2f} px ({moved.size} keypoints)"
    )


def made_up_crops(input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return noisy squares of 16 pixels in random colors, (4, H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    height, width = input_size
    squares = rng.integers(0, 200, (4, -(-height // 16), -(-width // 16), 3), np.uint8)
    large = squares.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    large += rng.integers(0, 56, large.shape, np.uint8)
    return large


def compare(
    path: Path, form: str, model: PoseNetwork, card: ExportCard, crops: NDArray[np.uint8]
) -> Comparison:
    """Run a file and its network on the same crops.

    Args:
        path: The file.
        form: Suffix of its format; the file's name may have another one.
        model: The network in eval mode, on the CPU.
        card: The description that the file must contain.
        crops: (N, H, W, 3) uint8 RGB.

    Raises:
        ExportError: The file cannot be run, or an output has another shape.
        NumericsError: The network's heatmaps are not finite.
    """
    batches = np.split(np.ascontiguousarray(crops), range(1, len(crops), 3))  # of 1, then of 3
    flip = torch.tensor(card.skeleton.flip_indices) if card.flip else None
    with torch.inference_mode():
        parts = [predict_heatmaps(model, torch.from_numpy(batch), flip) for batch in batches]
    expected = torch.cat(parts)  # N K H/s W/s
    if not expected.isfinite().all():
        raise NumericsError(
            "the network's heatmaps are nan or inf: its weights are broken; use another checkpoint"
        )
    found = _run(path, form, card, batches)
    heatmaps = found["heatmaps"]
    if heatmaps.shape != expected.shape:
        raise ExportError(
            f"{path}: has heatmaps {tuple(heatmaps.shape)}, but the network gives "
            f"{tuple(expected.shape)}; report it with the version of torch"
        )
    difference = (heatmaps - expected).abs().nan_to_num(nan=torch.inf)
    crop, keypoint, y, x = np.unravel_index(int(difference.argmax()), difference.shape)
    highest = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)

    s = card.stride
    pixels = torch.tensor([float(s), s])  # of the crop; computed again here, to check the graph
    if card.codec == "udp":
        height, width = card.input_size
        pixels = torch.tensor([(width - 1) / (width // s - 1), (height - 1) / (height // s - 1)])
    points, peaks = model.codec.decode(heatmaps, card.decoding)
    reference, scores = model.codec.decode(expected, card.decoding)
    decoding = None
    if "keypoints" in found:
        own, other = found["keypoints"] - points * pixels, found["scores"] - peaks
        decoding = max(float(d.abs().nan_to_num(nan=torch.inf).max()) for d in (own, other))
    return Comparison(
        card=card,
        heatmaps=float(difference.max()) / highest,
        place=f"crop {crop}, {card.skeleton.keypoints[int(keypoint)]}, row {y}, column {x}",
        decoding=decoding,
        moved=((points - reference) * pixels).norm(dim=2).double().numpy(),
        scores=scores.double().numpy(),
    )


def _run(
    path: Path, form: str, card: ExportCard, batches: list[NDArray[np.uint8]]
) -> dict[str, Tensor]:
    """Return the file's outputs for all batches together, by name."""
    names, session = OUTPUTS[card.outputs], None
    if form == ".onnx":
        try:
            session, written = open_onnx(path, "cpu")
        except CheckpointError as error:
            raise ExportError(f"the written file cannot be opened: {error}") from error
        assert written == card, "the written file has another description"
    given = [as_input(batch, card) for batch in batches]
    return dict(zip(names, run_file(path, session, "crops", names, given), strict=True))


def run_file(
    path: Path,
    session: InferenceSession | None,
    feed: str,
    names: Sequence[str],
    batches: Sequence[NDArray[np.generic]],
) -> list[Tensor]:
    """Return the outputs of an exported network of any task for all batches together.

    Args:
        path: The file.
        session: The opened ONNX file; None for a file of torch.export, which is opened here.
        feed: Name of the input in the plural: "crops".
        names: Names of the outputs.
        batches: Inputs.

    Raises:
        ExportError: The file does not run.
    """
    call: Callable[[NDArray[np.generic]], list[Tensor]]
    if session is not None:

        def call(given: NDArray[np.generic]) -> list[Tensor]:
            return [torch.from_numpy(part) for part in session.run(list(names), {feed: given})]
    else:
        network = torch.export.load(path).module()

        def call(given: NDArray[np.generic]) -> list[Tensor]:
            with torch.inference_mode():
                return list(network(torch.from_numpy(given)))

    outputs = []
    for batch in batches:
        try:
            outputs.append(call(batch))
        except Exception as error:  # the runtimes raise their own classes
            raise ExportError(
                f"{path}: does not run on {len(batch)} {feed} ({first_line(error)}); give another "
                "format, or report it with the versions of torch and onnxruntime"
            ) from error
    return list(map(torch.cat, zip(*outputs, strict=True)))
