"""Person records as flat arrays.

Flat arrays and not a list of dicts, because each worker process would copy the list's pages by
merely touching reference counts (train2017: 0.9 GB per worker against 60 MB shared). Letters: P
persons, K keypoints, I images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint.data.report import DataReport
from keypoint.files import fingerprint


@dataclass(frozen=True)
class Images:
    """The images of an annotation file.

    Attributes:
        root: Folder of the files.
        ids: (I,) int64, COCO image ids.
        file_names: (I,) str, relative to `root`.
        image_size: (I, 2) int64, height and width.
    """

    root: Path
    ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    image_size: NDArray[np.int64]

    def path(self, index: int) -> Path:
        """File of image `index`."""
        return self.root / str(self.file_names[index])


@dataclass(frozen=True)
class Persons:
    """One record per person, all in the image's frame.

    Attributes:
        images: The images they are on.
        ids: (P,) int64, annotation ids; for detector boxes their place in the file.
        image_index: (P,) int64, rows of `images`.
        bbox_xywh: (P, 4) float64; ground truth is clipped to the image, detections are as given.
        bbox_scores: (P,) float64; 1 for ground truth.
        keypoints_image: (P, K, 2) float32; zeros for detector boxes.
        visibility: (P, K) uint8: 0 unlabelled, 1 occluded, 2 visible; zeros for detector boxes.
        category_id: Id of the persons' category in the annotation file.
        report: The account of the file's entries.
        box_score_threshold: Detector boxes below it are not among these; None for ground truth.
    """

    images: Images
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    bbox_xywh: NDArray[np.float64]
    bbox_scores: NDArray[np.float64]
    keypoints_image: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    category_id: int
    report: DataReport
    box_score_threshold: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """Equal for equal records in equal order, wherever the files are."""
        images = self.images
        return fingerprint(
            images.ids[self.image_index],
            images.file_names[self.image_index],
            images.image_size[self.image_index],
            self.bbox_xywh,
            self.bbox_scores,
            self.keypoints_image,
            self.visibility,
        )

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """(P,) COCO image id of each record."""
        return self.images.ids[self.image_index]
