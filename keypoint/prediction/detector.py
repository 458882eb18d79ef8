"""Person boxes from torchvision's Faster R-CNN, as COCO results.

Source: Ren et al. 2015 and torchvision's detection reference. A box is taken by its class alone:
label 1, which is person in torchvision's numbering of COCO, and the object in a two-class detector
of one's own.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import detection

from keypoint.data.entries import find_category, image_faults, name_image
from keypoint.data.image import read_image
from keypoint.data.report import raise_faults
from keypoint.errors import CheckpointError, ConfigError, DataError, NumericsError
from keypoint.files import read_json
from keypoint.models.weights.formats import unwrap
from keypoint.models.weights.tensor_reader import read_tensors
from keypoint.prediction.inputs import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

LABEL = 1
DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
CLASSES = "roi_heads.box_predictor.cls_score.weight"  # one row per class, background included
LARGE = 2**25  # pixels


@dataclass(frozen=True)
class ImageList:
    """Images to look at.

    Attributes:
        folder: That the file names are relative to.
        entries: {id, file_name} each, with height and width where they are known.
        category_id: What their boxes get.
    """

    folder: Path
    entries: tuple[dict[str, Any], ...]
    category_id: int


@dataclass
class BoxReport:
    """What was found: found = written + of other classes.

    Attributes:
        images: Looked at.
        found: Detections above the threshold.
        written: Those of label 1.
        empty_images: Images without a written box.
        full_images: Images on which the detector reached its own limit, so that boxes are missing.
        limit: That limit, of all classes together.
    """

    images: int
    found: int
    written: int
    empty_images: int
    full_images: int
    limit: int

    def __str__(self) -> str:
        mean = self.written / max(self.images, 1)
        full = f"; {self.full_images} at the limit of {self.limit}" if self.full_images else ""
        return (
            f"{self.images} images, {self.found} detections = {self.written} boxes + "
            f"{self.found - self.written} of other classes; {mean:.1f} boxes an image, "
            f"{self.empty_images} images without{full}"
        )


def load_detector(
    name: str, weights: Path | None = None, *, score_threshold: float = 0.05
) -> nn.Module:
    """A detector in eval mode, on the CPU.

    Args:
        name: One of `DETECTORS`.
        weights: A state dict of this architecture, of any number of classes; None for
            torchvision's COCO weights, which it downloads at the first use.
        score_threshold: Boxes below it are dropped.

    Raises:
        ConfigError: Unknown name, or a threshold outside 0 to 1.
        CheckpointError: A file that cannot be read, does not fit, or has weights with nan or inf;
            no network to download from.
    """
    if name not in DETECTORS:
        raise ConfigError(f"detector {name!r} is not known; there are {', '.join(DETECTORS)}")
    if not 0 <= score_threshold <= 1:
        raise ConfigError(f"score threshold {score_threshold}; give a number from 0 to 1")
    build = getattr(detection, name)
    if weights is None:
        try:
            model = build(weights="DEFAULT", box_score_thresh=score_threshold)
        except (OSError, RuntimeError) as error:  # no network, no space, another file's hash
            raise CheckpointError(
                f"torchvision's weights of {name} cannot be downloaded ({error}); give a file of "
                "them, or boxes from elsewhere, or call the whole image one person"
            ) from None
    else:
        state = dict(unwrap(read_tensors(weights), str(weights))[0])
        if CLASSES not in state:
            raise CheckpointError(
                f"{weights}: no weights of {name} (it lacks {CLASSES}); give a state dict of it"
            )
        model = build(
            weights=None,
            weights_backbone=None,
            num_classes=len(state[CLASSES]),
            box_score_thresh=score_threshold,
        )
        _check_finite(state, weights)
        _fill(model, state, f"{weights}: does not match {name}")
    model.eval()
    assert isinstance(model, nn.Module)
    return model


def _check_finite(state: dict[str, Tensor], weights: Path) -> None:
    """Here, as torchvision drops boxes whose score is nan, and no box would be left to refuse."""
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{weights}: {broken[0]} has nan or inf ({len(broken)} of {len(state)} tensors have); "
            "its training diverged or the file is damaged: use another copy"
        )


def _fill(model: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load all of a state dict; frozen batch norms save no counter, and nothing reads it."""
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
        faults = [*(n for n in missing if not n.endswith("num_batches_tracked")), *unexpected]
        text = f"{len(faults)} names differ, such as {faults[0]}" if faults else ""
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
    if text:
        raise CheckpointError(f"{what}: {text}; choose the --model of {', '.join(DETECTORS)}")


def read_image_list(annotations: Path, folder: Path) -> ImageList:
    """The images of an annotation file or of COCO's image_info, which has no annotations.

    Raises:
        DataError: The file is unreadable or faulty, or has no category for the boxes.
    """
    content = read_json(annotations, "images")
    if not isinstance(content, dict):
        raise DataError(f"{annotations}: holds a {type(content).__name__}; give a JSON object")
    for key in ("images", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(f"{annotations}: {key!r} is no list of objects; give COCO's form")
        if not entries:
            raise DataError(f"{annotations}: {key!r} is empty; give one with images to detect on")
    keys = [repr(entry.get("id")) for entry in content["images"]]
    ids = Counter(keys)
    raise_faults(
        str(annotations),
        [
            f"{name_image(entry, place)}: {text}"
            for place, entry in enumerate(content["images"])
            for _, text in image_faults(entry, is_repeated=ids[keys[place]] > 1)
        ],
    )
    category_id = int(find_category(content, annotations)["id"])
    return ImageList(folder, tuple(content["images"]), category_id)


def list_folder(folder: Path) -> ImageList:
    """The images of a folder and those below it, by name; ids from 1, category 1.

    Raises:
        DataError: No such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images; check the path")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: no image ({', '.join(IMAGE_SUFFIXES)}) in it or below; check the path"
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    entries = [{"id": number, "file_name": name} for number, name in enumerate(names, start=1)]
    return ImageList(folder, tuple(entries), 1)


@dataclass(frozen=True)
class Detections:
    """Persons on one image, by falling score.

    Attributes:
        boxes_xywh: (P, 4) float64, image frame.
        scores: (P,) float64, 0 to 1.
        found: Of all classes.
    """

    boxes_xywh: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: int


@torch.inference_mode()
def detect(
    model: nn.Module, images: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> list[Detections]:
    """Boxes of label 1 on a batch of images.

    Args:
        model: From `load_detector`, on its device.
        images: (H, W, 3) uint8 RGB each. Beyond 33 megapixels one is shrunk before it becomes
            floats; the detector shrinks it to one anyway.
        names: What to call each in an error.

    Raises:
        NumericsError: A box or score is not finite.
    """
    device = next(model.parameters()).device
    scales = [min(1.0, math.sqrt(LARGE / (image.shape[0] * image.shape[1]))) for image in images]
    pixels = [_to_tensor(i, scale, device) for i, scale in zip(images, scales, strict=True)]
    detections = []
    for name, scale, found in zip(names, scales, model(pixels), strict=True):
        mine = found["labels"] == LABEL
        corners = found["boxes"][mine].double().cpu().numpy() / scale  # P 4, x1 y1 x2 y2
        scores = found["scores"][mine].double().cpu().numpy()
        if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
            raise NumericsError(
                f"{name}: a box or score is nan or inf; the detector's weights are broken"
            )
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        detections.append(Detections(boxes, scores, len(found["labels"])))
    return detections


def detect_boxes(
    model: nn.Module,
    images: ImageList,
    *,
    batch_size: int = 4,
    progress: Callable[[int], object] | None = None,
) -> tuple[list[dict[str, Any]], BoxReport]:
    """Boxes of label 1 on every image.

    Args:
        model: From `load_detector`, on its device.
        images: At least one.
        batch_size: Images at a time.
        progress: Called with the number of images that are done.

    Returns:
        {image_id, category_id, bbox [x, y, width, height], score} each, by image and falling
        score; and their counts.

    Raises:
        DataError: An image is missing, damaged, or of another size than its entry says.
        NumericsError: A box or score is not finite.
    """
    limit = int(model.roi_heads.detections_per_img)  # type: ignore[union-attr, arg-type]
    boxes: list[dict[str, Any]] = []
    report = BoxReport(len(images.entries), 0, 0, 0, 0, limit)
    for batch in _batches(images.entries, batch_size):
        pixels = [_read(entry, images.folder) for entry in batch]
        names = [f"image id {entry['id']} ({entry['file_name']})" for entry in batch]
        for entry, found in zip(batch, detect(model, pixels, names), strict=True):
            for bbox, score in zip(found.boxes_xywh, found.scores, strict=True):
                boxes.append(
                    {
                        "image_id": entry["id"],
                        "category_id": images.category_id,
                        "bbox": [round(float(v), 3) for v in bbox],
                        "score": round(float(score), 6),
                    }
                )
            report.found += found.found
            report.written += len(found.scores)
            report.empty_images += len(found.scores) == 0
            report.full_images += found.found >= limit
        if progress is not None:
            progress(len(batch))
    return boxes, report


def _batches(
    entries: Sequence[dict[str, Any]], batch_size: int
) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(entries), batch_size):
        yield entries[start : start + batch_size]


def _read(entry: dict[str, Any], folder: Path) -> NDArray[np.uint8]:
    size = (entry["height"], entry["width"]) if "height" in entry else None
    return read_image(folder / entry["file_name"], size)


def _to_tensor(image: NDArray[np.uint8], scale: float, device: torch.device) -> Tensor:
    """(3, H, W) RGB from 0 to 1; the detector normalises and resizes by itself."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    if scale < 1:
        size = [max(1, int(side * scale)) for side in image.shape[:2]]
        # In bytes, as floats of such an image take four times as much; CUDA knows only floats.
        pixels = interpolate(pixels[None], size=size, mode="bilinear")[0]
    return pixels.to(device).float() / 255
