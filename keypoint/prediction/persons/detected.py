"""A detector's boxes on a list of images as COCO results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from keypoint.data.images.read import read_image
from keypoint.prediction.detector import detect, most_boxes
from keypoint.prediction.inputs.image_list import ImageList


@dataclass
class BoxReport:
    """Counts of detections: found = written + detections of other classes.

    Attributes:
        images: Number of images.
        found: Number of detections above the threshold.
        written: Number of detections of label 1.
        empty_images: Number of images without a written box.
        full_images: Number of images with as many boxes as the detector's limit, on which boxes
            may be missing.
        limit: That limit, for all classes together.
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
            f"{self.found - self.written} of other classes; {mean:.1f} boxes per image, "
            f"{self.empty_images} images without{full}"
        )


def detect_boxes(
    model: nn.Module,
    images: ImageList,
    *,
    batch_size: int = 4,
    progress: Callable[[int], object] | None = None,
) -> tuple[list[dict[str, Any]], BoxReport]:
    """Find the boxes of label 1 on every image.

    Args:
        model: From `load_detector`, on its device.
        images: At least one.
        batch_size: Number of images at a time.
        progress: Called with the number of images processed since the last call.

    Returns:
        {image_id, category_id, bbox [x, y, width, height], score} of each box, by image and
        decreasing score; and their counts.

    Raises:
        DataError: An image is missing, damaged, or differs in size from its entry.
        NumericsError: A box or score is not finite.
    """
    limit = most_boxes(model)
    boxes: list[dict[str, Any]] = []
    report = BoxReport(len(images.entries), 0, 0, 0, 0, limit)
    for start in range(0, len(images.entries), batch_size):
        batch = images.entries[start : start + batch_size]
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


def _read(entry: dict[str, Any], folder: Path) -> NDArray[np.uint8]:
    return read_image(folder / entry["file_name"], (entry["height"], entry["width"]))
