"""Whether an exported file does what the network does: read from disk, run, compared.

Heatmaps are compared with those of the network in torch. Keypoints are compared with what the codec
decodes from the file's own heatmaps: of two pixels as high as each other, rounding decides which is
the peak, and that says nothing of the file.

Letters: B batch, N crops, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keypoint.errors import CheckpointError, ExportError, NumericsError
from keypoint.export.card import OUTPUTS, ExportCard
from keypoint.export.onnx_predictor import as_input, open_onnx
from keypoint.models import SimpleBaseline
from keypoint.models.inference import predict_heatmaps

HEATMAP_TOLERANCE = 1e-4  # of the highest value; measured are 1e-6 to 3e-6, in float32
PIXEL_TOLERANCE = 0.01  # of the crop
BATCHES = (1, 3)  # then all the rest in threes
SURE = 0.2  # scores above it count in the evaluation

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Comparison:
    """How far an exported file and its network are apart.

    Attributes:
        card: What the file says of itself.
        crops: N.
        heatmaps: The largest difference, as a share of the network's highest value.
        place: Where that is.
        decoding: The largest distance of the file's keypoints and scores from what the codec makes
            of the file's heatmaps, pixels of the crop; None if it gives no keypoints.
        moved: (N, K) distance of the keypoints from the network's, pixels of the crop.
        scores: (N, K) of the network.
    """

    card: ExportCard
    crops: int
    heatmaps: float
    place: str
    decoding: float | None
    moved: NDArray[np.float64]
    scores: NDArray[np.float64]

    def require_agreement(self, path: Path) -> None:
        """See that the file is right, as far as its precision allows that.

        Raises:
            ExportError: It is not, and where.
        """
        if self.card.precision == "float32" and not self.heatmaps <= HEATMAP_TOLERANCE:
            raise ExportError(
                f"{path}: heatmaps differ from torch's by {self.heatmaps:.1e} of the highest value "
                f"at {self.place}, allowed are {HEATMAP_TOLERANCE:.0e}; nothing was written: give "
                "another form, or report it with the versions of torch and onnxruntime"
            )
        if self.decoding is not None and not self.decoding <= PIXEL_TOLERANCE:
            raise ExportError(
                f"{path}: keypoints lie up to {self.decoding:.2g} px from what its heatmaps say, "
                f"allowed are {PIXEL_TOLERANCE}; nothing was written: export with --outputs "
                "heatmaps, or report it with the versions of torch and onnxruntime"
            )

    def describe(self) -> str:
        """What was compared and found, a line each."""
        far = f"differ by {self.heatmaps:.1e} of the highest value at most, at {self.place}"
        if self.card.precision == "float32":
            far += f" (allowed {HEATMAP_TOLERANCE:.0e})"
        lines = [
            f"compared with torch on {self.crops} crops, batches of 1 and 3: heatmaps "
            f"{far if self.heatmaps else 'are equal'}"
        ]
        if self.decoding is not None:
            lines.append(
                f"decoding in the file: {self.decoding:.1e} px from ours at most "
                f"(allowed {PIXEL_TOLERANCE})"
            )
        if self.card.precision != "float32":
            sure = self.scores > SURE
            lines += [
                f"{self.card.precision} is not equal: keypoints move by {_moves(self.moved)}",
                f"those with a score above {SURE}: {_moves(self.moved[sure])}",
            ]
        return "\n".join(lines)


def _moves(moved: NDArray[np.float64]) -> str:
    if not moved.size:
        return "there are none"
    return f"{moved.mean():.3f} px on average, {moved.max():.2f} px at most ({moved.size} of them)"


def made_up_crops(input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """(4, H, W, 3) uint8: squares of 16 pixels, each of a random colour, and noise over them."""
    rng = np.random.default_rng(0)
    height, width = input_size
    squares = rng.integers(0, 200, (4, -(-height // 16), -(-width // 16), 3), np.uint8)
    large = squares.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    large += rng.integers(0, 56, large.shape, np.uint8)
    return large


def compare(
    path: Path, form: str, model: SimpleBaseline, card: ExportCard, crops: NDArray[np.uint8]
) -> Comparison:
    """Run a file and its network on the same crops.

    Args:
        path: The file.
        form: Suffix of its form; the file may have another one.
        model: In eval mode, on the CPU.
        card: What the file must say of itself.
        crops: (N, H, W, 3) uint8 RGB.

    Raises:
        ExportError: The file cannot be run, or gives something of another shape.
        NumericsError: The network's heatmaps are not finite.
    """
    flip = torch.tensor(card.skeleton.flip_indices) if card.flip else None
    pixels = torch.tensor([4.0, 4.0])  # of the crop; said anew, to judge what the graph has
    if card.codec == "udp":
        height, width = card.input_size
        pixels = torch.tensor([(width - 1) / (width // 4 - 1), (height - 1) / (height // 4 - 1)])
    run = _open(path, form, card)
    worst, place, highest, decoding = -1.0, "", 0.0, 0.0
    moved, scores = [], []
    for first, some in _batches(crops):
        with torch.inference_mode():
            expected = predict_heatmaps(model, torch.from_numpy(some), flip)
        if not expected.isfinite().all():
            raise NumericsError(
                "the network's heatmaps are nan or inf, its weights are broken; use another "
                "checkpoint"
            )
        found = run(some)
        heatmaps = torch.from_numpy(found["heatmaps"])
        if heatmaps.shape != expected.shape:
            raise ExportError(
                f"{path}: gives heatmaps {tuple(heatmaps.shape)} of {len(some)} crops where the "
                f"network gives {tuple(expected.shape)}; report it with the version of torch"
            )
        highest = max(highest, float(expected.abs().max()))
        difference = (heatmaps - expected).abs().nan_to_num(nan=torch.inf)
        if float(difference.max()) > worst:
            worst = float(difference.max())
            crop, keypoint, y, x = np.unravel_index(int(difference.argmax()), difference.shape)
            name = card.skeleton.keypoints[int(keypoint)]
            place = f"crop {first + crop}, {name}, row {y}, column {x}"
        points, peaks = model.codec.decode(heatmaps)
        reference, sure = model.codec.decode(expected)
        if "keypoints" in found:
            own = torch.from_numpy(found["keypoints"]) - points * pixels
            other = torch.from_numpy(found["scores"]) - peaks
            decoding = max(decoding, *(_largest(part) for part in (own, other)))
        moved.append(((points - reference) * pixels).norm(dim=2))
        scores.append(sure)
    return Comparison(
        card=card,
        crops=len(crops),
        heatmaps=worst / max(highest, torch.finfo(torch.float32).tiny),
        place=place,
        decoding=decoding if "keypoints" in OUTPUTS[card.outputs] else None,
        moved=torch.cat(moved).double().numpy(),
        scores=torch.cat(scores).double().numpy(),
    )


def _largest(difference: Tensor) -> float:
    return float(difference.abs().nan_to_num(nan=torch.inf).max())


def _batches(crops: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    first = 0
    for size in (*BATCHES, *[BATCHES[-1]] * len(crops)):
        if first < len(crops):
            yield first, np.ascontiguousarray(crops[first : first + size])
        first += size


def _open(path: Path, form: str, card: ExportCard) -> Callable[[NDArray[np.uint8]], Arrays]:
    """What runs a file on crops; an error of its own where it does not."""
    names = OUTPUTS[card.outputs]
    try:
        if form == ".onnx":
            session, written = open_onnx(path, "cpu")
            assert written == card, "the description is not what was written"

            def call(crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
                found: list[NDArray[np.float32]] = session.run(
                    list(names), {"crops": as_input(crops, card)}
                )
                return found
        else:
            network: Any = (
                torch.export.load(path).module() if form == ".pt2" else torch.jit.load(path)
            )

            def call(crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
                with torch.inference_mode():
                    found = network(torch.from_numpy(as_input(crops, card)))
                return [part.numpy() for part in found]
    except CheckpointError as error:
        raise ExportError(f"what was written cannot be opened: {error}") from error

    def run(crops: NDArray[np.uint8]) -> Arrays:
        try:
            return dict(zip(names, call(crops), strict=True))
        except Exception as error:  # of the runtimes' own kinds
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise ExportError(
                f"{path}: does not run on {len(crops)} crops ({reason}); give another form, or "
                "report it with the versions of torch and onnxruntime"
            ) from error

    return run
