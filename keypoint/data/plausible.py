"""Files that are well formed and mean something else: boxes as corners, coordinates from 0 to 1.

Nothing fails on such a file, and a network trains on the wrong pixels. One odd person proves
nothing, so the whole file is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Of COCO's boxes (605 images of val2017) 5 % look like corners by chance, and 80 % do when corners
# are what they hold.
CORNER_SHARE, MIN_CORNER_BOXES = 0.5, 3


def implausible_form(
    bbox_xywh: Floats, triples: Floats, image_size: NDArray[np.int64]
) -> str | None:
    """What a file's coordinates seem to be in place of pixels and x, y, width, height; or None.

    Args:
        bbox_xywh: (P, 4) as given, of persons with a labelled keypoint.
        triples: (P, K, 3) x, y, visibility.
        image_size: (P, 2) height and width of each person's image.
    """
    labelled = triples[..., 2] > 0  # P K
    if not labelled.any():
        return None
    points = triples[..., :2]
    if is_normalised(points[labelled], bbox_xywh, image_size):
        return (
            f"all {len(triples)} persons have keypoints and bbox within [0, 1], as "
            "normalised coordinates are; give pixels of the image"
        )
    corners, asked = count_corner_boxes(points, labelled, bbox_xywh)
    if corners >= MIN_CORNER_BOXES and corners >= CORNER_SHARE * asked:
        return (
            f"{corners} of {asked} boxes fit their keypoints better as x1, y1, x2, y2 "
            "than as x, y, width, height; bbox is xywh, convert them"
        )
    return None


def is_normalised(labelled_points: Floats, bbox: Floats, image_size: NDArray[np.int64]) -> bool:
    """Whether every labelled keypoint (N, 2) and every box lies in [0, 1], on larger images."""
    values = np.concatenate([labelled_points.ravel(), bbox.ravel()])
    return bool((values >= 0).all() and (values <= 1).all() and image_size.min() > 2)


def count_corner_boxes(
    points: Floats, labelled: NDArray[np.bool_], bbox: Floats
) -> tuple[int, int]:
    """How many boxes fit their keypoints better when read as two corners.

    Such a box is smaller, overlaps the extent of the keypoints more, and still holds them all: read
    as corners, a true x, y, width, height cuts keypoints off at the right or below. Asked are
    persons with three labelled keypoints or more whose extent has an area. A box at the image's
    origin is the same in both readings, and one that makes no two corners overlaps nothing.

    Returns:
        That number, and how many persons were asked.
    """
    enough = labelled.sum(axis=1) >= 3
    far = np.where(labelled[..., None], points, np.inf).astype(np.float64)
    low = far.min(axis=1)  # P 2
    high = np.where(labelled[..., None], points, -np.inf).astype(np.float64).max(axis=1)
    asked = enough & ((high - low) > 0).all(axis=1)
    low, high, boxes = low[asked], high[asked], bbox[asked].astype(np.float64)
    as_sides = _overlap(low, high, boxes[:, :2], boxes[:, :2] + boxes[:, 2:])
    as_corners = _overlap(low, high, boxes[:, :2], boxes[:, 2:])
    slack = 0.02 * (boxes[:, 2:] - boxes[:, :2])
    holds = (low >= boxes[:, :2] - slack).all(axis=1) & (high <= boxes[:, 2:] + slack).all(axis=1)
    return int(((as_corners > as_sides) & holds).sum()), int(asked.sum())


def _overlap(low: Floats, high: Floats, first: Floats, last: Floats) -> Floats:
    """(P,) intersection over union of two kinds of boxes; 0 where the second is none."""
    sides = np.minimum(high, last) - np.maximum(low, first)
    shared = np.clip(sides, 0, None).prod(axis=1)
    area = np.clip(last - first, 0, None).prod(axis=1)
    union = (high - low).prod(axis=1) + area - shared
    return np.asarray(np.where((last > first).all(axis=1), shared / union, 0.0))
