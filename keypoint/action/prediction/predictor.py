"""Prediction of the class of a video from a checkpoint.

Frames are chosen and cropped as in the test of the checkpoint's config, so the scores of a video
equal those of `keypoint test`. Letters: C classes, T frames of a clip, H W a frame's size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from keypoint import distributed
from keypoint.action.checkpoint import load_action
from keypoint.action.data.augment import Crop
from keypoint.action.data.frames import read_drawn
from keypoint.action.evaluation.accuracy import TOP, top_classes
from keypoint.action.evaluation.protocol import TestProtocol, protocol_of
from keypoint.action.networks.network import ActionNetwork
from keypoint.action.prediction.defaults import BATCH_SIZE
from keypoint.errors import DataError, NumericsError, printable

logger = logging.getLogger(__name__)

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class ActionResult:
    """Scores of a video.

    Attributes:
        classes: Names of the C classes.
        scores: (C,) float32, mean of the softmax probabilities over clips and crops; they sum to 1.
        numbers: (clips, T) int64, the frames of each clip, from 0.
        notes: A sentence if frames at the end of the video could not be read.
    """

    classes: tuple[str, ...]
    scores: NDArray[np.float32]
    numbers: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def top(self, number: int = TOP) -> list[tuple[str, float]]:
        """Return the best classes with their scores, the highest first."""
        return top_classes(self.scores, self.classes, number)


class ActionPredictor:
    """Finds the class of videos.

    Args:
        model: Network on its device; it is set to eval mode.
        classes: C names, in the order of the network's outputs.
        protocol: Chooses frames and crops; its clips have the network's T.
        batch_size: Clips at a time, counting each crop.
        amp_dtype: Autocast the network to this dtype.
        only_generated: The network was trained only on generated videos; the command warns of it.

    Raises:
        ValueError: The number of classes or frames differs from the network's.
    """

    def __init__(
        self,
        model: ActionNetwork,
        classes: Sequence[str],
        protocol: TestProtocol,
        *,
        batch_size: int = BATCH_SIZE,
        amp_dtype: torch.dtype | None = None,
        only_generated: bool = False,
    ) -> None:
        frames = protocol.sampling.frames
        if len(classes) != model.num_classes or frames != model.frames:
            raise ValueError(
                f"{len(classes)} classes and clips of {frames} frames for a network with "
                f"{model.num_classes} and {model.frames}; give those of its training"
            )
        self.model = model.eval()
        self.classes = tuple(classes)
        self.protocol = protocol
        self.batch_size = batch_size
        self.amp_dtype = amp_dtype
        self.only_generated = only_generated
        self.device = model.pixel_mean.device

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        amp_dtype: torch.dtype | None = None,
    ) -> ActionPredictor:
        """Load a predictor from `best.pt` or `last.pt` of a run.

        Args:
            path: The checkpoint; it contains network, class names and the choice of clips.
            device: "cpu", "cuda", "cuda:1" or "mps" (untested); None for CUDA if there is one.
            batch_size: Clips at a time.
            amp_dtype: Autocast the network to this dtype.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: The device does not exist.
        """
        chosen = distributed.choose_device(device)
        restored = load_action(Path(path))
        return cls(
            restored.model.to(chosen),
            restored.classes,
            protocol_of(restored.config),
            batch_size=batch_size,
            amp_dtype=amp_dtype,
            only_generated=restored.only_generated,
        )

    def __call__(
        self, video: str | Path | Sequence[Frame] | Frame, root: str | Path | None = None
    ) -> ActionResult:
        """Predict the class of one video.

        A file is read to its end, and a warning is logged if frames are missing there.

        Args:
            video: A video file, a folder of frames, or the frames, (N, H, W, 3) uint8 RGB.
            root: Folder of the data set. Random clips are seeded by the file's path relative to
                it, as in a test; if None, by the file's name.

        Raises:
            DataError: The video cannot be read, or frames are given and clips are chosen by time.
            NumericsError: A score is not finite.
            ValueError: Frames have another type or shape, or the path is not below the root.
        """
        notes: list[str] = []
        if isinstance(video, str | Path):
            path = Path(video)
            name = path.name if root is None else path.relative_to(root).as_posix()
            numbers, frames = read_drawn(
                path, (0, -1), self.protocol.draw(name), self._cutter(), notes.append
            )
            for note in notes:
                logger.warning("warning: %s", printable(note))
        else:
            require_frames(video)
            numbers = self.protocol.draw("")(len(video), _no_times)
            cut = self._cutter()
            frames = {n: cut(video[n]) for n in np.unique(numbers).tolist()}
        views = [
            np.stack([frames[n][crop] for n in clip])  # T H W 3
            for clip in numbers.tolist()
            for crop in range(self.protocol.crops.crops)
        ]
        scores = self._score(views)
        if not np.isfinite(scores).all():
            what = video if isinstance(video, str | Path) else "the given frames"
            raise NumericsError(f"{what}: the network's scores are not finite; train it again")
        return ActionResult(self.classes, scores.astype(np.float32), numbers, tuple(notes))

    def _cutter(self) -> Callable[[Frame], Frame]:
        """Return a function that cuts the same crops from each frame, (crops, H, W, 3)."""
        crops: list[Crop] = []

        def cut(frame: Frame) -> Frame:
            if not crops:
                crops.extend(self.protocol.crops.of_frame((frame.shape[0], frame.shape[1])))
            return np.stack([crop.cut(frame, self.protocol.crops.crop_size) for crop in crops])

        return cut

    @torch.inference_mode()
    def _score(self, views: Sequence[Frame]) -> NDArray[np.float64]:
        """Return the mean of the softmax probabilities of clips (T, H, W, 3) each, (C,)."""
        total = np.zeros(len(self.classes))
        for first in range(0, len(views), self.batch_size):
            batch = np.stack(views[first : first + self.batch_size])  # B T H W 3
            clips = self.model.normalize(torch.from_numpy(batch).to(self.device))
            with torch.autocast(
                self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
            ):
                logits = self.model(clips)  # B C
            total += logits.double().softmax(dim=1).sum(dim=0).cpu().numpy()
        return total / len(views)


def require_frames(frames: Sequence[Frame] | Frame) -> None:
    """Check frames that were not read from a file.

    Raises:
        ValueError: There is no frame, one is not (H, W, 3) uint8, or they differ in size.
    """
    if not len(frames):
        raise ValueError("no frame is given; give (N, H, W, 3) uint8 RGB")
    first = np.asarray(frames[0]).shape
    for number, frame in enumerate(frames):
        array = np.asarray(frame)
        if array.dtype != np.uint8 or array.shape != first or array.shape[2:] != (3,):
            raise ValueError(
                f"frame {number} is {array.dtype} of shape {array.shape}; give uint8 RGB, "
                "(H, W, 3), all of one size"
            )


def _no_times(number: int) -> NDArray[np.float64]:
    raise DataError(
        "frames without times are given, but the checkpoint's clips.fps chooses them by time; give "
        "the video file"
    )
