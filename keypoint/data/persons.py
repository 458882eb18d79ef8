"""The images and annotations of a file, and the person records, as flat arrays.

Flat arrays instead of a list of dicts, because each worker process would copy the list's pages by
changing reference counts (train2017: 0.9 GB per worker instead of 60 MB shared). Letters: I images,
A annotations, P persons, K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.notes import Note
from keypoint.data.report import DataReport, Fault
from keypoint.files import Parts, fingerprint


@dataclass(frozen=True)
class FileNames:
    """Names as one array of bytes, not of a fixed width: a long name costs only its own length.

    Attributes:
        utf8: All names, one after the other.
        ends: (I,) int64, the end of each in `utf8`.
    """

    utf8: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str]) -> FileNames:
        """These names."""
        encoded = [name.encode() for name in names]
        lengths = np.array([len(name) for name in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), lengths.cumsum())

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        if index < 0:
            index += len(self)
        begin = self.ends[index - 1] if index else 0
        return self.utf8[begin : self.ends[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def part(self, rows: NDArray[np.int64]) -> FileNames:
        """The names of these rows."""
        names = self.tolist()
        return FileNames.of([names[row] for row in rows.tolist()])

    def tolist(self) -> list[str]:
        """All names."""
        utf8, ends = self.utf8.tobytes(), self.ends.tolist()
        return [utf8[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]

    def fixed_width(self, rows: NDArray[np.int64]) -> Parts:
        """The names of these rows as an array of the longest name's width, for a fingerprint."""
        names = self.tolist()
        dtype = np.dtype(f"U{max(map(len, names), default=0) or 1}")
        spans = (rows[begin : begin + 1000].tolist() for begin in range(0, len(rows), 1000))
        parts = (np.array([names[row] for row in span], dtype) for span in spans)
        return Parts(dtype, rows.shape, parts)


@dataclass(frozen=True)
class Images:
    """The images of an annotation file.

    Attributes:
        root: Folder of the files.
        ids: (I,) int64, COCO image ids.
        file_names: I names, relative to `root`.
        image_size: (I, 2) int64, height and width.
    """

    root: Path
    ids: NDArray[np.int64]
    file_names: FileNames
    image_size: NDArray[np.int64]

    def path(self, index: int) -> Path:
        """File of image `index`."""
        return self.root / self.file_names[index]


@dataclass(frozen=True)
class Annotations:
    """The images of a file and its annotations of the category with keypoints, as flat arrays.

    Crowds and persons without a labelled keypoint are among them. Both are in the file's order.

    Attributes:
        source: The file.
        category_ids: Ids of the persons' categories, which count as one class.
        category_name: Their names.
        scored: Whether they were checked for scoring. Otherwise a crowd's numbers, the box of a
            person without a labelled keypoint, and a missing area are 0.
        annotated: Whether the file has annotations; COCO's `image_info_*.json` have none.
        images: Images that are not left out. File names and sizes are empty if the annotations
            were only read to be scored.
        ids: (A,) int64.
        image_index: (A,) int64, rows of `images`.
        keypoints: (A, K, 3) float64: x, y in the image's frame, visibility 0, 1 or 2.
        bbox_xywh: (A, 4) float64, as given.
        area: (A,) float64, square pixels.
        crowd: (A,) bool.
        skipped: Counts of the file's other annotations, by reason.
        skipped_images: Counts of the images that are left out, by reason.
        faults: Faults of what is left out.
        left_out_images: COCO ids of the images that are left out.
        notes: Notes on values that were corrected or filled in.
        generated: Whether one of our generators wrote the file, by its `info`.
    """

    source: str
    category_ids: tuple[int, ...]
    category_name: Any
    scored: bool
    annotated: bool
    images: Images
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    bbox_xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    skipped: dict[str, int]
    skipped_images: dict[str, int]
    faults: tuple[Fault, ...]
    left_out_images: frozenset[int]
    notes: tuple[Note, ...] = ()
    generated: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def category_id(self) -> int:
        """The first of `category_ids`, which results carry."""
        return self.category_ids[0]

    @property
    def num_keypoints(self) -> int:
        """K."""
        return int(self.keypoints.shape[1])

    @property
    def total(self) -> int:
        """Number of annotations in the file."""
        return len(self) + sum(self.skipped.values())

    @property
    def total_images(self) -> int:
        """Number of images in the file."""
        return len(self.images.ids) + sum(self.skipped_images.values())

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(A,) persons that COCOeval counts: no crowd, and a keypoint is labelled."""
        return ~self.crowd & (self.keypoints[..., 2] > 0).any(axis=1)

    def fingerprint(self) -> str:
        """Equal if results score the same against them: equal entries in equal order."""
        places = self.images.ids[self.image_index]
        return fingerprint(self.ids, places, self.keypoints, self.bbox_xywh, self.area, self.crowd)

    def not_counted(self) -> dict[str, int]:
        """Numbers of annotations that do not count, by reason."""
        crowds = int(self.crowd.sum())
        unlabelled = len(self) - crowds - int(self.counted.sum())
        counts = {**self.skipped, "crowd": crowds, "without a labelled keypoint": unlabelled}
        return {reason: count for reason, count in counts.items() if count}

    def on_images(self, image_ids: NDArray[np.int64]) -> Annotations:
        """Return the annotations on these images; counts and faults stay those of the file."""
        images, kept = self.images, np.isin(self.images.ids, image_ids)
        rows = kept[self.image_index]
        return replace(
            self,
            images=Images(
                images.root,
                images.ids[kept],
                images.file_names.part(np.flatnonzero(kept)),
                images.image_size[kept],
            ),
            ids=self.ids[rows],
            image_index=(np.cumsum(kept) - 1)[self.image_index[rows]],
            keypoints=self.keypoints[rows],
            bbox_xywh=self.bbox_xywh[rows],
            area=self.area[rows],
            crowd=self.crowd[rows],
        )


@dataclass(frozen=True)
class Persons:
    """One record per person, all in the image's frame.

    Attributes:
        images: The images they are on.
        ids: (P,) int64, annotation ids; for detector boxes, their position in the file.
        image_index: (P,) int64, rows of `images`.
        bbox_xywh: (P, 4) float64; ground truth is clipped to the image, detections are as given.
        bbox_scores: (P,) float64; 1 for ground truth.
        keypoints_image: (P, K, 2) float32; zeros for detector boxes.
        visibility: (P, K) uint8: 0 unlabelled, 1 occluded, 2 visible; zeros for detector boxes.
        category_id: Id of the persons' category in the annotation file, the first of several.
        report: Counts of the file's entries.
        box_score_threshold: Detector boxes below it are not among these; None for ground truth.
        generated: Whether one of our generators wrote the annotation file.
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
    generated: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """Equal for equal records in equal order, wherever the files are."""
        images = self.images
        return fingerprint(
            images.ids[self.image_index],
            images.file_names.fixed_width(self.image_index),
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
