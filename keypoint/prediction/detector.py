"""Persons found by torchvision's Faster R-CNN (Ren et al. 2015), or by OpenCV's HOG (hog.py).

Only boxes of label 1 are used: person in torchvision's numbering of COCO, or the object in your own
two-class detector.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import detection

from keypoint.errors import CheckpointError, ConfigError, NumericsError
from keypoint.models.weights.formats import unwrap
from keypoint.models.weights.read import read_tensors
from keypoint.prediction.names import DETECTOR_SCORE, DETECTORS, HOG
from keypoint.prediction.persons.hog import Hog

LABEL = 1
DOWNLOAD_TIMEOUT_S = 15.0  # without a response
CLASSES = "roi_heads.box_predictor.cls_score.weight"  # one row per class, background included
LARGE = 2**25  # pixels


def load_detector(given: str, score_threshold: float = DETECTOR_SCORE) -> nn.Module:
    """Load a detector in eval mode, on the CPU.

    Args:
        given: NAME from `DETECTORS` (its weights are downloaded at the first use; "torchvision" is
            the first of them), FILE with a state dict of the first, with any number of classes,
            NAME:FILE, or "hog", which needs no weights.
        score_threshold: Boxes with a lower score are dropped; 0 to 1.

    Raises:
        ConfigError: It is neither a name nor a file.
        CheckpointError: A file cannot be read, does not fit, or has weights with nan or inf; or
            weights cannot be downloaded.
    """
    if given == HOG:
        return Hog(score_threshold).eval()
    name, colon, file = given.partition(":")
    if name == "torchvision":  # torchvision's best detector is the first
        name = DETECTORS[0]
    if name in DETECTORS:
        weights = Path(file) if colon else None
    elif Path(given).exists():
        name, weights = DETECTORS[0], Path(given)
    else:
        raise ConfigError(
            f"--detector {given}: neither a file nor the name of a detector; give a file or one of "
            f"{', '.join(DETECTORS)}, {HOG}"
        )
    build = getattr(detection, name)
    if weights is None:
        try:
            with _answer_within(DOWNLOAD_TIMEOUT_S):
                model = build(weights="DEFAULT", box_score_thresh=score_threshold)
        except (OSError, HTTPException, RuntimeError) as error:  # no network, no space, wrong hash
            raise CheckpointError(
                f"torchvision's weights of {name} cannot be downloaded ({error}); give a file of "
                f"them (--detector {name}:FILE), or --detector {HOG}, which needs none and finds "
                "fewer persons; keypoint predict also accepts given boxes (--boxes FILE) or one "
                "person that fills each image (--whole-image)"
            ) from None
    else:
        model = _from_file(name, weights, score_threshold)
    model.eval()
    assert isinstance(model, nn.Module)
    return model


@contextmanager
def _answer_within(seconds: float) -> Iterator[None]:
    """Limit the time without a response, because torchvision's download has no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def most_boxes(model: nn.Module) -> int:
    """Return the largest number of boxes, of all classes, that the detector gives per image."""
    stops = model if isinstance(model, Hog) else model.roi_heads
    return int(stops.detections_per_img)  # type: ignore[union-attr, arg-type]


def _from_file(name: str, weights: Path, score_threshold: float) -> nn.Module:
    state = dict(unwrap(read_tensors(weights), str(weights))[0])
    if CLASSES not in state:
        raise CheckpointError(
            f"{weights}: not weights of {name} ({CLASSES} is missing); give its state dict"
        )
    # Checked here, because torchvision silently drops boxes whose score is nan.
    broken = [key for key, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{weights}: {broken[0]} contains nan or inf ({len(broken)} of {len(state)} "
            "tensors do); the training diverged or the file is damaged; use another copy"
        )
    model = getattr(detection, name)(
        weights=None,
        weights_backbone=None,
        num_classes=len(state[CLASSES]),
        box_score_thresh=score_threshold,
    )
    assert isinstance(model, nn.Module)
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
        # Frozen batch norms do not save this counter, and it is not used.
        faults = [*(n for n in missing if not n.endswith("num_batches_tracked")), *unexpected]
        text = f"{len(faults)} names differ, such as {faults[0]}" if faults else ""
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
    if text:
        raise CheckpointError(
            f"{weights}: does not match {name}: {text}; give NAME:FILE, with NAME one of "
            f"{', '.join(DETECTORS)}"
        )
    return model


@dataclass(frozen=True)
class Detections:
    """Persons on one image, by decreasing score.

    Attributes:
        boxes_xywh: (P, 4) float64, image frame.
        scores: (P,) float64, 0 to 1.
        found: Number of detections of all classes.
    """

    boxes_xywh: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: int


@torch.inference_mode()
def detect(
    model: nn.Module, images: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> list[Detections]:
    """Find the boxes of label 1 on a batch of images.

    Args:
        model: From `load_detector`, on its device.
        images: (H, W, 3) uint8 RGB each. Images over 33 megapixels are shrunk before the conversion
            to floats; the detector shrinks images to about one megapixel anyway.
        names: Names of the images, for errors.

    Raises:
        NumericsError: A box or score is not finite.
    """
    device = next(model.parameters()).device
    scales = [min(1.0, math.sqrt(LARGE / (image.shape[0] * image.shape[1]))) for image in images]
    pixels = [_to_tensor(i, scale, device) for i, scale in zip(images, scales, strict=True)]
    detections = []
    for name, scale, found in zip(names, scales, model(pixels), strict=True):
        mine = found["labels"] == LABEL
        corners = found["boxes"][mine].cpu().double().numpy() / scale  # P 4, x1 y1 x2 y2
        scores = found["scores"][mine].cpu().double().numpy()
        if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
            raise NumericsError(
                f"{name}: a box or score is nan or inf; the detector's weights are broken"
            )
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        detections.append(Detections(boxes, scores, len(found["labels"])))
    return detections


def _to_tensor(image: NDArray[np.uint8], scale: float, device: torch.device) -> Tensor:
    """Convert to (3, H, W) RGB from 0 to 1, which the detector normalises and resizes."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    if scale < 1:
        size = [max(1, int(side * scale)) for side in image.shape[:2]]
        # Shrunk as bytes, because floats take four times the memory; CUDA supports only floats.
        pixels = interpolate(pixels[None], size=size, mode="bilinear")[0]
    return pixels.to(device).float() / 255
