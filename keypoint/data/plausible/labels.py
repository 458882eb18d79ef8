"""Find labelled keypoints that are probably missing ones, and areas that are probably wrong.

Letters: A annotations, K keypoints, L labelled keypoints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keypoint.data.notes import Note, find
from keypoint.data.persons import Annotations
from keypoint.data.plausible.readings import Flags, Floats

SENTINELS = ((0.0, 0.0), (-1.0, -1.0))  # written by exporters for a missing keypoint
# About one keypoint in a thousand is at the image's corner by chance, of a truncated object.
SENTINEL_SHARE = 0.01  # of the labels of one keypoint
# Share of the labels of one keypoint, and of all labels, at the same pixel; for 1323 persons of
# COCO these are at most 0.3 % and 0.02 %.
SAME_PIXEL, SAME_PIXEL_OF_ALL = 0.2, 0.05
MIN_SAME, MIN_SAME_OF_ALL = 3, 5
NAME = "annotation id "


def label_doubts(annotations: Annotations) -> list[Note]:
    """Find labelled keypoints at (0, 0), or at the same pixel in many images."""
    rows = np.flatnonzero(annotations.counted)
    keypoints = annotations.keypoints[rows]
    row, column = np.nonzero(keypoints[..., 2] > 0)
    points, owners = keypoints[row, column, :2], annotations.ids[rows][row]
    images = annotations.image_index[rows][row]
    labels = np.bincount(column, minlength=annotations.num_keypoints)[column]  # L
    found: list[Note] = []
    sentinel = np.zeros(len(points), dtype=bool)
    for place in SENTINELS:
        there = (points == place).all(axis=1)
        count = np.bincount(column, weights=there, minlength=annotations.num_keypoints)[column]
        flags = there & (count >= SENTINEL_SHARE * labels)
        sentinel |= there
        text = f"labelled keypoints are at exactly ({place[0]:g}, {place[1]:g}): are they missing "
        found += find(f"{text}ones? give them v=0", flags, owners, NAME)
    same = _same_pixel(points, column, images, labels) & ~sentinel
    text = "labelled keypoints are at the same pixel in many images: are they missing? "
    text += "give them v=0 (a fixed point of a fixed camera is correct)"
    return found + find(text, same, owners, NAME)


def _same_pixel(
    points: Floats, column: NDArray[np.int64], images: NDArray[np.int64], labels: NDArray[np.int64]
) -> Flags:
    """(L,) whether many labels of the same keypoint, or of all, are at a label's pixel."""
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    x, y = (np.unique(values, return_inverse=True)[1].reshape(-1) for values in points.T)
    pixel = x * (y.max() + 1) + y
    of_all = _count(pixel, images)
    of_keypoint = _count(pixel * (column.max() + 1) + column, images)
    many = (of_keypoint >= MIN_SAME) & (of_keypoint >= SAME_PIXEL * labels)
    return many | ((of_all >= MIN_SAME_OF_ALL) & (of_all >= SAME_PIXEL_OF_ALL * len(points)))


def _count(values: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """(L,) number of images that contain a value (L,)."""
    place = np.unique(values, return_inverse=True)[1].reshape(-1)
    once = np.unique(place * (images.max() + 1) + images) // (images.max() + 1)
    return np.bincount(once, minlength=place.max() + 1)[place]


def area_doubts(annotations: Annotations) -> list[Note]:
    """Find areas (the scale of OKS) that cannot be those of an object in its bbox.

    Args:
        annotations: Read to be scored; otherwise a missing area is 0.
    """
    width, height = annotations.bbox_xywh[:, 2:].T
    rows = np.flatnonzero(annotations.counted & (width * height > 0) & (annotations.area > 0))
    area, box = annotations.area[rows], (width * height)[rows]
    share = (area <= 1) & (box > 100)
    larger = area > 1.05 * box + 2  # rounded boxes
    tiny = (area < 0.01 * box) & ~share
    todo = "are they in square pixels of this image?"
    texts = {
        f"areas are larger than their bbox; OKS is too lenient: {todo}": larger,
        f"areas are under a hundredth of their bbox; OKS is too strict: {todo}": tiny,
        f"areas are at most 1, as shares of the image are; OKS is too strict: {todo}": share,
    }
    ids = annotations.ids[rows]
    return [note for text, flags in texts.items() for note in find(text, flags, ids, NAME)]
