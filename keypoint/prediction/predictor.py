"""Keypoints of persons on an image, from a checkpoint.

The public methods take numpy arrays in the image's frame; below them are tensors in the crop's
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from keypoint import distributed
from keypoint.checkpoint.file import load_model
from keypoint.checkpoint.hub import find_checkpoint
from keypoint.data.person_crops import Prediction, predict_image
from keypoint.models import PoseNetwork
from keypoint.models.fold_norms import fold_norms
from keypoint.models.inference import predict_heatmaps, predict_keypoints
from keypoint.pose.geometry import CropFrame
from keypoint.pose.names import OF_CHECKPOINT
from keypoint.pose.skeleton import Skeleton
from keypoint.processes import keep_freed_memory


class Predictor:
    """Finds the keypoints of persons in given boxes.

    A predictor does not change after it is made, so the threads of a server may share one. The
    process keeps freed memory from then on (`keep_freed_memory`).

    Args:
        model: Network on its device; it is set to eval mode. `from_checkpoint` folds its BatchNorms
            (models/fold_norms.py), after which it can be neither trained nor saved.
        skeleton: Names of the K keypoints, and the flip order.
        flip: Average with the mirrored crop: twice the time, about 1 AP more.
        amp_dtype: Autocast the network to this dtype.
        compile_batch: Compile the network, in place, for this number of crops at a time; smaller
            batches are padded, so that it is compiled once (half a minute, at the first call).
            None: do not compile.
        decoding: "quarter", "dark", None, or "codec" for the default of the network's codec.
        only_generated: The network was trained only on generated figures; the commands warn of it.

    Raises:
        ConfigError: The network's codec does not have this decoding.
    """

    def __init__(
        self,
        model: PoseNetwork,
        skeleton: Skeleton,
        *,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
        compile_batch: int | None = None,
        decoding: str | None = "codec",
        only_generated: bool = False,
    ) -> None:
        keep_freed_memory()
        self.model = model.eval()
        self.decoding = model.codec.decoding(decoding)
        self.only_generated = only_generated
        self.compile_batch = compile_batch
        if compile_batch is not None:
            model.compile(dynamic=False)
        self.skeleton = skeleton
        self.udp = model.codec.udp
        self.device = model.pixel_mean.device
        self.amp_dtype = amp_dtype
        if flip:
            skeleton.require_pairs()
        self.flip_indices = (
            torch.tensor(skeleton.flip_indices, device=self.device) if flip else None
        )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | None = None,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
        compile_batch: int | None = None,
        decoding: str | None = OF_CHECKPOINT,
    ) -> Predictor:
        """Load a predictor from `best.pt` or `last.pt` of a run, with its BatchNorms folded.

        Args:
            path: The checkpoint; it contains network, skeleton and color order.
            device: "cpu", "cuda", "cuda:1" or "mps" (untested); None for CUDA if there is one.
            flip: Average with the mirrored crop.
            amp_dtype: Autocast the network to this dtype.
            compile_batch: Compile the network for this number of crops; None: do not compile.
            decoding: "checkpoint" for its config's test.decoding, else as for `Predictor`.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: The device does not exist, or the network's codec lacks the decoding.
        """
        chosen = distributed.choose_device(device)
        restored = load_model(Path(path))
        fold_norms(restored.model)
        return cls(
            restored.model.to(chosen),
            restored.skeleton,
            flip=flip,
            amp_dtype=amp_dtype,
            compile_batch=compile_batch,
            decoding=restored.decoding(decoding),
            only_generated=restored.only_generated,
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        device: str | None = None,
        flip: bool = False,
        amp_dtype: torch.dtype | None = None,
        revision: str | None = None,
        decoding: str | None = OF_CHECKPOINT,
    ) -> Predictor:
        """Load a predictor by name: published weights, a folder, "user/name" of the Hub.

        Args:
            name_or_folder: A name that `keypoint weights` lists ("mmpose/res50_256x192"), whose
                file is downloaded once; a folder or repository of the Hugging Face Hub with
                `model.pt`; or the output folder of a training. See `hub.find_checkpoint`. The Hub
                needs the extra `hub`.
            device: "cpu", "cuda", "cuda:1" or "mps" (untested); None for CUDA if there is one.
            flip: Average with the mirrored crop.
            amp_dtype: Autocast the network to this dtype.
            revision: Branch, tag or commit on the Hub.
            decoding: "checkpoint" for its config's test.decoding, else as for `Predictor`.

        Raises:
            CheckpointError: The folder or repository does not exist, or its file cannot be
                downloaded or used.
            ConfigError: The name is none of these, the device does not exist, the network's codec
                lacks the decoding, or the Hub's client is not installed.
        """
        path = find_checkpoint(name_or_folder, revision)
        return cls.from_checkpoint(path, device, flip, amp_dtype, decoding=decoding)

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

    def crop_frame(self, boxes_xywh: NDArray[np.float64]) -> CropFrame:
        """Cut the crops of boxes (P, 4) as the network expects them."""
        return self.model.codec.crop_frame(boxes_xywh)

    @torch.inference_mode()
    def predict_crops(self, crops: NDArray[np.uint8] | Tensor) -> tuple[Tensor, Tensor]:
        """Return the keypoints of crops.

        Args:
            crops: (B, H, W, 3) uint8 RGB of the network's input size.

        Returns:
            Keypoints (B, K, 2), crop frame, and scores (B, K). A GPU may still be computing
            them.
        """
        found = [
            predict_keypoints(self.model, batch, self.flip_indices, self.amp_dtype, self.decoding)
            for batch in self._batches(crops)
        ]
        points, scores = (torch.cat(parts)[: len(crops)] for parts in zip(*found, strict=True))
        return self.model.codec.to_crop(points), scores

    @torch.inference_mode()
    def predict_heatmaps(self, crops: NDArray[np.uint8] | Tensor) -> Tensor:
        """Return the heatmaps of crops.

        Args:
            crops: (B, H, W, 3) uint8 RGB of the network's input size.

        Returns:
            (B, K, H/s, W/s) float32, averaged with the mirrored crops' heatmaps if `flip`.
        """
        found = [
            predict_heatmaps(self.model, batch, self.flip_indices, self.amp_dtype)
            for batch in self._batches(crops)
        ]
        return torch.cat(found)[: len(crops)]

    @torch.inference_mode()
    def predict_with_heatmaps(
        self, crops: NDArray[np.uint8] | Tensor
    ) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """Return the results of `predict_crops`, and the heatmaps (B, K, H/s, W/s)."""
        heatmaps = self.predict_heatmaps(crops)
        points, scores = self.model.codec.decode(heatmaps, self.decoding)
        return self.model.codec.to_crop(points), scores, heatmaps.cpu().numpy()

    def _batches(self, crops: NDArray[np.uint8] | Tensor) -> Sequence[Tensor]:
        """Yield crops on the device; for a compiled network in padded batches of its size."""
        given = torch.as_tensor(crops).to(self.device)
        if self.compile_batch is None:
            return [given]
        missing = -len(given) % self.compile_batch
        filled = torch.cat([given, given.new_zeros(missing, *given.shape[1:])])
        return list(torch.split(filled, self.compile_batch))
